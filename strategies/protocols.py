"""The seams: the protocols an engine, a verifier and a grader meet, and what passes through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@runtime_checkable
class Paged(Protocol):
    """A generator whose cache is not divided among its sequences: pages for `cache_tokens` tokens in all, in which a
    prefix stays until its page is needed."""

    cache_tokens: int


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

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        """As `Generator.encode`; always token ids."""
        ...

    async def tokenize(self, text: str) -> tuple[int, ...]:
        """The ids of a plain text, with what the model's tokenizer puts before one."""
        ...

    async def next_logprobs(self, prefixes: Sequence[Sequence[int]], wanted: Sequence[int]) -> list[NextTokens]:
        """How likely each token of `wanted` is behind each of `prefixes`, which are read one after the other: what the
        next one shares with it is not read again.

        Raises:
            QueryError: the tokens do not fit the model's context.
            TransientError: the engine could not answer now.
            EngineDied: the engine will never answer again.
        """
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Pooled:
    """What a model's head says of a text: one row of logits, a logit for each label, at every token of it, or a single
    row for all of it, by the model's kind. `usage` is the one forward pass, which reads all of the text anew."""

    rows: tuple[tuple[float, ...], ...]
    usage: TokenUsage


class Pooler(Protocol):
    """A model with a head of labels in the place of the vocabulary's: the ground of verifiers that are classifiers.

    `context_length` is in tokens. `beginning` is the text of the token that begins a text, None where it is not known.
    """

    name: str
    context_length: int
    beginning: str | None

    async def encode(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """The ids of a whole conversation by the model's own chat template; no turn is left open."""
        ...

    async def tokenize(self, text: str) -> tuple[int, ...]:
        """The ids of a plain text, with what the model's tokenizer puts before one."""
        ...

    async def pool(self, tokens: Sequence[int]) -> Pooled:
        """One forward pass.

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

    Without `passes` nothing was computed by a model. A pass continues the one before it but for that one's last `tail`
    tokens, such as a question behind the solution.
    """

    steps: tuple[float, ...]
    passes: tuple[TokenUsage, ...] = ()
    tail: int = 0


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
        """True when both are the same answer (mathematically, for math templates). Symmetric; need not be transitive."""
        ...
