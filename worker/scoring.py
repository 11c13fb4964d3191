"""The metered verifier: what a strategy talks to instead of a model that scores."""

from __future__ import annotations

from collections.abc import Sequence

from models.costs import CostModel
from models.settings import Price
from models.templates import Template
from strategies.protocols import ProblemView, QueryError, Scores, Step, Verifier
from strategies.task import Candidate
from worker.busy import BusyClock
from worker.ledger import Ledger


class ScoringMeter:
    """The verifier recorded in the query's ledger; it sees a candidate as the template's steps.

    A verifier that is a model shares `clock`, the device's, with the generator.
    """

    def __init__(
        self, verifier: Verifier, ledger: Ledger, problem: ProblemView, template: Template, clock: BusyClock
    ) -> None:
        self._verifier = verifier
        self._ledger = ledger
        self._problem = problem
        self._template = template
        self._clock = clock

    async def score(self, candidate: Candidate, *, last_only: bool = False) -> tuple[float, ...]:
        """One score per step, or the last's alone (see `strategies.task.MeteredVerifier`).

        Raises:
            QueryError: the candidate is not finished, and the verifier judges answers alone.
            ValueError: the verifier returned something else than one score in [0, 1] per step asked for.
        """
        if self._verifier.oracle and candidate.finish_reason == "step":
            raise QueryError(f"{self._verifier.name} judges answers, not steps; a search needs another verifier")
        steps = self._steps(candidate)
        costs = self._ledger.costs.verifier
        # Where scores cost nothing all are given; but of a branch the generator's own are known for its newest step alone.
        first = len(steps) - 1 if last_only and (costs or candidate.parent) else 0
        if costs is None:
            scores = await self._verifier.score(self._problem, steps, first=first)
            if scores.passes:
                # Of a package's verifier, of which nothing is known but the tokens that it says it read.
                self._ledger.scoring(candidate, scores.passes, 0.0, CostModel(self._verifier.name, None, Price()))
        else:
            scores = await self._timed(costs, candidate, steps, first)
        if len(scores.steps) != len(steps) - first or not all(0.0 <= score <= 1.0 for score in scores.steps):
            raise ValueError(f"{self._verifier.name} returned {scores.steps} for {len(steps) - first} steps")
        candidate.step_scores = (None,) * first + scores.steps
        return scores.steps

    def _steps(self, candidate: Candidate) -> list[Step]:
        """From the first one of its solution on; what a step's separator began is not there yet."""
        text = candidate.solution
        if candidate.finish_reason == "step":
            text = text.removesuffix(self._template.step_stop.strip())
        texts = self._template.split_steps(text)
        own = candidate.step_logprobs or ()
        if candidate.parent is not None:
            own = own[-1:]
        logprobs = [*(None for _ in range(len(texts) - len(own))), *own][-len(texts) :]
        return [Step(text, logprob) for text, logprob in zip(texts, logprobs, strict=True)]

    async def _timed(self, costs: CostModel, candidate: Candidate, steps: Sequence[Step], first: int) -> Scores:
        share = self._clock.start(costs.canonical_flops(candidate.usage.prompt_tokens, 2, read=0) or 1.0)
        scores = None
        try:
            scores = await self._verifier.score(self._problem, steps, first=first)
        finally:
            gpu_seconds = self._clock.stop(share)
            if scores is None:
                self._ledger.scoring_aborted(gpu_seconds)
        self._ledger.scoring(candidate, scores.passes, gpu_seconds, tail=scores.tail)
        return scores
