"""The tiny models through the whole service: drawn, reused, scored, charged, voted on and plotted."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from scheduler.tiny import PROBLEMS
from tests.commands import Shop

COUNT = 40
DEMO = ("demo", "--problems", str(COUNT), "--samples", "1,4")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def rows(shop: Shop) -> dict[str, Any]:
    """The report of one demo, by strategy and budget."""
    done = shop.tts(*DEMO, "--json", timeout=300)
    return {f"{row['strategy']} {row['budget']}": row for row in json.loads(done.stdout)}


def test_every_problem_is_answered_under_every_strategy(rows: dict[str, Any]) -> None:
    assert set(rows) == {
        "greedy 1",
        "majority_vote 1",
        "majority_vote 4",
        "weighted_vote 4",
    }
    assert all((row["done"], row["failed"], row["graded"]) == (COUNT, 0, COUNT) for row in rows.values())


def test_what_was_drawn_is_reused_and_the_verifier_is_charged(shop: Shop, rows: dict[str, Any]) -> None:
    reused = {name: (row["samples"], row["reused_samples"]) for name, row in rows.items()}
    assert reused["majority_vote 4"] == (4 * COUNT, COUNT)
    assert reused["weighted_vote 4"] == (4 * COUNT, 4 * COUNT)
    assert rows["weighted_vote 4"]["flops_canonical"] > 1.5 * rows["majority_vote 4"]["flops_canonical"]
    assert rows["weighted_vote 4"]["spent_gpu_seconds"] > 0
    ((calls, scored, flops),) = shop.query(
        "SELECT SUM(calls), SUM(scored_tokens), SUM(flops) FROM usage JOIN job ON job.id = usage.job_id "
        "WHERE phase = 'score' AND model = 'tiny-prm' AND job.budget = '4'"
    )
    finished = shop.scalar(
        "SELECT COUNT(*) FROM candidate JOIN query ON query.id = query_id JOIN job ON job.id = query.job_id "
        "WHERE job.strategy = 'weighted_vote' AND job.budget = '4' AND finish_reason = 'stop'"
    )
    assert calls == finished
    assert scored > 20 * finished
    assert flops > 0


def test_the_demo_again_is_there_at_once_with_its_plots(shop: Shop, rows: dict[str, Any]) -> None:
    before = shop.scalar("SELECT COUNT(*) FROM attempt")
    again = shop.tts(*DEMO)
    assert shop.scalar("SELECT COUNT(*) FROM attempt") == before
    assert "weighted_vote 4 - majority_vote 4: " in again.stdout
    assert "FLOPs per query" in again.stdout
    picture = shop.directory / ".tts-jobs" / "demo.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    page = picture.with_name("demo.html")
    said = again.stderr.splitlines()[-1]
    assert said.startswith("page: ")
    assert said.endswith("demo.html")
    assert 50_000 < page.stat().st_size < 500_000


def test_more_samples_and_a_verifier_answer_more(shop: Shop) -> None:
    """On the first 200 problems, the same samples for both votes; another batch flips one or two of them, no more."""
    done = shop.tts("demo", "--problems", "200", "--samples", "16", "--quiet", "--json", timeout=900)
    right = {row["strategy"]: row["correct"] for row in json.loads(done.stdout)}
    assert right["greedy"] < right["majority_vote"] < right["weighted_vote"]
    assert right["greedy"] + 8 <= right["weighted_vote"]


def candidates(shop: Shop, strategy: str) -> dict[int, list[tuple[str | None, float | None, bool]]]:
    """(answer class, score, right) of every candidate under 4 samples, by problem."""
    found = defaultdict(list)
    for problem, answer_class, score, right in shop.query(
        "SELECT problem_id, answer_class, candidate.score, candidate.correct FROM candidate "
        "JOIN query ON query.id = query_id JOIN job ON job.id = query.job_id "
        f"WHERE job.strategy = '{strategy}' AND job.budget = '4' AND NOT job.oracle ORDER BY problem_id, candidate.id"
    ):
        found[problem].append((None if answer_class < 0 else answer_class, score, bool(right)))
    return found


def test_the_oracle_finds_whatever_is_there(shop: Shop, rows: dict[str, Any]) -> None:
    passed = [any(right for *_, right in group) for group in candidates(shop, "majority_vote").values()]
    command = ("run", str(PROBLEMS), "--limit", str(COUNT), "-g", "tiny", "-s", "best_of_n", "-b", "4", "-v", "exact")
    (row,) = json.loads(shop.tts(*command, "--json").stdout)
    assert row["oracle"]
    assert row["correct"] == sum(passed)
    assert row["accuracy"] >= rows["weighted_vote 4"]["accuracy"]


def test_scores_dealt_out_at_random_are_worth_a_majority_vote(shop: Shop, rows: dict[str, Any]) -> None:
    groups, dice = candidates(shop, "weighted_vote"), random.Random(0)

    def vote(shuffled: bool) -> float:
        hits = 0
        for group in groups.values():
            scores = [score for _, score, _ in group]
            if shuffled:
                dice.shuffle(scores)
            totals: dict[Any, float] = defaultdict(float)
            for (answer_class, *_), score in zip(group, scores, strict=True):
                if answer_class is not None:
                    totals[answer_class] += score or 0.0
            winner = max(totals, key=lambda one: totals[one]) if totals else None
            hits += any(right for answer_class, _, right in group if answer_class == winner)
        return hits / len(groups)

    assert vote(shuffled=False) == pytest.approx(rows["weighted_vote 4"]["accuracy"], abs=0.03)
    shuffles = [vote(shuffled=True) for _ in range(50)]
    assert sum(shuffles) / 50 == pytest.approx(rows["majority_vote 4"]["accuracy"], abs=0.05)


def test_numbers_of_samples_are_checked(tmp_path: Path) -> None:
    wrong = Shop(tmp_path).tts("demo", "--samples", "4,many", check=False)
    assert wrong.returncode == 2
    assert "'4,many': give numbers from 1 to 256 with commas between" in wrong.stderr
