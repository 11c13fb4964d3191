"""Curves and reviews of real jobs, through the command line."""

from __future__ import annotations

import json

from tests.commands import Shop


def test_a_prefix_of_all_samples_is_the_answer_that_was_given(shop: Shop) -> None:
    """The tiny models' weighted vote of six: replayed with all six as drawn, and with the verifier's scores as stored."""
    from scheduler.tiny import PROBLEMS

    lines = PROBLEMS.read_text().splitlines()[:12]
    (shop.directory / "mine.jsonl").write_text("\n".join(lines) + "\n")
    command = ("run", "mine.jsonl", "-g", "tiny", "-v", "tiny-prm", "-s", "weighted_vote", "-b", "6", "--json")
    (row,) = json.loads(shop.tts(*command, timeout=600).stdout)
    said = json.loads(shop.tts("curves", "last", "--estimator", "prefix", "--json").stdout)
    (curve,) = [one for one in said["curves"] if (one["strategy"], one["aggregation"]) == ("weighted_vote", "last")]
    last = curve["points"][-1]
    assert (last["n"], last["accuracy"]) == (6, row["accuracy"])
    # One prefill of the prompt, the samples, and their scoring are all that the job cost.
    assert abs(last["flops"] * 12 / row["flops_canonical"] - 1) < 1e-6
    assert abs(last["tokens"] * 12 / row["total_tokens"] - 1) < 1e-6
    shown = shop.tts("curves", "last", "--csv", "curves.csv", "--svg", "curves.svg")
    assert "random subsets" in shown.stdout
    assert (shop.directory / "curves.csv").exists()
    refused = shop.tts("review", "last", check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def test_answers_without_references_are_reviewed(shop: Shop) -> None:
    shop.problems(30)
    rows = [json.dumps({"problem": f"What is {n} + 2?"}) for n in range(10)]
    (shop.directory / "new.jsonl").write_text("\n".join(rows) + "\n")
    for number, (name, file) in enumerate((("known", "problems.jsonl"), ("new", "new.jsonl")), 1):
        shop.tts("run", file, "-g", "fast", "-b", "4", "--name", name, "--quiet")
        assert shop.scalar("SELECT COUNT(*) FROM job") == number
    said = json.loads(shop.tts("review", "new", "--calibrated-on", "known", "--risk", "0.5", "--json").stdout)
    assert (said["queries"], said["truth"], said["calibrated_on"]) == (10, None, 1)
    assert said["low"] <= said["predicted_accuracy"] <= said["high"]
    assert said["plan"]["automatic"] + said["plan"]["review"] == 10
