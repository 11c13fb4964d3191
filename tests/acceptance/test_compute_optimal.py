"""Compute-optimal jobs as a person runs them: tiny models, then everything killed in the middle."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import redis

from models import tables
from models.database import Database
from models.transitions import table
from scheduler.policy import Rung
from scheduler.tiny import PROBLEMS
from tests.acceptance.test_service import running
from tests.commands import Shop
from tests.stages import by_share, policy

COUNT = 12
OPTIMAL = ("-s", "compute-optimal", "-b", "8")
CARRIED_OUT = "SELECT query_id, stage FROM attempt WHERE state = 'done'"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, dict[str, Any]]:
    """A job of twelve problems of all levels but the easiest, and its row of the report."""
    made = Shop(tmp_path_factory.mktemp("optimal"))
    lines = [line for line in PROBLEMS.read_text().splitlines() if json.loads(line)["level"] > 1]
    (made.directory / "problems.jsonl").write_text("\n".join(lines[:: len(lines) // COUNT][:COUNT]) + "\n")
    done = made.tts(
        "run", "problems.jsonl", "-g", "tiny", "-v", "tiny-prm", *OPTIMAL, "--job-budget", "1000000tokens", "--json",
        timeout=300,
    )  # fmt: skip
    (row,) = json.loads(done.stdout)
    return made, row


def test_every_query_goes_through_its_stages_once(tiny: tuple[Shop, dict[str, Any]]) -> None:
    shop, row = tiny
    assert (row["done"], row["failed"], row["strategy"]) == (COUNT, 0, "compute_optimal")
    stages = shop.query(CARRIED_OUT)
    assert len(stages) == len(set(stages))
    found = shop.query("SELECT id, stage, final, strategy, stopped, budget_amount, bin, difficulty FROM query")
    assert {stopped for *_, stopped, _, _, _ in found} == {"settled", "complete"}, "some are easy and some are not"
    for query_id, stage, final, strategy, stopped, budget, bin_, difficulty in found:
        assert sorted(number for query, number in stages if query == query_id) == list(range(stage + final))
        assert bool(final) == (stopped == "complete")
        if stopped == "settled":
            assert (strategy, bin_) == ("majority_vote", 0)
            assert difficulty < 0.3
        else:
            assert (strategy, budget) in (("weighted_vote", 8), ("beam_search", 4), ("sequential_revision", 4))
            assert difficulty >= 0.3
    assert len({strategy for _, _, _, strategy, *_ in found}) > 1


def test_nothing_is_drawn_or_scored_twice_and_the_ledger_adds_up(tiny: tuple[Shop, dict[str, Any]]) -> None:
    shop, _ = tiny
    ((calls, generated),) = shop.query("SELECT SUM(calls), SUM(generated_tokens) FROM usage WHERE phase = 'generate'")
    assert shop.query("SELECT COUNT(*), SUM(generated_tokens) FROM candidate") == [(calls, generated)]
    scored = shop.scalar("SELECT COUNT(*) FROM candidate WHERE step_scores IS NOT NULL")
    assert shop.scalar("SELECT SUM(calls) FROM usage WHERE phase = 'score'") == scored > 0
    votes = shop.scalar(
        "SELECT COUNT(*) FROM candidate c JOIN query q ON q.id = c.query_id "
        "WHERE q.strategy = 'majority_vote' AND c.score IS NOT NULL"
    )
    assert votes == 0, "a plain vote pays no verifier"
    total = shop.scalar("SELECT SUM(canonical_prompt_tokens + generated_tokens + scored_tokens) FROM usage")
    assert shop.query("SELECT spent, reserved FROM job") == [(total, 0.0)]
    assert shop.scalar("SELECT SUM(samples) FROM usage") <= 8 * COUNT
    ((prompts, once),) = shop.query(
        "SELECT (SELECT SUM(canonical_prompt_tokens) FROM usage WHERE phase = 'generate'), SUM(prompt) FROM "
        "(SELECT MIN(prompt_tokens) AS prompt FROM candidate WHERE parent IS NULL AND path = 'greedy' GROUP BY query_id) p"
    )
    searched = shop.scalar("SELECT COUNT(*) FROM candidate WHERE parent IS NOT NULL")
    assert once <= prompts <= once + searched, "the prompt is read once, and a step the token before it"


def test_each_query_can_be_explained(tiny: tuple[Shop, dict[str, Any]]) -> None:
    shop, _ = tiny
    found = shop.query(
        "SELECT q.strategy, p.key, q.stopped, COUNT(*) FROM query q JOIN problem p ON p.id = q.problem_id "
        "JOIN attempt a ON a.query_id = q.id GROUP BY q.id, q.strategy, p.key, q.stopped"
    )
    for key, stopped, drawn in {strategy: row for strategy, *row in found}.values():
        told = shop.tts("explain", "last", key).stdout.splitlines()
        assert told[0].startswith("The policy seed (not calibrated) has 4 bins")
        assert told[1] == "At first, nothing is known; it is probed with the greedy one."
        closing = "nothing more is worth its cost" if stopped == "settled" else "as its last stage."
        assert any(closing in sentence for sentence in told)
        data = json.loads(shop.tts("explain", "last", key, "--json").stdout)
        assert [one["stage"] for one in data["decisions"]] == list(range(drawn + (stopped == "settled")))
        assert data["explanation"] == told
    missing = shop.tts("explain", "last", "nothing", check=False)
    assert (missing.returncode, missing.stdout) == (2, "")


def test_status_tells_the_bins(tiny: tuple[Shop, dict[str, Any]]) -> None:
    shop, _ = tiny
    bins = json.loads(shop.tts("status", "last", "--json").stdout)["bins"]
    assert sum(row["queries"] for row in bins) == sum(row["done"] for row in bins) == COUNT
    assert sum(row["samples"] for row in bins) == shop.scalar("SELECT SUM(samples) FROM usage")
    assert all(row["samples"] <= row["planned"] for row in bins)
    assert max(row["planned"] / row["queries"] for row in bins) == 8
    assert "by how hard they look" in shop.tts("status", "last").stdout


def test_a_vote_of_another_job_reuses_what_the_probes_drew(tiny: tuple[Shop, dict[str, Any]]) -> None:
    shop, _ = tiny
    there = shop.scalar(
        "SELECT COUNT(*) FROM candidate WHERE parent IS NULL AND path NOT LIKE 's%' AND path NOT LIKE 'r%'"
    )
    vote = ("-s", "majority_vote", "-b", "8", "--param", "greedy_first=true")
    done = shop.tts("run", "problems.jsonl", "-g", "tiny", *vote, "--json", timeout=300)
    (row,) = json.loads(done.stdout)
    assert (row["samples"], row["reused_samples"]) == (8 * COUNT, there)
    key = shop.scalar("SELECT key FROM problem LIMIT 1")
    said = shop.tts("explain", str(row["job_id"]), key).stdout
    assert said == (
        "Every query of this job gets the same: majority_vote with a budget of 8 samples; nothing was decided for this one.\n"
    )


def test_a_pool_is_shared_out_by_gain_and_more_goes_on(tiny: tuple[Shop, dict[str, Any]]) -> None:
    """A policy that foretells from the vote share alone: where the samples agree, nothing is gained."""
    shop, _ = tiny
    foretold = {0: by_share(0.0, 0.8), 1: by_share(0.0, 1.0), 2: by_share(0.0, 1.2)}
    rungs = [
        Rung(drawn=drawn, scored=scored, fails=by_share(-6.0, 3.0), right=by_share(8.0, -4.0), arms=foretold)
        for drawn in (2, 4)
        for scored in (False, True)
    ]
    chosen = policy(rungs=tuple(rungs), costs=(8.0, 9.0, 10.0, 2.0), scoring=0.5)
    database = Database(shop.database_url)
    with database.transaction() as connection:
        now = database.clock.now(connection)
        row = {
            "name": "ours",
            "version": 1,
            "table": chosen.model_dump(mode="json"),
            "evidence": None,
            "created_at": now,
        }
        connection.execute(table(tables.Policy).insert(), [row])
    database.close()
    command = (
        "run", "problems.jsonl", "-g", "tiny", "-v", "tiny-prm", "-s", "compute-optimal", "-b", "3", "--policy", "ours",
        "--policy-anyway", "--allocation", "adaptive", "--name", "shared", "--seed", "5",
    )  # fmt: skip
    shop.tts(*command, timeout=300)
    cap, spent, reserved, said = shop.query("SELECT cap_amount, spent, reserved, state FROM job WHERE name = 'shared'")[
        0
    ]
    assert (cap, reserved, said) == (3.0 * COUNT, 0.0, "done")
    assert spent <= cap
    mine = "job_id = (SELECT id FROM job WHERE name = 'shared')"
    ended = dict(shop.query(f"SELECT stopped, COUNT(*) FROM query WHERE {mine} GROUP BY stopped"))
    assert ended["budget"] > 0, "there was more to gain than the pool could pay"
    assert spent == shop.scalar(f"SELECT SUM(samples) FROM usage WHERE NOT reused AND {mine}")
    before = shop.query(f"SELECT query_id, path FROM candidate WHERE {mine}")
    shop.tts("resume", "shared", "--job-budget", "1000")
    shop.tts(*command, timeout=300)
    ended = dict(shop.query(f"SELECT stopped, COUNT(*) FROM query WHERE {mine} GROUP BY stopped"))
    assert "budget" not in ended
    assert sum(ended.values()) == COUNT
    after = shop.query(f"SELECT query_id, path FROM candidate WHERE {mine}")
    assert len(after) == len(set(after))
    assert set(before) < set(after)
    granted = (
        f"SELECT p.key FROM problem p JOIN query q ON q.problem_id = p.id WHERE {mine} AND decisions LIKE '%granted%'"
    )
    key = shop.scalar(f"{granted} LIMIT 1")
    assert "of all that the job can buy it gains most from" in shop.tts("explain", "shared", key).stdout


# --- killed -----------------------------------------------------------------------------------------------------------


def repeats_nothing(shop: Shop, count: int) -> None:
    """What was committed before the kill was neither drawn nor decided again, and nothing was lost."""
    assert shop.query("SELECT state, COUNT(*) FROM query GROUP BY state") == [("done", count)]
    stages = shop.query(CARRIED_OUT)
    assert len(stages) == len(set(stages))
    ((calls, generated),) = shop.query(
        "SELECT SUM(calls), SUM(generated_tokens) FROM usage WHERE phase = 'generate' AND disposition <> 'wasted'"
    )
    assert shop.query("SELECT COUNT(*), SUM(generated_tokens) FROM candidate") == [(calls, generated)]
    assert shop.scalar("SELECT SUM(reserved) FROM job") == 0


def test_killed_in_the_middle_of_its_stages_it_goes_on(shop: Shop) -> None:
    shop.problems(30)
    command = ("run", "problems.jsonl", "-g", "slow", *OPTIMAL, "--job-budget", "100000")
    with shop.start(*command) as first:
        shop.wait_for(lambda: shop.scalar("SELECT COUNT(*) FROM query WHERE stage > 1") > 5)
        first.send_signal(signal.SIGKILL)
        first.wait()
    before = shop.query(CARRIED_OUT)
    assert before
    written = shop.query("SELECT query_id, path, text FROM candidate")
    in_flight = shop.scalar("SELECT COUNT(*) FROM attempt WHERE state = 'running'")
    shop.tts(*command)
    repeats_nothing(shop, 30)
    assert set(written) <= set(shop.query("SELECT query_id, path, text FROM candidate"))
    assert set(before) < set(shop.query(CARRIED_OUT))
    assert shop.scalar("SELECT COUNT(*) FROM attempt WHERE state = 'lost'") == in_flight
    assert shop.scalar("SELECT spent FROM job") == shop.scalar("SELECT SUM(samples) FROM usage WHERE NOT reused")


def test_scheduler_worker_and_broker_killed_in_different_stages(
    tmp_path: Path, postgres_url: str, empty_redis_url: str
) -> None:  # fmt: skip
    shop = Shop(tmp_path, TTS_DATABASE_URL=postgres_url, TTS_BROKER_URL=empty_redis_url)
    shop.tts("db", "upgrade")
    shop.problems(40)
    shop.tts("submit", "problems.jsonl", "-g", "slow", *OPTIMAL, "-v", "mean_logprob")
    with running(shop, ("scheduler",), ("worker", "-g", "slow")) as (scheduler, worker):
        shop.wait_for(lambda: shop.scalar("SELECT COUNT(*) FROM query WHERE stage > 0") > 5)
        scheduler.kill()
        shop.wait_for(lambda: shop.scalar("SELECT COUNT(*) FROM query WHERE stage > 1") > 5 or drained(shop))
        worker.kill()
        with redis.Redis.from_url(empty_redis_url) as client:
            client.flushdb()
        with running(shop, ("scheduler",), ("worker", "-g", "slow")):
            shop.wait_for(lambda: shop.scalar("SELECT state FROM job") == "done", seconds=120)
    repeats_nothing(shop, 40)


def drained(shop: Shop) -> bool:
    """Without a scheduler nothing new is rung: what was, has been answered."""
    return bool(shop.scalar("SELECT COUNT(*) FROM query WHERE state IN ('queued', 'running')") == 0)
