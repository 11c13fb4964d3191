"""What `--effort` and `budget_forcing` make of a job, and which generators they are refused for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from models.errors import UserError
from models.settings import ModelEntry, settings
from models.specification import JobSpecification
from scheduler.submission import Request, specify


@pytest.fixture(autouse=True)
def _entries(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {
        "thinker": ModelEntry(engine="instant", model="m", thinking=True),
        "plain": ModelEntry(engine="instant", model="m"),
        "served": ModelEntry(engine="openai", model="m", url="http://localhost:1/v1", reasoning_effort="high"),
    }
    monkeypatch.setattr(settings(), "generators", entries)


def job(generator: str, strategy: str = "budget_forcing", **options: Any) -> JobSpecification:
    parameters: Mapping[str, Any] = options.pop("parameters", {})
    return specify(Request(generator, strategy, parameters, (1.0, "samples"), **options))[0]


def test_an_effort_is_a_range_and_room_for_the_answer() -> None:
    low = job("thinker", effort="low", template="plain")
    assert low.parameters == {"minimum": 0, "maximum": 1024, "waits": 0}
    assert low.sampling["max_tokens"] == 1024 + 512
    assert job("thinker").parameters == job("thinker", effort="medium").parameters
    mixed = job("thinker", effort="low", parameters={"maximum": 2000})
    assert mixed.parameters == {"minimum": 0, "maximum": 2000, "waits": 0}


@pytest.mark.parametrize(
    ("generator", "strategy", "options", "message"),
    [
        ("plain", "budget_forcing", {}, "plain is not known to think, for no chat template of it holds </think>"),
        (
            "served",
            "budget_forcing",
            {},
            "the entry of served sets reasoning_effort, so that its thinking is held already",
        ),
        ("served", "majority_vote", {"effort": "low"}, "--effort: majority_vote does not hold a model's thinking"),
        ("thinker", "budget_forcing", {"sampling": {"max_tokens": 4096}}, "--max-tokens: 4096 leave no room"),
        (
            "thinker",
            "budget_forcing",
            {"effort": "low", "parameters": {"minimum": 2000}},
            "must not be less than minimum",
        ),
    ],
)
def test_what_cannot_be_held_is_refused(generator: str, strategy: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        job(generator, strategy, **options)
