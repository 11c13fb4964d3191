"""`jobs`, `status` and `watch`: what they say of a job, and what stands in its way."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cli.status import obstacles
from models import transitions
from tests.unit.cli.conftest import Desk


def test_jobs_lists_what_there_is(desk: Desk) -> None:
    assert "no job yet" in desk.tts("jobs").stderr
    desk.submit(3, "--name", "first [bold]try")
    desk.submit(3, "--name", "second", "--new", "--priority", "1")
    said = desk.tts("jobs")
    assert "first [bold]try" in said.stdout
    assert "second" in said.stdout
    rows = desk.tts("jobs", "--json").json
    assert [(row["name"], row["priority"], row["state"], row["queries"]) for row in rows] == [
        ("first [bold]try", 5, "open", 3),
        ("second", 1, "open", 3),
    ]
    assert datetime.fromisoformat(rows[0]["created_at"]).tzinfo is not None
    assert rows[0]["oracle"] is False


def test_jobs_can_be_chosen_by_state(desk: Desk) -> None:
    desk.submit(3)
    desk.submit(3, "--new")
    desk.tts("pause", "2")
    assert [row["job_id"] for row in desk.tts("jobs", "--state", "paused", "--json").json] == [2]
    assert [row["job_id"] for row in desk.tts("jobs", "--state", "paused", "--state", "open", "--json").json] == [1, 2]
    assert desk.tts("jobs", "--state", "done", "--json").json == []
    assert "no job in that state" in desk.tts("jobs", "--state", "done").stderr


def test_status_of_a_job_nobody_works_on(desk: Desk) -> None:
    desk.submit(3)
    seen = desk.tts("status", "last", "--json").json
    assert (seen["pending"], seen["accuracy"], seen["workers"]) == (3, None, [])
    assert seen["obstacles"] == [
        "no scheduler is running: start one with `tts-jobs scheduler`",
        "no worker serves generator fast with this job's weights and settings: start one with `tts-jobs worker --generator fast`",
    ]
    said = desk.tts("status", "1").stdout
    assert "3 pending" in said
    assert "tts-jobs worker --generator fast" in said


def test_status_of_a_job_at_work(desk: Desk) -> None:
    job_id = desk.submit(5, "--job-budget", "100", "--deadline", "2199-01-01")
    desk.start_processes()
    claims = desk.claim(job_id, 4, reserving=2.0)
    desk.commit(claims[:1])
    desk.commit(claims[1:2], correct=False)
    desk.commit(claims[2:3], state="failed", reason="prompt [red]too long")
    seen = desk.tts("status", "last", "--json").json
    assert (seen["done"], seen["failed"], seen["running"], seen["pending"]) == (2, 1, 1, 1)
    assert (seen["accuracy"], seen["spent"], seen["reserved"]) == (0.5, 6.0, 2.0)
    assert seen["accuracy_low"] < 0.5 < seen["accuracy_high"]
    assert seen["failures"] == [{"error": "prompt [red]too long", "queries": 1}]
    assert seen["deadline"].startswith("2199-01-01T00:00:00")
    (worker,) = seen["workers"]
    assert (worker["slots"], worker["in_flight"], worker["completed"], worker["busy_share"]) == (16, 2, 7, 0.75)
    assert seen["obstacles"] == ["1 queries failed: try them again with `tts-jobs retry 1`"]
    said = desk.tts("status", "last").stdout
    for part in (
        "2 done, 1 failed",
        "1/2 = 50.0 %",
        "100: 6 samples spent, 2 reserved",
        "75.0 %",
        "prompt [red]too long",
    ):
        assert part in said


def test_status_counts_suspects_and_what_was_wasted(desk: Desk) -> None:
    job_id = desk.submit(2)
    (claim,) = desk.claim(job_id, 1)
    running = {
        "phase": "generate", "model": "fast", "calls": 1, "samples": 1, "prompt_tokens": 3, "canonical_prompt_tokens": 3,
        "generated_tokens": 4, "scored_tokens": 0, "flops": None, "flops_canonical": None, "flops_2nd": None,
        "gpu_seconds": 0.1, "dollars": None, "disposition": "wasted", "at_least": True,
    }  # fmt: skip
    with desk.database.transaction() as connection:
        transitions.extend_leases(connection, "worker-1", {claim.attempt_id: [running]}, datetime.now(UTC), 60)
        assert transitions.lose_worker(connection, "worker-1", datetime.now(UTC)) == (1, 0)
    seen = desk.tts("status", "last", "--json").json
    assert (seen["suspects"], seen["quarantined"], seen["lost_attempts"]) == (1, 0, 1)
    assert (seen["wasted_tokens"], seen["wasted_at_least"]) == (7, True)
    assert "at least 7 tokens, 1 attempts lost" in desk.tts("status", "last").stdout
    bounds = [line.split("  ")[0] for line in desk.tts("report", "last").stdout.splitlines() if "at least" in line]
    assert bounds == ["tokens, one prompt a query", "", "", "prompt tokens, as sent", "GPU-seconds"]


def seen_now(**changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "job_id": 3, "state": "open", "reason": None, "generator": "fast", "pending": 4, "queued": 0, "running": 0,
        "failed": 0, "scheduler": True, "slots": 8, "deadline": None, "workers": [], "retrying": 0, "suspects": 0,
        "quarantined": 0, "bins": None,
    }  # fmt: skip
    return {**usual, **changes}


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"state": "loading"}, "repeat it"),
        ({"state": "paused", "reason": "20 failures in a row"}, "20 failures in a row"),
        ({"state": "budget_exhausted", "reason": "its deadline has passed"}, "--deadline"),
        ({"deadline": datetime(2020, 1, 1, tzinfo=UTC)}, "deadline has passed"),
        ({"retrying": 2}, "2 queries wait"),
        ({"suspects": 1}, "run alone"),
        ({"failed": 3, "quarantined": 1}, "1 of them quarantined"),
        ({"workers": [{"id": "w", "generator": "fast", "since_progress_seconds": 900.0}]}, "nothing for 15 min"),
    ],
)
def test_each_obstacle_is_named(changes: dict[str, Any], part: str) -> None:
    (sentence,) = obstacles(seen_now(**changes), datetime.now(UTC))
    assert part in sentence


@pytest.mark.parametrize("changes", [{}, {"state": "done", "pending": 0}, {"state": "cancelled", "failed": 2}])
def test_nothing_stands_in_the_way(changes: dict[str, Any]) -> None:
    assert obstacles(seen_now(**changes), datetime.now(UTC)) == []


def test_watch_ends_with_the_job(desk: Desk) -> None:
    job_id = desk.submit(2)
    desk.commit(desk.claim(job_id, 2))
    desk.finish(job_id)
    said = desk.tts("watch", "last")
    assert said.code == 0
    assert "2/2 done" in said.stderr
    assert said.stdout == ""


def test_watch_prints_json_lines_until_the_job_is_paused(desk: Desk) -> None:
    job_id = desk.submit(2)
    pause = desk.pause_later(0.4, job_id, "too many [errors]")
    said = desk.tts("watch", "last", "--json", "--interval", "0.1")
    pause.join()
    lines = [json.loads(line) for line in said.stdout.splitlines()]
    assert len(lines) > 2
    assert [lines[0]["state"], lines[-1]["state"]] == ["open", "paused"]
    assert said.code == 1
    assert "too many [errors]" in desk.tts("watch", "last").stderr


@pytest.mark.parametrize("command", ["status", "watch", "results", "pause", "resume", "cancel", "retry"])
def test_a_job_that_is_not_there_is_a_sentence(desk: Desk, command: str) -> None:
    said = desk.tts(command, "nine")
    assert (said.code, said.stderr) == (2, "Error: no job 'nine'; `tts-jobs jobs` lists them\n")
    assert "there is no job yet" in desk.tts(command, "last").stderr


def test_submitting_tells_at_once_what_is_missing(desk: Desk) -> None:
    job_id = desk.submit(1)
    said = desk.tts("submit", "problems.jsonl", "-g", "fast", "--new")
    assert f"job {job_id + 1}: 1 queries" in said.stdout
    assert "no scheduler is running: start one with `tts-jobs scheduler`" in said.stderr
    assert "no worker serves generator fast" in said.stderr
    told = desk.tts("submit", "problems.jsonl", "-g", "fast", "--new", "--json").json["obstacles"]
    assert [obstacle.split(":")[0] for obstacle in told] == [
        "no scheduler is running",
        "no worker serves generator fast with this job's weights and settings",
    ]
