"""The generator's own confidence: no second model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from strategies.protocols import ProblemView, QueryError, Scores, Step


class MeanLogprob:
    """exp(mean token log-probability) of each step, in [0, 1]."""

    name = "mean_logprob"
    oracle = False

    async def score(self, problem: ProblemView, steps: Sequence[Step], *, first: int = 0) -> Scores:
        """Raises QueryError where the engine returned no log-probabilities: a missing score is not 0.0."""
        scores: list[float] = []
        for step in steps[first:]:
            if step.mean_logprob is None:
                raise QueryError("mean_logprob: the engine returned no log-probabilities; choose another verifier")
            scores.append(math.exp(min(step.mean_logprob, 0.0)))
        return Scores(tuple(scores))
