"""What is left of one query's budget, held back for the calls in flight."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from strategies.protocols import BudgetExhausted
from strategies.sampling import MOST_SAMPLES
from strategies.task import Budget
from worker.ledger import Ledger


class Allowance:
    """A budget of which each call reserves its worst case and gives back what it did not use.

    `max_tokens` is the most that a solution may have, `prompt_tokens` tells the prompt's length or an upper bound.
    """

    def __init__(self, ledger: Ledger, budget: Budget, max_tokens: int, prompt_tokens: Callable[[], int]) -> None:
        self._ledger = ledger
        self._budget = budget
        self._max_tokens = max_tokens
        self._prompt_tokens = prompt_tokens
        self._reserved = 0.0
        self._in_flight = 0
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def reserve(self, wanted: int, written: int, read: int) -> AsyncIterator[int]:
        """Hold back the worst case of a call of `wanted` tokens and yield how many it may generate.

        A call that does not fit waits for those in flight to give back what they did not use; when none is in
        flight it is clipped to what is left. The prompt is held back until the first call that ends well pays for it:
        were it part of one call's worst case, that call's failure would let the others spend it. Behind the prompt
        stand `read` tokens of earlier attempts, or `written` ones that the call continues.

        Raises:
            BudgetExhausted: not even one token fits.
        """
        async with self._changed:
            while (allowed := self._affordable(wanted, written, read)) < wanted and self._in_flight:
                await self._changed.wait()
            if allowed < 1:
                raise BudgetExhausted
            held = self._cost(allowed, written, read)
            self._reserved += held
            self._in_flight += 1
        try:
            yield allowed
        finally:
            async with self._changed:
                self._reserved -= held
                self._in_flight -= 1
                self._changed.notify_all()

    def width(self) -> int:
        """How many solutions as long as they may be the budget holds, at least one."""
        if self._budget.unit == "samples":
            return int(self._budget.amount)
        held = (self._budget.amount - self._first_reading()) / self._priced(self._max_tokens)
        return max(1, min(int(held), MOST_SAMPLES))

    def _affordable(self, wanted: int, written: int, read: int) -> int:
        left = self._left()
        if self._cost(wanted, written, read) <= left:
            return wanted
        low, high = 0, wanted  # the cost grows with the tokens: bisect
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._cost(middle, written, read) <= left else (low, middle)
        return low

    def _left(self) -> float:
        """In the budget's unit; a budget of N samples holds as many tokens as N solutions may have at most, however
        many branches they are spread over."""
        if self._budget.unit == "samples":
            return self._budget.amount * self._max_tokens - self._ledger.generated() - self._reserved
        left = self._budget.amount - self._ledger.spent(self._budget.unit) - self._reserved
        if not self._ledger.prompt_charged:
            left -= self._first_reading()
        return left

    def _cost(self, tokens: int, written: int, read: int) -> float:
        return float(tokens) if self._budget.unit == "samples" else self._priced(tokens, written, read)

    def _priced(self, tokens: int, written: int = 0, read: int = 0, *, first: bool = False) -> float:
        prompt = self._prompt_tokens() + written + read
        return self._ledger.costs.amount(
            self._budget.unit, prompt, tokens, first=first, behind=read, continued=written > 0
        )

    def _first_reading(self) -> float:
        """What the prompt takes from the budget, once."""
        return self._priced(0, first=True) - self._priced(0)
