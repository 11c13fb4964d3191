"""GPU-seconds: the engine's busy time, split over the requests in flight; the parts and the idle time add up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """One request's part of the engine's time. `weight` is its FLOPs per decoding step."""

    weight: int
    start: float


class BusyClock:
    """Splits each busy interval over the requests in flight in proportion to their FLOPs rates.

    In a continuous batch every running sequence advances one token per step, so the FLOPs executed for a request in
    an interval are proportional to its FLOPs per step (`weight`). The clock keeps one virtual time that advances by
    dt / sum(weights); a request's seconds are weight * (virtual end - virtual start): O(1) per event, and the sum over
    requests is exactly the busy time. Weights are whole numbers, whose sum does not drift as that of floats would.
    Not thread-safe: it belongs to the event loop.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = self._last = now()
        self._virtual: float = 0
        self._weights = 0
        self._busy: float = 0
        self.open = 0
        """Shares that are open now; the one thing here that another thread may read."""

    def start(self, weight: float) -> Share:
        """Open a share; `weight` in FLOPs, at least one."""
        self._advance()
        share = Share(max(1, round(weight)), self._virtual)
        self._weights += share.weight
        self.open += 1
        return share

    def seconds(self, share: Share) -> float:
        """What an open share has used so far."""
        self._advance()
        return share.weight * (self._virtual - share.start)

    def stop(self, share: Share) -> float:
        """Close a share and return its GPU-seconds."""
        used = self.seconds(share)
        self._weights -= share.weight
        self.open -= 1
        return used

    def totals(self) -> tuple[float, float]:
        """(busy, idle) seconds since the engine was started; together the time the GPU was held."""
        self._advance()
        return self._busy, self._last - self._began - self._busy

    def _advance(self) -> None:
        now = self._now()
        if self._weights:
            self._virtual += (now - self._last) / self._weights
            self._busy += now - self._last
        self._last = now
