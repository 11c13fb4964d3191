"""The seams: what a strategy is given, what it returns, and the protocols an engine, a verifier and a grader meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

FinishReason = Literal["stop", "length", "clipped", "cancelled", "step"]
"""`stop`: the model ended (or a stop string was met); `length`: cut by the sampling's `max_tokens`;
`clipped`: cut earlier, by what was left of the budget; `cancelled`: aborted by us; `step`: a step ended, the solution
goes on."""


class QueryError(Exception):
    """An error that belongs to the query itself (prompt too long, malformed): retrying cannot help."""


class TransientError(Exception):
    """An engine or network error that may pass: the attempt fails and the query is retried with backoff."""


class EngineDied(Exception):
    """The engine is gone for good: the process must leave and be started anew."""


class BudgetExhausted(Exception):
    """The next call does not fit into what is left of the query's budget."""


@dataclass(frozen=True, slots=True)
class Message:
    """One chat turn."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Every field is always sent to the engine, so that engine defaults never apply.

    `temperature` 0 is greedy; `top_p` 1.0, `top_k` 0 and `min_p` 0.0 switch those filters off;
    `max_tokens` is the longest completion, in tokens.
    """

    temperature: float = 0.7
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    max_tokens: int = 512


@dataclass(frozen=True, slots=True)
class Prefix:
    """What a completion continues: token ids where the engine is token-exact, else chat messages.

    Exactly one of `tokens` and `messages` is set. `token_count` is the number of prompt tokens, None when
    only the server can tell.
    """

    tokens: tuple[int, ...] | None = None
    messages: tuple[Message, ...] | None = None

    @property
    def token_count(self) -> int | None:
        return None if self.tokens is None else len(self.tokens)


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Exact token counts of one request. `cached_tokens` (part of `prompt_tokens`) is None where unknown."""

    prompt_tokens: int
    cached_tokens: int | None
    generated_tokens: int


@dataclass(frozen=True, slots=True)
class Completion:
    """One generated continuation.

    `text` excludes the stop string that ended it; `stop_string` names it (None for the end-of-sequence token).
    `tokens`: generated ids, None where the server does not return them. `logprobs`: natural log-probability of
    each generated token, None unless available. `token_ends[i]`: offset in `text` (characters) at which
    token i's text ends; same length as `logprobs`.
    """

    text: str
    finish_reason: FinishReason
    usage: TokenUsage
    tokens: tuple[int, ...] | None = None
    stop_string: str | None = None
    logprobs: tuple[float, ...] | None = None
    token_ends: tuple[int, ...] | None = None


@runtime_checkable
class Generator(Protocol):
    """A language model behind an engine; token-in, token-out where the engine allows it.

    `capacity` is how many sequences the engine runs at once; `context_length` is in tokens.
    """

    name: str
    capacity: int
    context_length: int

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        """Apply the model's own chat template, ending where the assistant's turn begins."""
        ...

    async def generate(
        self,
        prefix: Prefix,
        *,
        n: int,
        stop: Sequence[str],
        max_tokens: int,
        sampling: Sampling,
        seeds: Sequence[int],
    ) -> list[Completion]:
        """Draw n completions, seeds[i] for the i-th; concurrent calls share the engine's continuous batch.

        `max_tokens` (tokens, at most `sampling.max_tokens`) bounds each completion. Cancelling the coroutine
        aborts the requests in the engine.

        Raises:
            QueryError: the prefix does not fit the model's context or is refused as malformed.
            TransientError: the engine could not answer now.
            EngineDied: the engine will never answer again.
        """
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class NextTokens:
    """What a model expects next: `logprobs[i]` is the natural log-probability of the i-th token asked for (-inf where
    the engine names likelier ones only), `usage` the one forward pass."""

    logprobs: tuple[float, ...]
    usage: TokenUsage


@runtime_checkable
class Reader(Protocol):
    """A language model that is read from rather than sampled: the ground of verifiers that answer with a label token.

    `context_length` is in tokens.
    """

    name: str
    context_length: int

    async def tokenize(self, text: str) -> tuple[int, ...]:
        """The ids of a plain text, with what the model's tokenizer puts before one."""
        ...

    async def next_logprobs(self, tokens: Sequence[int], wanted: Sequence[int]) -> NextTokens:
        """How likely each token of `wanted` is behind `tokens`; what an earlier call shares with it is not read again.

        Raises:
            QueryError: the tokens do not fit the model's context.
            TransientError: the engine could not answer now.
            EngineDied: the engine will never answer again.
        """
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a candidate, as a verifier reads it; `mean_logprob` is over the step's own tokens (nats)."""

    text: str
    mean_logprob: float | None = None


@dataclass(frozen=True, slots=True)
class ProblemView:
    """What verifiers and strategies may know of a problem. `answer` is the reference: oracles alone read it."""

    key: str
    prompt: str
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """One score in [0, 1] per step asked for (probability that every step so far is right) and the passes they cost.

    Without `passes` nothing was computed by a model.
    """

    steps: tuple[float, ...]
    passes: tuple[TokenUsage, ...] = ()


class Verifier(Protocol):
    """Scores steps. A failed score raises; it is never 0.0. `oracle` marks one that reads the reference answer."""

    name: str
    oracle: bool

    async def score(self, problem: ProblemView, steps: Sequence[Step], *, first: int = 0) -> Scores:
        """The scores of steps[first:]; the steps before them are read and not scored."""
        ...


class Answers(Protocol):
    """Answer extraction and equivalence."""

    async def extract(self, text: str) -> str | None:
        """The final answer in a finished solution, or None where there is none to be read."""
        ...

    async def equivalent(self, left: str, right: str) -> bool:
        """True when both are the same answer (mathematically, for math templates). Symmetric."""
        ...


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


class ProgressSink(Protocol):
    """Is told of each candidate as it is finished; must not block."""

    def candidate(self, candidate: Candidate) -> None: ...


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
        self, path: str, parent: Candidate | None, tokens: int, *, temperature: float | None = None
    ) -> Candidate:
        """Draw at most `tokens` tokens at `path`, behind `parent` (None: behind the problem), token ids as in `step`.

        Its finish reason is `step` where the solution goes on, even if no step of the template ends there.

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
    progress: ProgressSink | None = None
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
