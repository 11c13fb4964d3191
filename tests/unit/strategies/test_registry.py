"""Strategies by name, with checked parameters."""

import pytest

from models.costs import MOST_CALLS
from strategies import registry
from strategies.protocols import Budget
from strategies.sampling import MOST_SAMPLES
from strategies.weighted_vote import WeightedVote


def test_dashes_and_underscores_are_the_same() -> None:
    assert registry.find("best-of-n") is registry.find("best_of_n") is registry.STRATEGIES["best_of_n"]


@pytest.mark.parametrize("entry", registry.STRATEGIES.values(), ids=lambda entry: str(entry.name))
def test_each_strategy_can_be_listed_and_built(entry: registry.Entry) -> None:
    assert entry.summary.endswith(".")
    assert hasattr(registry.build(entry.name), "solve")
    assert entry.needs_verifier == (entry.name not in ("greedy", "majority_vote", "adaptive_consistency"))


def test_parameters_are_its_fields() -> None:
    strategy = registry.build("weighted-vote", {"aggregation": "prod", "keep_top": 0.5})
    assert isinstance(strategy, WeightedVote)
    assert strategy.model_dump() == {"aggregation": "prod", "keep_top": 0.5}


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("beam", {}, "unknown strategy 'beam'; choose one of greedy, majority_vote, adaptive_consistency, best_of_n"),
        ("greedy", {"n": 4}, r"greedy: parameter 'n': Extra inputs are not permitted \(parameters: none\)"),
        ("best_of_n", {"aggregation": "max"}, r"best_of_n: parameter 'aggregation': Input should be 'last', 'min', "),
        ("weighted_vote", {"keep_top": 0}, "weighted_vote: parameter 'keep_top': Input should be greater than 0 "),
        ("weighted_vote", {"keep_top": 1.5}, "weighted_vote: parameter 'keep_top': Input should be less than or equal"),
    ],
)
def test_a_wrong_name_or_parameter_is_a_sentence(name: str, parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        registry.build(name, parameters)


def test_what_runs_at_once() -> None:
    assert registry.find("greedy").sequences(Budget(16, "samples")) == 1
    assert registry.find("majority_vote").sequences(Budget(16, "samples")) == 16
    # What dispatch reserves for and what a strategy draws at most are one number.
    assert registry.find("best_of_n").sequences(Budget(1e6, "tokens")) == MOST_SAMPLES == MOST_CALLS


def test_which_earlier_candidates_can_be_used() -> None:
    greedy, vote, beams = map(registry.find, ("greedy", "majority_vote", "beam_search"))
    four = Budget(4, "samples")
    assert [path for path in ("greedy", "0", "1.0") if greedy.uses(path, four)] == ["greedy"]
    assert [path for path in ("greedy", "0", "3", "4", "0.1", "-1") if vote.uses(path, four)] == ["0", "3"]
    assert [path for path in ("greedy", "0", "s0", "s3.1") if beams.uses(path, four)] == ["s0", "s3.1"]
    assert not vote.uses("s0", four)
    assert vote.uses("200", Budget(1e6, "tokens"))
