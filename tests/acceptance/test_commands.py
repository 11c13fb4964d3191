"""Every command that reads or changes a job says the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from tests.commands import Shop


@pytest.fixture(params=["sqlite", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    if request.param == "sqlite":
        return Shop(tmp_path)
    shop = Shop(tmp_path, TTS_DATABASE_URL=request.getfixturevalue("postgres_url"))
    shop.tts("db", "upgrade")
    return shop


def test_a_job_from_estimate_to_results(shop: Shop) -> None:
    shop.problems(6)
    command = ("problems.jsonl", "-g", "fast", "-s", "best_of_n", "-b", "3", "--job-budget", "100")
    assert json.loads(shop.tts("estimate", *command, "--json").stdout)["learned_from_candidates"] == 0
    shop.tts("submit", *command, "--name", "two words")
    assert "no worker serves generator fast" in shop.tts("status", "two words").stdout
    assert json.loads(shop.tts("pause", "last", "--json").stdout)["state"] == "paused"
    watched = shop.tts("watch", "last", "--json", check=False)
    assert (watched.returncode, json.loads(watched.stdout)["reason"]) == (1, "paused by the user")
    shop.tts("resume", "last", "--job-budget", "9000tokens", "--deadline", "2199-01-01")
    shop.tts("run", *command)
    seen = json.loads(shop.tts("status", "last", "--json").stdout)
    assert (seen["state"], seen["done"], seen["obstacles"], seen["cap_unit"]) == ("done", 6, [], "tokens")
    assert 0 < seen["spent"] < 9000
    assert (seen["reserved"], seen["wasted_tokens"], seen["wasted_at_least"]) == (0, 0, False)
    assert seen["spent"] == sum(json.loads(line)["tokens"] for line in shop.tts("results", "1").stdout.splitlines())
    (row,) = json.loads(shop.tts("jobs", "--state", "done", "--json").stdout)
    assert (row["oracle"], datetime.fromisoformat(row["created_at"]).tzinfo is not None) == (False, True)
    candidates = [json.loads(line) for line in shop.tts("results", "last", "--candidates").stdout.splitlines()]
    assert len(candidates) == 18
    assert {type(candidate["correct"]) for candidate in candidates} == {bool}
    learned = json.loads(shop.tts("estimate", *command, "--json").stdout)
    assert (learned["learned_from_candidates"], learned["generated_tokens_per_sample"]) == (18, 4.0)
    assert shop.tts("watch", "1").returncode == 0
    refused = shop.tts("retry", "1", check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
