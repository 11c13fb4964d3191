"""What a completion stands behind: token ids that are continued, or chat turns whose tokens only their server knows."""

from __future__ import annotations

from collections.abc import Sequence

from models.templates import BYTES_PER_MESSAGE, BYTES_PER_PROMPT
from strategies.protocols import Message, Prefix, QueryError, Reader
from strategies.task import Candidate


def continued(prefix: Prefix, lineage: Sequence[Candidate]) -> Prefix:
    """The prefix behind the last of `lineage`, token by token as it was drawn.

    Raises:
        QueryError: some of the ids are not known.
    """
    ids = [prefix.tokens, *(one.tokens for one in lineage)]
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


async def added(reader: Reader, text: str) -> tuple[int, ...]:
    """The ids that `text` adds to the end of another text."""
    before, after = await reader.tokenize("1"), await reader.tokenize("1" + text)
    return after[len(before) :]
