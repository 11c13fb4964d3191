"""What a strategy is given, and what it returns: a task with its budget and meters, candidates, the solution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from strategies.protocols import Answers, FinishReason, ProblemView, TokenUsage


@dataclass(slots=True)
class Candidate:
    """One complete or partial solution: a node of the query's tree, addressed by `path` ("3", "s3.0", ...).

    `text` and `usage` are its own; what stands before it is its parent's. `tokens` are its own ids, known where it can
    be continued. `score` is the verifier's aggregated score, `step_scores` one per step (None where it was not asked
    for), `step_logprobs` the generator's own mean token log-probability of each step (nats), `gpu_seconds` its share of
    the engine's time. `answer_class` numbers the equivalence class of `answer` inside the query, -1 where no answer
    could be read. `kept` is False for a discarded branch. `reused_from` is the row id of the candidate of another
    attempt or job it was copied from.
    """

    path: str
    text: str
    finish_reason: FinishReason
    usage: TokenUsage
    parent: Candidate | None = field(default=None, repr=False)
    tokens: tuple[int, ...] | None = field(default=None, repr=False)
    step_logprobs: tuple[float, ...] | None = None
    answer: str | None = None
    answer_class: int = -1
    score: float | None = None
    step_scores: tuple[float | None, ...] | None = None
    gpu_seconds: float = 0.0
    kept: bool = True
    reused_from: int | None = None

    @property
    def lineage(self) -> list[Candidate]:
        """From the first step to this one."""
        found = [self]
        while (before := found[-1].parent) is not None:
            found.append(before)
        return found[::-1]

    @property
    def solution(self) -> str:
        """The text from the first step to the end of this one."""
        return self.text if self.parent is None else "".join(one.text for one in self.lineage)


@dataclass(frozen=True, slots=True)
class Budget:
    """How much compute: an amount in `samples`, `tokens`, `flops` or `usd`."""

    amount: float
    unit: Literal["samples", "tokens", "flops", "usd"]

    def __str__(self) -> str:
        return f"{self.amount:g}{'' if self.unit == 'samples' else self.unit}"


class MeteredGenerator(Protocol):
    """The generator as a strategy sees it: bounded by the query's budget and recorded in its ledger."""

    async def sample(
        self,
        path: str,
        *,
        temperature: float | None = None,
        attempts: Sequence[Candidate] = (),
        feedback: bool = False,
    ) -> Candidate:
        """Draw one complete solution at `path`, seeded from (job seed, problem key, path).

        `attempts`, oldest first, are shown to the model as what it wrote before, for it to revise; the oldest are left
        out where they leave no room for a solution. With `feedback` the step with the lowest of `step_scores` is named
        behind each. The new one is a whole solution of its own, without a parent.

        Raises:
            BudgetExhausted: nothing is in flight and another call does not fit.
        """
        ...

    async def step(self, path: str, parent: Candidate | None, *, temperature: float | None = None) -> Candidate:
        """Draw one step at `path`, behind `parent` (None: behind the problem), which ended with a step itself.

        It continues the token ids, so that the engine's prefix cache holds all that stands before.

        Raises:
            BudgetExhausted: as `sample`.
            QueryError: the engine takes no token ids.
        """
        ...

    async def segment(
        self,
        path: str,
        parent: Candidate | None,
        tokens: int | None,
        *,
        temperature: float | None = None,
        until: str | None = None,
        forced: str = "",
    ) -> Candidate:
        """Draw at most `tokens` tokens (None: to the solution's end) at `path`, behind `parent` (None: behind the
        problem), token ids as in `step`.

        Its finish reason is `step` where the solution goes on, even if no step of the template ends there. A part that
        is drawn `until` a string goes on behind every end of its own, the string or the end of the text, and keeps
        neither in its text or ids. `forced` is put in front of it, into both, as if the model had written it: read and
        not drawn.

        Raises:
            BudgetExhausted: as `sample`.
            QueryError: the engine takes no token ids.
        """
        ...


class MeteredVerifier(Protocol):
    """The verifier as a strategy sees it: splits a candidate into steps, scores them, records the cost."""

    async def score(self, candidate: Candidate, *, last_only: bool = False) -> tuple[float, ...]:
        """One score per step from the first one of its solution on, or the last step's alone; also stored in
        `candidate.step_scores`."""
        ...


@dataclass(slots=True)
class Task:
    """Everything a strategy needs to solve one query. `candidates` are those already made (a probe's, or reused).

    `width`: N of the searches, how many solutions as long as they may be the budget holds; the budget itself in samples.
    """

    problem: ProblemView
    generator: MeteredGenerator
    verifier: MeteredVerifier | None
    answers: Answers
    budget: Budget
    seed: int
    candidates: list[Candidate] = field(default_factory=list)
    width: int = 0

    def __post_init__(self) -> None:
        if not self.width:
            self.width = int(self.budget.amount) if self.budget.unit == "samples" else 1


@dataclass(slots=True)
class Solution:
    """A strategy's result: the answer, every candidate it used or made, and why it stopped.

    `stopped`: `complete` (did what it set out to do), `budget` (the budget ended it), `settled` (more would not
    change the answer), `unfinished` (a search of which no branch came to an end).
    """

    answer: str | None
    candidates: list[Candidate]
    stopped: Literal["complete", "budget", "settled", "unfinished"]
    chosen: str | None = None


class Strategy(Protocol):
    """An algorithm that spends a budget on a query. Stateless; one instance may solve many tasks at once."""

    async def solve(self, task: Task) -> Solution: ...
