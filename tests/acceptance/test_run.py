"""`tts-jobs run` as a person uses it: one process, one file, killed at any time."""

from __future__ import annotations

import json
import signal

from tests.commands import Shop


def test_a_dataset_goes_in_and_a_table_comes_out(shop: Shop) -> None:
    shop.problems(20)
    done = shop.tts("run", "problems.jsonl", "-g", "fast", "-s", "majority_vote", "-b", "4")
    assert "majority_vote" in done.stdout
    assert "tts-jobs results 1" in done.stderr
    (row,) = json.loads(shop.tts("report", "--json").stdout)
    assert (row["done"], row["failed"], row["samples"]) == (20, 0, 80)
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]


def test_run_again_finishes_at_once_and_generates_nothing(shop: Shop) -> None:
    shop.problems(10)
    shop.tts("run", "problems.jsonl", "-g", "fast")
    before = shop.scalar("SELECT COUNT(*) FROM attempt")
    again = shop.tts("run", "problems.jsonl", "-g", "fast")
    assert again.returncode == 0
    assert shop.scalar("SELECT COUNT(*) FROM attempt") == before
    assert shop.scalar("SELECT COUNT(*) FROM job") == 1


def test_best_of_n_reuses_the_candidates_of_the_vote(shop: Shop) -> None:
    shop.problems(10)
    shop.tts("run", "problems.jsonl", "-g", "fast", "-s", "majority_vote", "-b", "4")
    shop.tts("run", "problems.jsonl", "-g", "fast", "-s", "best_of_n", "-b", "4")
    vote, best = json.loads(shop.tts("report", "--json").stdout)
    assert (vote["reused_samples"], best["reused_samples"]) == (0, 40)
    assert best["spent_gpu_seconds"] == 0
    assert best["total_tokens"] == vote["total_tokens"]


def test_killed_in_the_middle_it_goes_on_and_answers_no_query_twice(shop: Shop) -> None:
    shop.problems(60)
    command = ("run", "problems.jsonl", "-g", "slow", "-s", "majority_vote", "-b", "2")
    with shop.start(*command) as first:
        shop.wait_for(lambda: 10 <= shop.scalar("SELECT COUNT(*) FROM query WHERE state = 'done'") < 50)
        first.send_signal(signal.SIGKILL)
        first.wait()
    finished = shop.scalar("SELECT COUNT(*) FROM query WHERE state = 'done'")
    assert 10 <= finished < 60
    in_flight = shop.scalar("SELECT COUNT(*) FROM attempt WHERE state = 'running'")
    assert shop.tts(*command).returncode == 0
    assert shop.scalar("SELECT COUNT(*) FROM query WHERE state = 'done'") == 60
    assert shop.scalar("SELECT COUNT(*) FROM attempt WHERE state = 'done'") == 60
    assert shop.scalar("SELECT COUNT(*) FROM candidate") == 120
    lost = shop.scalar("SELECT COUNT(*) FROM attempt WHERE state = 'lost'")
    assert lost == in_flight <= 16, "only what was in flight is done again"


def test_interrupted_it_drains_and_says_how_to_go_on(shop: Shop) -> None:
    shop.problems(60)
    command = ("run", "problems.jsonl", "-g", "slow", "-s", "majority_vote", "-b", "2")
    with shop.start(*command) as first:
        shop.wait_for(lambda: 10 <= shop.scalar("SELECT COUNT(*) FROM query WHERE state = 'done'") < 50)
        first.send_signal(signal.SIGINT)
        _, said = first.communicate(timeout=30)
    assert first.returncode == 130
    assert "run the same command to go on" in said
    assert "Traceback" not in said
    assert shop.scalar("SELECT COUNT(*) FROM query WHERE state = 'running'") == 0
    assert shop.scalar("SELECT COUNT(*) FROM attempt WHERE state = 'lost'") == 0
    assert shop.tts(*command).returncode == 0
    assert shop.scalar("SELECT COUNT(*) FROM query WHERE state = 'done' AND suspect = 0") == 60


def test_two_at_once_on_one_database_is_refused(shop: Shop) -> None:
    shop.problems(300)
    with shop.start("run", "problems.jsonl", "-g", "slower", "-b", "2") as first:
        shop.wait_for(lambda: shop.scalar("SELECT COUNT(*) FROM query WHERE state = 'done'") > 0)
        second = shop.tts("run", "problems.jsonl", "-g", "slower", "-b", "4", check=False)
        first.send_signal(signal.SIGTERM)
        first.wait(timeout=30)
    assert second.returncode == 2
    assert "another scheduler" in second.stderr


def test_a_job_cap_ends_the_job_and_more_budget_goes_on(shop: Shop) -> None:
    shop.problems(20)
    command = ("run", "problems.jsonl", "-g", "fast", "-s", "majority_vote", "-b", "2", "--job-budget", "20")
    capped = shop.tts(*command, check=False)
    assert capped.returncode == 1
    assert "budget_exhausted" in capped.stderr
    assert shop.scalar("SELECT COUNT(*) FROM query WHERE state = 'done'") == 10
    assert shop.scalar("SELECT spent FROM job") == 20
    assert shop.scalar("SELECT reserved FROM job") == 0
    shop.tts("resume", "1", "--job-budget", "40")
    assert shop.tts(*command).returncode == 0
    assert shop.scalar("SELECT COUNT(*) FROM query WHERE state = 'done'") == 20
