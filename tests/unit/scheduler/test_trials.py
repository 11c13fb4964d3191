"""What a calibration tries: every vote is replayed from one job, every search has a job for each budget behind the probe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.errors import UserError
from models.settings import settings
from scheduler.policy import Arm
from scheduler.trials import FIRST, REPLAYED, Trials, plan_trials

QUESTION: dict[str, Any] = {
    "generator": "tiny", "verifier": "tiny-prm", "template": None, "answer": None, "tolerance": None, "seed": 3,
    "sampling": {"temperature": 0.7},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tts-jobs.toml").write_text(
        '[generators.served]\nengine = "openai"\nmodel = "m"\nurl = "http://localhost:1/v1"\n'
    )
    settings.cache_clear()
    yield
    settings.cache_clear()


def plan(
    *searches: str, budgets: tuple[int, ...] = (1, 4, 8, 16), parameters: dict[str, Any] | None = None, **changes: Any
) -> Trials:
    return plan_trials({**QUESTION, **changes}, "sums", 32, budgets, searches, parameters or {})


def test_votes_are_replayed_from_one_job_that_draws_the_greedy_sample_first() -> None:
    trials = plan()
    votes = trials.votes
    assert (votes.strategy, votes.parameters, votes.budget) == ("weighted_vote", FIRST, (32.0, "samples"))
    assert (votes.verifier, votes.seed, votes.sampling) == ("tiny-prm", 3, {"temperature": 0.7})
    replayed = [arm for arm in trials.arms if arm.strategy in REPLAYED]
    assert {arm.samples for arm in replayed} == {1, 4, 8, 16}
    assert {arm.strategy for arm in replayed} == {*REPLAYED} - {"greedy"}
    assert all(arm.parameters == FIRST for arm in replayed)


def test_a_search_gets_what_the_probe_leaves() -> None:
    trials = plan(parameters={"beam_width": 2})
    for (number, request), samples in zip(trials.searches.items(), (8, 16), strict=True):
        assert trials.arms[number] == Arm(strategy="beam_search", samples=samples, parameters={"beam_width": 2})
        assert (request.strategy, request.budget) == ("beam_search", (samples - 4.0, "samples"))
        assert (request.parameters, request.verifier) == ({"beam_width": 2}, "tiny-prm")
    assert trials.requests == [trials.votes, *trials.searches.values()]


def test_without_a_verifier_there_are_plain_votes_alone() -> None:
    trials = plan(verifier=None)
    assert (trials.votes.strategy, trials.votes.verifier, dict(trials.searches)) == ("majority_vote", None, {})
    assert {arm.strategy for arm in trials.arms} == {"majority_vote", "adaptive_consistency"}


def test_a_server_that_cannot_continue_steps_is_not_searched_unless_asked_to() -> None:
    assert not plan(generator="served", verifier="mean_logprob").searches
    assert len(plan("beam_search", generator="served", verifier="mean_logprob").searches) == 2


def test_parameters_go_to_the_searches_that_have_them() -> None:
    trials = plan("beam_search", "rebase", "beam-search", budgets=(8,), parameters={"max_steps": 9, "balance": 0.5})
    assert [(arm.strategy, arm.parameters) for arm in (trials.arms[n] for n in trials.searches)] == [
        ("beam_search", {"max_steps": 9}),
        ("rebase", {"max_steps": 9, "balance": 0.5}),
    ]


def test_what_votes_share_with_searches_is_given_to_both() -> None:
    trials = plan(budgets=(8,), parameters={"aggregation": "min", "beam_width": 2})
    assert trials.votes.parameters == {"aggregation": "min", **FIRST}
    assert {arm.strategy: arm.parameters for arm in trials.arms} == {
        "majority_vote": FIRST,
        "adaptive_consistency": FIRST,
        "weighted_vote": {"aggregation": "min", **FIRST},
        "best_of_n": {"aggregation": "min", **FIRST},
        "beam_search": {"aggregation": "min", "beam_width": 2},
    }


def test_a_verifier_is_handed_to_who_wants_one_as_in_a_job_with_a_policy() -> None:
    (revised,) = plan("sequential_revision", budgets=(8,)).searches.values()
    assert revised.verifier is None
    (told,) = plan("sequential_revision", budgets=(8,), parameters={"feedback": True}).searches.values()
    assert told.verifier == "tiny-prm"


@pytest.mark.parametrize(
    ("searches", "changes", "part"),
    [
        (("guess",), {}, "--search: unknown strategy 'guess'"),
        (("weighted_vote",), {}, "--search: weighted_vote needs no job of its own"),
        (("compute_optimal",), {}, "--search: compute_optimal follows a policy and cannot be a part of one"),
        (("rebase",), {"budgets": (1, 4)}, "--search: it gets what a probe of 4 samples leaves"),
        ((), {"parameters": {"greedy_first": False}}, "--param greedy_first: nothing that is tried has it"),
        ((), {"parameters": {"balance": 1}}, "--param balance: nothing that is tried has it"),
        ((), {"parameters": {"beam_width": 0}}, "--search: beam_search: parameter 'beam_width'"),
        ((), {"verifier": "exact"}, "--verifier: exact reads the reference answers"),
        ((), {"generator": "nobody"}, "--generator: unknown model 'nobody'"),
    ],
)
def test_what_does_not_fit_is_a_sentence(searches: tuple[str, ...], changes: dict[str, Any], part: str) -> None:
    with pytest.raises(UserError) as error:
        plan(*searches, **changes)
    assert str(error.value).startswith(part)
