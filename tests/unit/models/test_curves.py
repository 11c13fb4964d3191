"""Replayed curves against the votes of the strategies, on both kinds of database."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import samples, tables
from models.architecture import read_architecture
from models.costs import CostModel
from models.curves import Estimator, Replayed, refusal, replay, replayed_curves
from models.database import Database
from models.errors import UserError
from models.replays import Prefix
from models.settings import Price
from models.transitions import Outcome, table
from strategies.aggregation import aggregate
from strategies.protocols import TokenUsage
from strategies.registry import STRATEGIES
from strategies.sampling import GREEDY_PATH
from strategies.task import Candidate
from strategies.votes import elect, one_vote, verdict
from tests.builders import Shelf, add_job, claimed, commit, force, worker
from tests.recorded_samples import RIGHT, UNREAD, WRONG, Drawn, record

MODEL = table(tables.ModelSpecification)
SCORED = [
    [
        Drawn(0, True, (0.9, 0.6)), Drawn(1, False, (0.5, 0.9)), Drawn(1, False, (0.1, 0.7)), Drawn(0, True, (0.8, 0.8)),
        Drawn(-1), Drawn(2, False, (0.3, 0.95)),
    ],
    [
        Drawn(-1), Drawn(0, False, (0.2, 0.1)), Drawn(1, True, (0.6, 0.5)), Drawn(0, False, (0.2, 0.2)),
        Drawn(1, True, (0.4, 0.9)), Drawn(1, True, (0.9, 0.05)),
    ],
    [Drawn(0, False, (0.5, 0.5))] * 6,
]  # fmt: skip


@pytest.fixture(autouse=True)
def someone(database: Database) -> None:
    worker(database)


def run(database: Database, shelf: Shelf, estimator: Estimator = "subsets") -> Replayed:
    with database.reading() as connection:
        return replay(connection, shelf.job_id, estimator=estimator)


def points(found: Replayed, strategy: str, aggregation: str | None = None, field: str = "accuracy") -> list[Any]:
    (curve,) = [one for one in found.curves if (one["strategy"], one["aggregation"]) == (strategy, aggregation)]
    assert [point["n"] for point in curve["points"]] == list(range(1, found.samples + 1))
    return [point[field] for point in curve["points"]]


def candidates(drawn: Sequence[Drawn], how: Any) -> list[Candidate]:
    return [
        Candidate(
            str(number), "", "stop", TokenUsage(1, 0, 1), answer=None if one.answer_class < 0 else "?",
            answer_class=one.answer_class, score=aggregate(one.steps, how) if one.steps else None,  # type: ignore[arg-type]
        )
        for number, one in enumerate(drawn)
    ]  # fmt: skip


def best(drawn: list[Candidate]) -> Candidate | None:
    return max((one for one in drawn if one.answer is not None), key=lambda one: one.score or 0.0, default=None)


CHOICES: list[tuple[str, str | None, Callable[[list[Candidate]], Candidate | None]]] = [
    (
        "majority_vote",
        None,
        lambda drawn: elect([Candidate(**{**_fields(one), "score": None}) for one in drawn], one_vote),
    ),
    *[("weighted_vote", how, lambda drawn: elect(drawn, verdict(drawn))) for how in samples.AGGREGATIONS],
    *[("best_of_n", how, best) for how in samples.AGGREGATIONS],
]


def _fields(one: Candidate) -> dict[str, Any]:
    return {
        "path": one.path, "text": "", "finish_reason": "stop", "usage": one.usage, "answer": one.answer,
        "answer_class": one.answer_class,
    }  # fmt: skip


@pytest.mark.parametrize(("strategy", "how", "choice"), CHOICES)
@pytest.mark.parametrize("estimator", ["subsets", "prefix"])
def test_every_n_is_what_the_strategy_would_have_answered(
    database: Database, strategy: str, how: str | None, choice: Any, estimator: Estimator
) -> None:
    """All orders of all subsets one by one, or the first k as drawn."""
    shelf = record(database, SCORED, strategy="weighted_vote")
    found = points(run(database, shelf, estimator), strategy, how)
    for k in range(1, 7):
        right = []
        for drawn in SCORED:
            orders = [tuple(range(k))] if estimator == "prefix" else list(permutations(range(6), k))
            chosen = [choice(candidates([drawn[at] for at in order], how or "last")) for order in orders]
            verdicts = [
                one is not None and drawn[order[int(one.path)]].correct
                for one, order in zip(chosen, orders, strict=True)
            ]
            right.append(np.mean(verdicts))
        exact = estimator == "prefix" or strategy == "best_of_n"
        assert found[k - 1] == pytest.approx(np.mean(right), abs=1e-9 if exact else 0.03)


def test_the_metrics_of_the_field(database: Database) -> None:
    shelf = record(database, [[RIGHT, WRONG, RIGHT, WRONG], [WRONG, RIGHT, UNREAD, RIGHT]])
    found, drawn = run(database, shelf), run(database, shelf, "prefix")
    assert points(found, "pass@k") == pytest.approx([1 / 2, 5 / 6, 1, 1])
    assert points(found, "avg@k") == pytest.approx([1 / 2] * 4)
    assert points(found, "g-pass@k_1.0") == pytest.approx([1 / 2, 1 / 6, 0, 0])
    assert points(found, "mg-pass@k") == pytest.approx([0, 1 / 6, 0, 0])
    assert points(drawn, "pass@k") == [0.5, 1, 1, 1]
    assert points(drawn, "avg@k") == pytest.approx([1 / 2, 1 / 2, (2 / 3 + 1 / 3) / 2, 1 / 2])
    assert points(drawn, "g-pass@k_0.5") == [0.5, 1, 0.5, 1]
    assert points(drawn, "mg-pass@k") == [0, 0, 0, 0]
    assert points(drawn, "majority_vote") == [0.5, 0.5, 0.5, 1]


def test_thresholds_reached_in_a_prefix() -> None:
    """Five of six are right: of the thresholds 4/6, 5/6 and 6/6 two are reached, of 2/6 each."""
    six = np.array([True, True, True, False, True, True])
    nothing = np.full(6, np.nan)
    one = samples.Samples(
        1, False, np.where(six, 0, 1), six, dict.fromkeys(samples.AGGREGATIONS, nothing), np.zeros(3), np.zeros((3, 6)),
        np.zeros((3, 6)),
    )  # fmt: skip
    assert Prefix(6).curves(one)["mg-pass@k", None][5] == pytest.approx(2 / 6 * 2)


def test_headline_figures_are_of_half_the_samples(database: Database) -> None:
    shelf = record(database, [[RIGHT] * 5])
    found = run(database, shelf)
    assert (found.samples, found.headline, found.problems) == (5, 2, 1)
    assert points(found, "pass@k", field="headline") == [True, True, False, False, False]
    assert all(points(run(database, shelf, "prefix"), "pass@k", field="headline"))
    with database.reading() as connection:
        assert replayed_curves(connection, shelf.job_id) == found.curves
    assert json.loads(json.dumps(found.curves)) == found.curves


def test_intervals_are_over_problems(database: Database) -> None:
    shelf = record(database, [[RIGHT] * 2, [WRONG] * 2] * 12)
    found = run(database, shelf)
    low, high = points(found, "majority_vote", field="low")[0], points(found, "majority_vote", field="high")[0]
    assert low == pytest.approx(0.5 - 1.96 * 0.5 / 24**0.5, abs=0.05)
    assert high == pytest.approx(0.5 + 1.96 * 0.5 / 24**0.5, abs=0.05)
    sure = record(database, [[RIGHT] * 2] * 3)
    assert points(run(database, sure), "pass@k", field="low") == [1, 1]


def known_costs(database: Database, tmp_path: Path) -> CostModel:
    """The generator's architecture and prices are known: a dollar per token of prompt, three per generated one."""
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps(
            {
                "model_type": "llama",
                "architectures": ["LlamaForCausalLM"],
                "hidden_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "intermediate_size": 128,
                "vocab_size": 1000,
                "tie_word_embeddings": True,
            }
        )
    )
    architecture = read_architecture(config)
    assert architecture is not None
    price = {"prompt": 1e6, "generated": 3e6}
    force(database, MODEL, 1, architecture=architecture.to_dict(), price=price)
    return CostModel("fast", architecture, Price(**price))


@pytest.mark.parametrize("estimator", ["subsets", "prefix"])
def test_k_samples_cost_one_prefill_themselves_and_their_scoring(
    database: Database, tmp_path: Path, estimator: Estimator
) -> None:
    drawn = [Drawn(0, True, (0.5,), tokens=4), Drawn(1, False, (0.4,), tokens=10), Drawn(-1, tokens=1)]
    shelf = record(database, [drawn], strategy="weighted_vote")
    costs = known_costs(database, tmp_path)
    found = run(database, shelf, estimator)
    lengths = [4, 10, 1]
    for k in range(1, 4):
        # Two of three were scored: a subset of k has 2/3 k of them.
        taken, read = (sum(lengths[:k]), min(k, 2)) if estimator == "prefix" else (5 * k, 2 / 3 * k)
        each = [costs.canonical_flops(10, length, read=0) or 0.0 for length in lengths]
        drawing = sum(each[:k]) if estimator == "prefix" else k * sum(each) / 3
        prefill = costs.canonical_flops(10, 0, read=10) or 0.0
        for strategy, how, judged in (("majority_vote", None, 0), ("best_of_n", "last", 1)):
            got = {unit: points(found, strategy, how, unit)[k - 1] for unit in samples.UNITS}
            assert got["tokens"] == pytest.approx(10 + taken + judged * 7 * read)
            assert got["dollars"] == pytest.approx(10 + 3 * taken + judged * read)
            assert got["flops"] == pytest.approx(prefill + drawing + judged * 700 * read)


def test_what_is_not_known_is_unknown(database: Database) -> None:
    found = run(database, record(database, [[RIGHT] * 2]))
    assert points(found, "pass@k", field="flops") == points(found, "pass@k", field="dollars") == [None, None]
    assert points(found, "pass@k", field="tokens") == [15, 20]


def test_only_scores_that_all_voters_have_make_curves(database: Database) -> None:
    """A verifier that was asked for last steps alone, and one that read some samples only."""
    last = record(database, [[Drawn(0, True, (None, 0.5)), Drawn(-1)], [Drawn(-1)] * 2], strategy="best_of_n")
    found = run(database, last)
    assert {one["aggregation"] for one in found.curves} == {None, "last"}
    assert "under min, prod, mean" in " ".join(found.notes)
    some = record(database, [[Drawn(0, True, (0.5,)), Drawn(1)]])
    assert {one["aggregation"] for one in run(database, some).curves} == {None}
    assert {one["aggregation"] for one in run(database, record(database, [[UNREAD]])).curves} == {None}


def test_queries_of_different_lengths_end_the_curves_at_the_shortest(database: Database) -> None:
    found = run(database, record(database, [[RIGHT] * 4, [WRONG, RIGHT]], budget_unit="tokens", budget_amount=40.0))
    assert found.samples == 2
    assert points(found, "pass@k") == pytest.approx([(1 + 1 / 2) / 2, 1])
    assert "2 to 4 samples" in found.notes[0]
    assert "budget was in tokens" in found.notes[1]


def test_the_greedy_sample_is_the_first_as_drawn_and_in_no_subset(database: Database) -> None:
    shelf = record(
        database,
        [[Drawn(1, path="1"), Drawn(0, True, path="greedy"), Drawn(1, path="0")]],
        parameters={"greedy_first": True},
    )
    assert points(run(database, shelf, "prefix"), "majority_vote") == [1, 1, 0]
    found = run(database, shelf)
    assert points(found, "majority_vote") == [0, 0]
    assert "greedy samples" in found.notes[0]
    greedy = record(database, [[Drawn(0, True, path="greedy")]], strategy="greedy")
    assert points(run(database, greedy, "prefix"), "pass@k") == [1]
    assert points(run(database, greedy), "pass@k") == [1]


def test_samples_are_in_the_order_of_their_numbers(database: Database) -> None:
    drawn = [Drawn(0, number == 10, path=str(number)) for number in (10, 2, *range(3, 10), 0, 1)]
    assert points(run(database, record(database, [drawn]), "prefix"), "pass@k") == [0] * 10 + [1]


def test_unfinished_and_ungraded_queries_are_left_out_and_counted(database: Database) -> None:
    shelf = record(database, [[RIGHT] * 2, [RIGHT] * 2, [WRONG] * 2])
    force(database, table(tables.Query), shelf.queries[0], state="failed")
    force(database, table(tables.Query), shelf.queries[1], correct=None)
    found = run(database, shelf)
    assert found.problems == 1
    assert points(found, "pass@k") == [0, 0]
    assert found.notes[0].startswith("2 of 3 queries")


def test_pages_join_without_a_seam(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = record(database, SCORED * 2, strategy="weighted_vote")
    record(database, SCORED)
    whole = run(database, shelf)
    monkeypatch.setattr(samples, "PAGE", 2)
    assert run(database, shelf) == whole


def test_adaptive_consistency_is_replayed_as_it_stopped(database: Database) -> None:
    """One settled after four samples, the other drew all six."""
    shelf = record(database, [[RIGHT] * 4, [WRONG, RIGHT, WRONG, RIGHT, RIGHT, RIGHT]], strategy="adaptive_consistency")
    found = run(database, shelf, "prefix")
    assert [one["strategy"] for one in found.curves] == ["adaptive_consistency"]
    assert points(found, "adaptive_consistency") == [0.5, 0.5, 0.5, 0.5, 1, 1]
    assert points(found, "adaptive_consistency", field="tokens") == [15, 20, 25, 30, 32.5, 35]
    with pytest.raises(UserError, match="stopped by what its samples showed"):
        run(database, shelf)


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        ("beam_search", "no independent samples"),
        ("rebase", "no independent samples"),
        ("budget_forcing", "no independent samples"),
        ("first_finish", "others would have come first"),
        ("compute_optimal", "depends on what the ones before showed"),
        ("sequential_revision", "in sight of"),
        ("of-a-package", "no independent samples"),
    ],
)
def test_what_cannot_be_replayed_says_why(database: Database, strategy: str, reason: str) -> None:
    shelf = record(database, [[RIGHT] * 2], strategy=strategy)
    for estimator in ("subsets", "prefix"):
        with database.reading() as connection:
            assert reason in (refusal(connection, shelf.job_id, estimator) or "")
    with pytest.raises(UserError, match=f"job {shelf.job_id}: .*{reason}"):
        run(database, shelf)


def test_a_job_without_samples_or_grades_says_so(database: Database) -> None:
    ungraded, open_, dropped = (
        record(database, [[RIGHT]], graded=False),
        add_job(database, 1),
        record(database, [[RIGHT]], keep_tree="none"),
    )
    empty = record(database, [[]])
    with database.reading() as connection:
        assert "tts-jobs review" in (refusal(connection, ungraded.job_id) or "")
        assert "done and graded" in (refusal(connection, open_.job_id) or "")
        assert "--keep-tree full" in (refusal(connection, dropped.job_id) or "")
        assert "no sample" in (refusal(connection, empty.job_id) or "")


def test_every_strategy_that_draws_independent_samples_is_known(database: Database) -> None:
    assert samples.GREEDY == GREEDY_PATH
    for name, entry in STRATEGIES.items():
        shelf = record(database, [[RIGHT] * 2], strategy=name)
        with database.reading() as connection:
            assert (refusal(connection, shelf.job_id, "prefix") is None) == (entry.samples or name == "greedy")


def test_aggregations_are_those_of_the_strategies() -> None:
    for scores in ([0.5], [0.3, 0.9, 0.1], [1e-9, 0.5]):
        for how, of in samples.AGGREGATIONS.items():
            assert of(scores) == aggregate(scores, how)  # type: ignore[arg-type]


def test_a_query_that_ends_meanwhile_changes_nothing(database: Database) -> None:
    """All that one report reads is of one moment."""
    shelf = add_job(database, 1)
    claims = claimed(database, shelf)
    with database.reading() as connection:
        assert "done and graded" in (refusal(connection, shelf.job_id) or "")
        commit(database, Outcome(claims[0], "done", answer="2", correct=True))
        assert "done and graded" in (refusal(connection, shelf.job_id) or "")
