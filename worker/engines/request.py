"""What every engine does alike with one request: check that it fits, bound its seed, draw n at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from strategies.protocols import Completion, Prefix, QueryError, Sampling

SEED_LIMIT = 2**32 - 1
"""Seeds are taken modulo this: llama.cpp holds 32 bits and reads the largest one as "choose for me"."""

Complete = Callable[[Prefix, Sequence[str], int, Sampling, int], Awaitable[Completion]]
"""(prefix, stop, max_tokens, sampling, seed) -> one completion."""


def room(prefix: Prefix, context_length: int, max_tokens: int) -> int:
    """How many tokens may be generated after `prefix`: `max_tokens`, or what the context leaves.

    Raises:
        QueryError: the context leaves no room for a single token.
    """
    length = prefix.token_count
    if length is None:
        return max_tokens
    if length >= context_length:
        raise too_long(length, context_length)
    return min(max_tokens, context_length - length)


def too_long(length: int, context_length: int) -> QueryError:
    return QueryError(f"the prompt has {length} tokens and the model's context holds {context_length}")


async def draw(
    complete: Complete,
    slots: asyncio.Semaphore,
    prefix: Prefix,
    *,
    stop: Sequence[str],
    max_tokens: int,
    sampling: Sampling,
    seeds: Sequence[int],
) -> list[Completion]:
    """One completion per seed, in the order of `seeds`, at most as many at once as there are free `slots`.

    The first failure cancels the others and is raised as it is.
    """

    async def one(seed: int) -> Completion:
        async with slots:
            return await complete(prefix, stop, max_tokens, sampling, seed % SEED_LIMIT)

    if len(seeds) == 1:
        return [await one(seeds[0])]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(seed)) for seed in seeds]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


def check_request(n: int, seeds: Sequence[int], max_tokens: int) -> None:
    """Raises ValueError on a call no engine could answer: a mistake of the caller, not of the query."""
    if n != len(seeds) or n < 1:
        raise ValueError(f"{n} completions need {n} seeds, at least one; got {len(seeds)}")
    if max_tokens < 1:
        raise ValueError(f"max_tokens is {max_tokens}; at least 1 token must be allowed")
