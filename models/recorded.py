"""What a recording says: problems with the solutions that somebody else had generated, scored and judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Rule = Literal["best_of_n", "weighted_vote", "majority_vote"]
"""How an answer was chosen among samples: by the best score, or by votes that are weighted with scores or equal."""

CHOOSES = ("greedy", "majority_vote", "best_of_n", "weighted_vote")
"""Strategies that choose among recorded solutions here; of any other the recorded answer is taken."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How the answers of a recording are chosen. `aggregation` (`strategies.aggregation`) makes one score of step scores;
    None takes the recorded score, and the last step's where there is none."""

    strategy: str
    parameters: Mapping[str, Any]
    aggregation: Literal["last", "min", "prod", "mean"] | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One recorded solution; None is what the recording does not say.

    `score` is the verifier's one score, `step_scores` one per step; `logprob` the mean token log-probability (nats).
    `prediction` is the answer that was read in it ("" for none) and `verdict` whether that was held to be right.
    """

    text: str
    finish_reason: Literal["stop", "length"] = "stop"
    score: float | None = None
    step_scores: tuple[float, ...] | None = None
    generated_tokens: int | None = None
    logprob: float | None = None
    prediction: str | None = None
    verdict: bool | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """The tokens of one recorded request, None where unknown; `cached_tokens` are a part of `prompt_tokens`."""

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    generated_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer that the recording chose by `rule` among its first `samples` solutions; `field` is where it says so."""

    field: str
    rule: Rule
    samples: int
    answer: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """All that is recorded of one problem. `chosen` is its final answer, or the whole solution that gives it.

    `key` and `prompt` are None where the recording has none; one of them is there. `generator` is what wrote the solutions.
    """

    key: str | None
    prompt: str | None
    answer: str | None
    samples: tuple[Sample, ...]
    subject: str | None = None
    level: str | None = None
    requests: tuple[Spent, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    chosen: str | None = None
    generator: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Recorded:
        """What `to_dict` gave, also after it was JSON."""
        samples = tuple(
            Sample(**{**one, "step_scores": None if one["step_scores"] is None else tuple(one["step_scores"])})
            for one in fields["samples"]
        )
        requests = tuple(Spent(**one) for one in fields["requests"])
        predictions = tuple(Prediction(**one) for one in fields["predictions"])
        return cls(**{**fields, "samples": samples, "requests": requests, "predictions": predictions})
