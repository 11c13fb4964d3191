"""A policy goes to another database through a file; a file of anybody's making is a policy or one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import UserError
from scheduler.policy import Policy
from scheduler.policy_file import FORMAT, PolicyFile, read_policy_file
from tests.policies import evidence, evidences, policies, policy


@given(policies(), evidences)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, made: Policy, told: dict[str, Any] | None
) -> None:
    path = tmp_path_factory.mktemp("file") / "policy.json"
    written = PolicyFile(format=FORMAT, name="gsm8k", version=3, policy=made, evidence=told)
    path.write_text(written.to_json(), encoding="utf-8")
    assert read_policy_file(path) == written


@given(made=policies())
def test_what_is_kept_as_json_is_the_policy(made: Policy) -> None:
    assert Policy.model_validate(json.loads(json.dumps(made.model_dump(mode="json")))) == made


def refused(path: Path) -> str:
    with pytest.raises(UserError) as error:
        read_policy_file(path)
    said = str(error.value)
    assert said.startswith(f"{path}: ")
    assert len(said) < 500 + len(str(path))
    return said.removeprefix(f"{path}: ")


@given(content=st.binary(max_size=200) | st.text().map(str.encode) | st.just(b"[" * 100_000))
def test_anything_else_is_a_sentence(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("file") / "policy.json"
    path.write_bytes(content)
    assert refused(path).startswith("no policy: ")


def change(*keys: str | int, to: Any) -> Callable[[Any], None]:
    def act(whole: Any) -> None:
        for key in keys[:-1]:
            whole = whole[key]
        whole[keys[-1]] = to

    return act


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (change("format", to="tts-jobs-policy/2"), "its format 'tts-jobs-policy/2' is not known here; upgrade"),
        (change("name", to="../../etc"), "'name'"),
        (change("extra", to=1), "'extra'"),
        (change("policy", "arms", 0, "samples", to=0), "'policy.arms.0.samples'"),
        (change("policy", "arms", 0, "strategy", to="guess"), "cannot be followed here: unknown strategy 'guess'"),
        (change("policy", "arms", 2, "parameters", to={"beam_width": 0}), "cannot be followed here: beam_search"),
        (change("policy", "thresholds", to=[0.6, 0.3, 0.85]), "the thresholds must rise"),
        (change("policy", "thresholds", to=[0.3, 0.6, 1.0]), "the thresholds must rise between 0 and 1"),
        (change("policy", "probe", to=[]), "the probe"),
        (change("policy", "probe", to=[0, 4]), "the probe"),
        (change("policy", "table", to={}), "the table needs a row"),
        (change("policy", "table", to={"0": [None] * 4}), "budgets begin at 1"),
        (change("policy", "table", "4", to=[None, 0]), "one bin more than there are thresholds"),
        (change("policy", "table", "4", to=[None, 0, 0, 3]), "an arm is named that is not there"),
        (change("policy", "rungs", 0, "arms", to={"-1": {"weights": [0.0] * 10, "intercept": 0}}), "an arm is named"),
        (change("policy", "rungs", 0, "right", "weights", to=[1.0]), "must have 10 weights"),
        (change("policy", "costs", to=[1.0]), "a cost for every arm, or none"),
        (change("policy", "scoring", to=float("nan")), "'policy.scoring'"),
        (change("policy", "rungs", 0, "fails", "intercept", to=float("inf")), "finite number"),
        (change("evidence", "deep", to=[float("nan")]), "a number that is none"),
        (change("evidence", "cost", to=12), "'evidence.cost'"),
        (change("evidence", "adaptive", 0, "flops", to=0), "'evidence.adaptive.0.flops'"),
        (change("evidence", "uniform", "strategy", to="$x^"), "'evidence.uniform.strategy'"),
    ],
)
def test_a_policy_that_does_not_fit_together_is_a_sentence(
    tmp_path: Path, spoil: Callable[[Any], None], part: str
) -> None:
    whole = json.loads(
        PolicyFile(format=FORMAT, name="gsm8k", version=1, policy=policy(), evidence=evidence()).to_json()
    )
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(whole))
    read_policy_file(path)
    spoil(whole)
    path.write_text(json.dumps(whole))
    assert part in refused(path)


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    assert refused(tmp_path / "missing.json").startswith("No such file or directory; name a file")
    assert refused(tmp_path).startswith("Is a directory")
