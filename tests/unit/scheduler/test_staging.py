"""What --difficulty, --policy and --allocation make of a job, and which of them go together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.errors import UserError
from models.settings import settings
from scheduler.policy import Arm, Policy
from scheduler.submission import Request, specify
from strategies.registry import find
from tests.stages import calibrated, policy

CONFIGURATION = """
[generators.fast]
engine = "instant"
model = "instant"

[generators.served]
engine = "openai"
model = "some"
url = "http://127.0.0.1:1/v1"
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tts-jobs.toml").write_text(CONFIGURATION)
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def request(**changes: Any) -> Request:
    usual: dict[str, Any] = {
        "generator": "fast",
        "strategy": "compute-optimal",
        "parameters": {},
        "budget": (8.0, "samples"),
    }
    return Request(**{**usual, **changes})


def named(**changes: Any) -> tuple[Policy, str]:
    return policy(**changes), "ours@3"


def test_without_options_it_is_the_seeds_table_and_a_probe() -> None:
    specification, _ = specify(request())
    assert (specification.strategy, specification.verifier) == ("compute_optimal", None)
    assert (specification.difficulty, specification.policy, specification.allocation) == ("probe", "seed", "policy")
    chosen = Policy.model_validate(specification.plan)
    assert [arm.strategy for arm in chosen.arms] == ["adaptive_consistency"]
    assert chosen.table == {8: (0, 0, 0, 0)}


def test_a_verifier_is_used_where_the_user_or_the_policy_names_one() -> None:
    by_user, _ = specify(request(verifier="mean_logprob"))
    assert [arm.strategy for arm in Policy.model_validate(by_user.plan).arms] == [
        "weighted_vote", "beam_search", "sequential_revision",
    ]  # fmt: skip
    by_policy, models = specify(request(policy=named()))
    assert (by_policy.verifier, by_policy.verifier_identity, by_policy.policy) == (
        "mean_logprob",
        "mean_logprob",
        "ours@3",
    )
    assert models.every_step, "a search has every step scored"


@pytest.mark.parametrize(
    ("generator", "verifier", "searches"),
    [("fast", "mean_logprob", True), ("served", "mean_logprob", False), ("fast", "exact", False)],
)
def test_a_server_that_continues_no_ids_and_an_oracle_of_answers_search_nothing(
    generator: str, verifier: str, searches: bool
) -> None:  # fmt: skip
    specification, _ = specify(request(generator=generator, verifier=verifier))
    arms = Policy.model_validate(specification.plan).arms
    assert any(find(arm.strategy).searches for arm in arms) is searches


def test_the_plan_is_a_part_of_what_names_the_job() -> None:
    one, _ = specify(request(policy=named()))
    other, _ = specify(request(policy=(policy(thresholds=(0.2, 0.4, 0.6)), "ours@3")))
    again, _ = specify(request(policy=named()))
    assert one.fingerprint("data") == again.fingerprint("data") != other.fingerprint("data")
    assert one.sampling_key == other.sampling_key
    plain, _ = specify(request(strategy="greedy"))
    assert plain.fingerprint("data") == plain.model_copy(update={"plan": None}).fingerprint("data")
    assert (plain.difficulty, plain.policy, plain.allocation, plain.plan) == ("none", None, "uniform", None)


def test_a_calibrated_policy_can_be_shared_out_by_gain() -> None:
    specification, _ = specify(request(policy=(calibrated({0: 0.75}), "ours@3"), allocation="adaptive"))
    assert (specification.allocation, specification.difficulty) == ("adaptive", "probe")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": (4000.0, "tokens")}, "--budget: compute_optimal counts samples"),
        ({"difficulty": "guessed"}, "--difficulty: unknown 'guessed'; choose one of probe, given, prior, oracle, none"),
        ({"allocation": "fair"}, "--allocation: unknown 'fair'; choose one of uniform, policy, adaptive"),
        (
            {"allocation": "adaptive"},
            "--allocation adaptive: it shares the budget out by what a calibrated policy foretells",
        ),
        (
            {"allocation": "adaptive", "difficulty": "given", "policy": (calibrated({0: 0.75}), "ours@3")},
            "--difficulty given: --allocation adaptive goes by what a probe shows",
        ),
        (
            {"strategy": "greedy", "difficulty": "probe"},
            "--difficulty: greedy gives every query the same; choose --strategy",
        ),
        ({"strategy": "greedy", "policy": named()}, "--policy: greedy gives every query the same"),
        ({"strategy": "greedy", "allocation": "policy"}, "--allocation: greedy gives every query the same"),
        ({"parameters": {"n": 4}}, "--strategy: compute_optimal: parameter 'n'"),
        ({"effort": "low"}, "--effort: compute_optimal does not hold a model's thinking"),
        ({"policy": named(generator_identity="other weights")}, "--policy: it was measured on"),
        ({"policy": named(), "verifier": "exact"}, "--policy: it was measured"),
        (
            {"policy": named(verifier_identity="exact"), "verifier": "exact"},
            "--verifier: exact judges answers, and beam_search, an arm of ours@3, scores steps",
        ),
        (
            {"policy": named(verifier=None, verifier_identity=None)},
            "--policy: ours@3: its arm weighted_vote 8 needs a verifier; name one with --verifier",
        ),
        (
            {"policy": named(arms=(Arm(strategy="luck", samples=8),), table={8: (0, 0, 0, 0)})},
            "--policy: ours@3: unknown strategy 'luck'",
        ),
        (
            {"policy": named(arms=(Arm(strategy="compute_optimal", samples=8),), table={8: (0, 0, 0, 0)})},
            "--policy: ours@3: compute_optimal cannot be an arm of itself",
        ),
        (
            {
                "template": "tiny",
                "policy": named(
                    arms=(Arm(strategy="sequential_revision", samples=8, parameters={"feedback": True}),),
                    table={8: (0, 0, 0, 0)},
                ),
            },
            "--policy: ours@3: its arm sequential_revision 8 gives feedback, and the template tiny",
        ),
    ],
)
def test_what_does_not_go_together_is_a_sentence(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        specify(request(**changes))
    assert str(caught.value).startswith(message)


def test_a_policy_of_other_models_can_be_taken_anyway() -> None:
    specification, _ = specify(request(policy=named(generator_identity="other weights"), policy_anyway=True))
    assert specification.policy == "ours@3"
