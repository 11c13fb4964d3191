"""What a completion stands behind: token ids that are continued, or chat turns whose tokens only their server knows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from models.templates import BYTES_PER_MESSAGE, BYTES_PER_PROMPT
from strategies.protocols import Completion, Generator, Message, Prefix, QueryError, Reader
from strategies.task import Candidate

ANCHORS = ("1", "\n", "a")
"""Texts to whose end others are added; at least one of them becomes one token with none of those."""


def continued(prefix: Prefix, lineage: Sequence[Candidate], forced: tuple[int, ...] = ()) -> Prefix:
    """The prefix behind the last of `lineage`, token by token as it was drawn, and behind that `forced`.

    Raises:
        QueryError: some of the ids are not known.
    """
    ids = [prefix.tokens, *(one.tokens for one in lineage), forced]
    if any(tokens is None for tokens in ids):
        raise QueryError("this strategy continues token ids, which this engine does not take; use llamacpp or vllm")
    return Prefix(tokens=tuple(token for tokens in ids for token in tokens or ()))


def most_tokens(messages: Sequence[Message]) -> int:
    """An upper bound on the prompt's tokens, as `Template.worst_prompt_bytes`: no token is shorter than a byte."""
    written = sum(len(message.content.encode("utf-8", "surrogatepass")) for message in messages)
    return written + BYTES_PER_MESSAGE * len(messages) + BYTES_PER_PROMPT


def weakest_step(attempt: Candidate) -> int | None:
    """The number of the step that the verifier scored lowest, of equals the first; None where it was not asked."""
    scored = [(score, number) for number, score in enumerate(attempt.step_scores or ()) if score is not None]
    return min(scored)[1] if scored else None


def forced_tokens(lineage: Sequence[Candidate]) -> list[int]:
    """How many of the tokens in front of each part of a solution were put there, and not drawn; nothing was put behind
    a part whose ids are not known."""
    found: list[int] = []
    context = lineage[0].usage.prompt_tokens if lineage else None
    for one in lineage:
        found.append(0 if context is None else one.usage.prompt_tokens - context)
        context = None if context is None or one.tokens is None else context + len(one.tokens)
    return found


def reader_of(generator: Generator) -> Reader:
    """The engine as one that can be asked for the ids of a text; raises QueryError where it cannot."""
    if not isinstance(generator, Reader):
        raise QueryError(
            f"{generator.name}: this engine gives no ids of a text to be put in; use llamacpp, vllm, or a server that takes token ids"
        )
    return generator


async def added(reader: Reader, text: str) -> tuple[int, ...]:
    """The ids that `text` adds to the end of another text.

    Raises:
        QueryError: it always becomes one with the text before it.
    """
    for anchor in ANCHORS:
        before, after = await reader.tokenize(anchor), await reader.tokenize(anchor + text)
        if after[: len(before)] == before:
            return after[len(before) :]
    raise QueryError(f"{reader.name}: {text[:40]!r} is not made of tokens of its own; use another model")


async def before_end(reader: Reader, completion: Completion, until: str) -> tuple[int, ...]:
    """The ids of a completion that ended by itself, without those of the string `until` or of the end of the text."""
    tokens = completion.tokens or ()
    if completion.stop_string is None:
        return tokens[:-1]
    end = await added(reader, until)
    if tokens[-len(end) :] == end:
        return tokens[: -len(end)]
    # The end was spelled in other tokens, of which one may hold some of the text before it.
    return await added(reader, completion.text)


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
