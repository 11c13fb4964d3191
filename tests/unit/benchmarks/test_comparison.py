"""The compute-optimal study on a simulated world: who is compared with whom, and what stands on the page."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import comparison, comparison_page
from benchmarks.baselines import Judge, Line, single_lines
from benchmarks.comparison import Comparison, arms_of, compare, half
from models.efficiency import Curve
from scheduler.outcomes import Recorded, Searched
from tests.unit.scheduler.simulated import World

SEARCHES = [("beam_search", 2), ("rebase", 4), ("beam_search", 8)]


def problems(count: int, seed: int) -> list[Recorded]:
    """Searches of two widths, the wider one better."""
    found = []
    for number, one in enumerate(World(samples=17, search=0.0).problems(count, seed)):
        rng = np.random.default_rng([9, seed, number])
        ran = {
            place: Searched(bool(rng.random() < one.right.mean() + gain), one.prefill + cost * one.unit, 0.1 * cost)
            for place, gain, cost in ((0, 0.0, 3), (1, 0.05, 6), (2, 0.1, 12))
        }
        found.append(replace(one, searches=ran))
    return found


@pytest.fixture(scope="module")
def found() -> Iterator[Comparison]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("FEWER", 4), ("FITTED_ON", 8), ("SEEDS", 2), ("AT_ONCE", 17), ("BUDGETS", (1, 4, 16))):
            patch.setattr(comparison, name, value)
        yield compare(problems(60, 1), problems(40, 2), SEARCHES, subsets=10, draws=50)


def test_every_strategy_is_measured_on_the_same_problems(found: Comparison) -> None:
    assert {"greedy", "majority_vote", "weighted_vote", "best_of_n", "beam_search", "policy", "adaptive"} <= set(
        found.lines
    )
    assert {len(line.flops.accuracy) for line in found.lines.values()} == {40}
    assert found.lines["weighted_vote"].settings == [str(n) for n in range(1, 9)]  # every N, up to half of the samples
    assert (found.lines["beam_search"].settings, found.lines["rebase"].settings) == (["2", "8"], ["4"])
    greedy = [float(one.right[0]) for one in problems(40, 2)]
    assert found.lines["greedy"].flops.accuracy[:, 0].tolist() == greedy
    assert found.lines["policy"].flops.accuracy[:, 0].tolist() == greedy  # a budget of one sample


def test_both_baselines_and_units_and_all_ablations_are_there(found: Comparison) -> None:
    assert set(found.factors) == {(name, unit) for name in ("policy", "adaptive") for unit in ("flops", "seconds")}
    assert all(list(factors.by_q) == [0.5, 0.8, 0.9] for factors in found.factors.values())
    assert all(len(pairs) == 2 for pairs in found.seeds.values())
    names = [variant.name for variant in found.variants]
    assert names == [
        "predicted, as above", "oracle bins", "early stopping alone (adaptive consistency)",
        "N alone, by majority_vote", "N alone, by weighted_vote", "prompt length alone",
        "evidence shuffled over problems",
    ]  # fmt: skip


def line(*points: tuple[float, float]) -> Line:
    rows = np.array([points] * 3)
    curve = Curve(rows[:, :, 0], rows[:, :, 1])
    return Line([str(n) for n in range(len(points))], curve, curve)


def test_the_second_baseline_is_chosen_on_calibration_problems() -> None:
    """What is cheapest there is compared with, even if it is not on held-out problems; not what never gets there."""
    known = {
        "weighted_vote": line((0.4, 1), (0.6, 9)),
        "majority_vote": line((0.4, 1), (0.6, 5)),
        "greedy": line((0.6, 1)),
    }
    held = {
        "weighted_vote": line((0.4, 1), (0.6, 4)),
        "majority_vote": line((0.4, 1), (0.6, 8)),
        "greedy": line((0.45, 1)),
    }
    judge = Judge(known, held, draws=2)
    assert judge.best_single(0.8, "flops") == "majority_vote"
    first, second, name = judge.factors(line((0.4, 1), (0.6, 2)).flops).by_q[0.5]
    assert (first.factor, second.factor, name) == (pytest.approx(2.5 / 1.5), pytest.approx(4.5 / 1.5), "majority_vote")
    assert judge.best_single(0.2, "flops") == "greedy"


def test_a_search_is_an_arm_of_what_the_probe_leaves_it() -> None:
    arms = arms_of(33, SEARCHES)
    assert [(arm.strategy, arm.samples) for arm in arms[:3]] == [("beam_search", 6), ("rebase", 8), ("beam_search", 12)]
    assert max(arm.samples for arm in arms[3:]) == 16


def test_halves_share_the_greedy_sample_alone() -> None:
    one = World(samples=9).problem(0, 0)
    tokens = replace(one, tokens=np.arange(9))
    assert half(tokens, 0).tokens.tolist() == [0, 1, 3, 5, 7]
    assert half(tokens, 1).tokens.tolist() == [0, 2, 4, 6, 8]


def test_the_page_says_what_was_found_and_keeps_what_people_wrote(found: Comparison, tmp_path: Path) -> None:
    comparison_page.write({"uniform": found, "settled-heavy": found}, tmp_path)
    page = tmp_path / "compute-optimal.md"
    text = page.read_text()
    for words in (
        "## Uniform mix",
        "## Settled-heavy mix",
        "Break-even",
        "| oracle bins | 0.8 |",
        "| budget | 0.00 to ",
    ):
        assert words in text
    shown = next(row for row in text.splitlines() if row.startswith("| policy | FLOPs | 0.8 |")).split(" | ")
    first, second, name = found.factors["policy", "flops"].by_q[0.8]
    assert shown[4:] == [str(first), str(second), f"{name} |"]
    page.write_text(f"# Mine\n\nwords\n\n{text.partition('answering')[2]}\nmore words\n")
    comparison_page.write({"uniform": found}, tmp_path)
    again = page.read_text()
    assert again.startswith("# Mine\n\nwords\n")
    assert again.endswith("more words\n")
    assert "Settled-heavy" not in again
    with (tmp_path / "compute-optimal.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["strategy"] == "weighted_vote"]
    assert [row["setting"] for row in rows] == [str(n) for n in range(1, 9)]
    accuracy = found.lines["weighted_vote"].flops.accuracy[:, 7].mean()
    assert float(rows[-1]["accuracy"]) == pytest.approx(accuracy, abs=1e-4)
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "compute-optimal.png",
        "compute-optimal-settled-heavy.png",
    }


def test_single_strategies_cost_one_prefill_and_what_they_draw() -> None:
    recorded = problems(5, 3)
    lines = single_lines(recorded, 4, SEARCHES, 3)
    ran = [[one.searches[place].flops for place in (0, 2)] for one in recorded]
    assert lines["beam_search"].flops.cost.tolist() == ran
    assert lines["greedy"].flops.cost[:, 0] == pytest.approx([one.prefill + one.drawing[0] for one in recorded])
