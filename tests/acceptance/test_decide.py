"""`tts-jobs decide` as a person uses it: after two real runs on the same problems."""

from __future__ import annotations

import json

import pytest

from tests.commands import Shop


def test_two_runs_and_what_to_run_next(shop: Shop) -> None:
    problems = str(shop.problems(12))
    for budget in ("1", "3"):
        shop.tts("run", problems, "-g", "fast", "--strategy", "majority_vote", "--budget", budget, "--quiet")
    before = shop.query("SELECT COUNT(*), SUM(gpu_seconds) FROM usage")
    (shop.directory / "prices.toml").write_text("[fast]\nprompt = 1.0\ngenerated = 10.0\n")
    asked = ("--prices", "prices.toml", "--json")
    found = json.loads(shop.tts("decide", "frontier", "problems", "--png", "frontier.png", *asked).stdout)
    assert (found["unit"], found["problems"]) == ("usd", 12)
    jobs = {job["job_id"]: job for job in found["decisions"][0]["details"]["jobs"]}
    by_hand = shop.query(
        "SELECT job_id, SUM(prompt_tokens + 10 * generated_tokens) / 1e6 / 12 FROM usage WHERE job_id IS NOT NULL GROUP BY job_id"
    )
    assert {job_id: job["cost"]["value"] for job_id, job in jobs.items()} == pytest.approx(dict(by_hand))
    assert (shop.directory / "frontier.png").exists()
    (best,) = json.loads(shop.tts("decide", "spend", "problems", "5usd", *asked).stdout)["decisions"]
    assert best["details"]["job"]["job_id"] in jobs
    (cheapest,) = json.loads(shop.tts("decide", "reach", "last", "0%", *asked).stdout)["decisions"]
    assert cheapest["details"]["job"]["job_id"] == 1
    assert shop.query("SELECT COUNT(*), SUM(gpu_seconds) FROM usage") == before, "nothing was run, nothing was written"
    refused = shop.tts("decide", "frontier", "problems", "--cost", "usd", check=False)
    assert refused.returncode == 2
    assert "fast has no price" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
