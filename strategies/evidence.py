"""Evidence: what the samples of a query that are there already tell of how hard its problem is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from strategies.task import Candidate

FEATURES = (
    "share",
    "lead",
    "unread",
    "logprob",
    "weakest",
    "elsewhere",
    "length",
    "prompt",
    "score",
    "score_share",
)
"""What a calibrator is told of a query, in this order (`Evidence.features`). The last two are of the verifier."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Counted over complete samples; solutions are those with a readable answer, and "leading" is the answer with most
    votes, of equals the one with the higher verifier sum, then the one that was drawn first.

    drawn: samples. leading, second: votes of the two most frequent answers. unread: samples without a readable answer.
    logprob: mean token log-probability (nats) of the leading answer's solutions, and `weakest` of the weakest step of
    each; `elsewhere` the logprob of all other samples; None where the engine gave none or there is no such sample.
    generated: tokens of all samples. prompt: tokens of the problem's prompt.
    score: mean verifier score of the leading answer's solutions, score_share their share of the sum of all scores; None
    where they were not scored.
    """

    drawn: int
    leading: int
    second: int
    unread: int
    logprob: float | None
    weakest: float | None
    elsewhere: float | None
    generated: int
    prompt: int
    score: float | None
    score_share: float | None

    @property
    def scored(self) -> bool:
        return self.score is not None

    def features(self) -> tuple[float, ...]:
        """As `FEATURES`; what is unknown is 0.0, so that evidence with scores and without wants a calibrator each."""
        return (
            (self.leading + 1) / (self.drawn + 2),
            (self.leading - self.second) / max(self.drawn, 1),
            self.unread / max(self.drawn, 1),
            self.logprob or 0.0,
            self.weakest or 0.0,
            self.elsewhere or 0.0,
            math.log1p(self.generated / max(self.drawn, 1)),
            math.log1p(self.prompt),
            self.score or 0.0,
            self.score_share or 0.0,
        )


def evidence_of(candidates: Sequence[Candidate]) -> Evidence:
    """Of a query's complete samples, in the order in which they vote; their answers are read and classified."""
    classes: dict[int, list[Candidate]] = {}
    for one in candidates:
        if one.answer_class >= 0:
            classes.setdefault(one.answer_class, []).append(one)
    ranked = sorted(classes.values(), key=lambda group: (-len(group), -_sum_of_scores(group)))
    leading = ranked[0] if ranked else []
    others = [one for one in candidates if one not in leading]
    scored = bool(leading) and all(one.score is not None for one in leading)
    total = _sum_of_scores(candidates)
    return Evidence(
        drawn=len(candidates),
        leading=len(leading),
        second=len(ranked[1]) if len(ranked) > 1 else 0,
        unread=sum(one.answer_class < 0 for one in candidates),
        logprob=_mean([value for one in leading if (value := _logprob(one)) is not None]),
        weakest=_mean([min(one.step_logprobs) for one in leading if one.step_logprobs]),
        elsewhere=_mean([value for one in others if (value := _logprob(one)) is not None]),
        generated=sum(one.usage.generated_tokens for one in candidates),
        prompt=candidates[0].usage.prompt_tokens if candidates else 0,
        score=_mean([one.score or 0.0 for one in leading]) if scored else None,
        score_share=(_sum_of_scores(leading) / total if total > 0 else 0.0) if scored else None,
    )


def _sum_of_scores(candidates: Sequence[Candidate]) -> float:
    return sum(one.score or 0.0 for one in candidates)


def _logprob(one: Candidate) -> float | None:
    return sum(one.step_logprobs) / len(one.step_logprobs) if one.step_logprobs else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
