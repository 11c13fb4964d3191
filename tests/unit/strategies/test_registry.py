"""Strategies by name, with checked parameters."""

import pytest

from models.costs import MOST_CALLS
from strategies import registry
from strategies.sampling import MOST_SAMPLES, sample_paths
from strategies.task import Budget
from strategies.weighted_vote import WeightedVote


def test_dashes_and_underscores_are_the_same() -> None:
    assert registry.find("best-of-n") is registry.find("best_of_n") is registry.STRATEGIES["best_of_n"]


@pytest.mark.parametrize("entry", registry.STRATEGIES.values(), ids=lambda entry: str(entry.name))
def test_each_strategy_can_be_listed_and_built(entry: registry.Entry) -> None:
    assert entry.summary.endswith(".")
    assert hasattr(registry.build(entry.name), "solve") is not entry.scheduled
    free = ("greedy", "majority_vote", "adaptive_consistency", "first_finish", "sequential_revision", "budget_forcing")
    assert entry.needs_verifier == (entry.name not in (*free, "compute_optimal"))
    assert entry.samples == ("greedy_first" in entry.make.model_fields)


def test_parameters_are_its_fields() -> None:
    strategy = registry.build("weighted-vote", {"aggregation": "prod", "keep_top": 0.5})
    assert isinstance(strategy, WeightedVote)
    assert strategy.model_dump() == {"aggregation": "prod", "keep_top": 0.5, "greedy_first": False}


@pytest.mark.parametrize(
    "entry", [entry for entry in registry.STRATEGIES.values() if entry.searches], ids=lambda e: e.name
)
def test_a_search_gives_up_after_forty_steps(entry: registry.Entry) -> None:
    assert entry.make.model_fields["max_steps"].default == 40


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("adaptive_consistency", "confidence", 0.95),
        ("best_of_n", "aggregation", "last"),
        ("weighted_vote", "keep_top", 1.0),
        ("beam_search", "beam_width", 4),
        ("dvts", "beam_width", 4),
        ("lookahead", "lookahead", 3),
        ("rebase", "balance", 0.2),
        ("particle_filter", "answer", "best"),
        ("mcts", "exploration", 1.41),
        ("mcts", "children", 4),
    ],
)
def test_what_is_not_given_is_as_published(name: str, parameter: str, value: object) -> None:
    assert registry.find(name).make.model_fields[parameter].default == value


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


@pytest.mark.parametrize("name", [entry.name for entry in registry.STRATEGIES.values() if entry.samples])
def test_the_greedy_sample_counts_as_the_first_of_the_votes(name: str) -> None:
    entry, four, parameters = registry.find(name), Budget(4, "samples"), {"greedy_first": True}
    paths = ("greedy", "0", "2", "3", "s0", "r0.1")
    assert [path for path in paths if entry.uses(path, four, parameters)] == ["greedy", "0", "2"]
    assert [path for path in paths if entry.uses(path, four, {"greedy_first": False})] == ["0", "2", "3"]
    assert sample_paths(four, greedy_first=True) == ["greedy", "0", "1", "2"]
    assert sample_paths(Budget(1, "samples"), greedy_first=True) == ["greedy"]
    assert entry.sequences(four) == 4


def test_revisions_use_the_attempts_of_their_chains() -> None:
    revision = registry.find("sequential_revision")
    paths = ("0", "1", "2", "r0.1", "r0.3", "r1.1", "r1.4", "r2.1", "greedy", "s0")
    eight, wide = Budget(8, "samples"), {"chains": 3, "length": 2}
    assert [path for path in paths if revision.uses(path, eight, {}, 8)] == ["0", "1", "r0.1", "r0.3", "r1.1"]
    assert [path for path in paths if revision.uses(path, eight, wide, 8)] == ["0", "1", "2", "r0.1", "r1.1", "r2.1"]
    assert [path for path in paths if revision.uses(path, Budget(900, "tokens"), {}, 3)] == ["0", "r0.1"]


def test_first_finish_uses_its_segments() -> None:
    first = registry.find("first_finish")
    assert [path for path in ("0", "f0", "f3.1", "s0", "greedy") if first.uses(path, Budget(2, "samples"))] == [
        "f0",
        "f3.1",
    ]


def test_who_wants_a_verifier() -> None:
    revision = registry.find("sequential_revision")
    assert [revision.wants_verifier({"select": select}) for select in ("verifier", "vote", None)] == [
        True,
        False,
        False,
    ]
    assert registry.find("best_of_n").wants_verifier({})


def test_how_many_attempts_are_shown() -> None:
    assert list(registry.find("sequential_revision").shown({"length": 7})) == [0, 1, 2, 3, 4, 4, 4]
    assert list(registry.find("best_of_n").shown({})) == [0]


def test_of_a_package_that_is_not_here_a_scheduler_knows_enough() -> None:
    entry = registry.outline("nobodys")
    assert (entry.sequences(Budget(16, "samples")), list(entry.shown({"feedback": True}))) == (16, [0])
    assert registry.outline("greedy") is registry.find("greedy")
