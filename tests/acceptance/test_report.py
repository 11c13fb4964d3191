"""Two jobs are run, and their report tells which to use and at what cost."""

from __future__ import annotations

import csv
import io
import json

from tests.commands import Shop


def test_a_person_and_a_program_read_the_same_account(shop: Shop) -> None:
    shop.problems(20)
    shop.tts("run", "problems.jsonl", "-g", "fast", "-s", "greedy", "-b", "1")
    shop.tts("run", "problems.jsonl", "-g", "fast", "-s", "majority_vote", "-b", "4")
    shown = shop.tts("report", "1", "2", "--by", "strategy", "--cost", "tokens").stdout
    first, second = json.loads(shop.tts("report", "1", "2", "--cost", "tokens", "--json").stdout)
    listed = list(csv.DictReader(io.StringIO(shop.tts("report", "1", "2", "--cost", "tokens", "--csv").stdout)))
    assert shown.startswith(second["comparison"])
    assert f"{second['cost_ratio']:.3g} times the tokens" in second["comparison"]
    assert second["cost_ratio"] == second["total_tokens"] / first["total_tokens"]
    assert second["shared_problems"] == 20
    assert second["selection"] in shown
    assert 0 <= second["pass_at_1"] <= second["pass_at_n"] <= 1
    assert second["latency_p50"] <= second["latency_p99"]
    assert first["flops"] is None
    assert "unknown" in shown
    assert second["idle_seconds"] is not None
    assert [row["accuracy"] for row in listed] == [str(first["accuracy"]), str(second["accuracy"])]
    assert shop.tts("report", "2", "--markdown").stdout.count("| ---") >= 2


def test_what_is_wrong_is_one_sentence(shop: Shop) -> None:
    shop.problems(2)
    shop.tts("run", "problems.jsonl", "-g", "fast")
    done = shop.tts("report", "1", "--csv", "--json", check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
