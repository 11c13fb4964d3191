"""What a recorded problem would have come to with fewer samples, in other orders. Needs the extra `calibrate`.

Nothing is drawn anew: an order is a permutation of the stored samples, and what n samples bring is what its first n do.
Evidence and votes are those of `strategies.evidence` and `strategies.votes`, for many orders at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property

import numpy as np

from models import ballots
from scheduler.outcomes import Recorded
from strategies.adaptive_consistency import AdaptiveConsistency, lead_is_real

ORDERS = 200
"""Random orders of a problem's samples that a replay is averaged over, unless more are asked for."""


def draw_orders(samples: int, orders: int, rng: np.random.Generator, *, greedy_first: bool = True) -> np.ndarray:
    """(orders, samples) without replacement: the greedy sample, which is the first, ahead of all others; or not at all."""
    others = 1 + ballots.draw_orders(samples - 1, orders, rng)
    ahead = np.zeros((orders, int(greedy_first)), dtype=int)
    return np.concatenate([ahead, others], axis=1)


class Replay:
    """One problem under `orders` (orders, samples), which need not hold all of its samples.

    Every method takes n, a number of samples, and returns one entry for each order.
    """

    def __init__(self, one: Recorded, orders: np.ndarray) -> None:
        self.one, self.orders = one, orders
        samples, rows = one.samples, np.arange(len(orders))[:, None]
        self._position = np.full((len(orders), samples), samples)
        self._position[rows, orders] = np.arange(orders.shape[1])
        classes = np.arange(max(one.answer_class.max(initial=-1) + 1, 1))
        self._member = one.answer_class[:, None] == classes

    # Who speaks for the leading class after each number of samples: (drawn, orders).
    @cached_property
    def _elected(self) -> np.ndarray:
        found: np.ndarray = ballots.elect(self.one.answer_class, self.orders)[0]
        return found

    @cached_property
    def _elected_by_score(self) -> np.ndarray:
        """Of as many votes, the class that the verifier trusts more."""
        found: np.ndarray = ballots.elect(self.one.answer_class, self.orders, then=self.one.score)[0]
        return found

    @cached_property
    def _weighted(self) -> np.ndarray:
        found: np.ndarray = ballots.elect_weighted(self.one.answer_class, self.orders, self.one.score[None])[1]
        return found

    @cached_property
    def _chosen(self) -> np.ndarray:
        return ballots.choose(self.one.answer_class, self.orders, self.one.score)

    def drawn(self, n: int) -> np.ndarray:
        """(orders, samples): 1.0 for each of the first n."""
        found: np.ndarray = (self._position < n).astype(float)
        return found

    def total(self, n: int, of: np.ndarray) -> np.ndarray:
        """The sum of something that each sample has."""
        found: np.ndarray = self.drawn(n) @ of
        return found

    def majority(self, n: int) -> np.ndarray:
        """Whether the plain vote is right, without a verifier: ties go to what was drawn first."""
        return self._is_right(self._elected[n - 1])

    def weighted(self, n: int) -> np.ndarray:
        """Whether the vote is right in which each sample weighs what the verifier thinks of it."""
        return self._is_right(self._weighted[n - 1])

    def best(self, n: int) -> np.ndarray:
        """Whether the best scored sample is right, of equals the first."""
        return self._is_right(self._chosen[n - 1])

    def settled(self, most: int) -> np.ndarray:
        """How many samples adaptive consistency draws, at most `most`."""
        stop = np.full(len(self.orders), most)
        for n in range(most - 1, 0, -1):
            votes = np.sort(self._votes(n), axis=1).astype(int)
            second = votes[:, -2] if votes.shape[1] > 1 else np.zeros(len(votes), dtype=int)
            stop = np.where(_surely(most)[votes[:, -1], second], n, stop)
        return stop

    def fails(self, n: int) -> np.ndarray:
        """Which share of the samples behind the first n is wrong; NaN where none is left."""
        left = self.orders.shape[1] - n
        if not left:
            return np.full(len(self.orders), np.nan)
        wrong = (~self.one.right).astype(float)
        found: np.ndarray = (self.total(self.orders.shape[1], wrong) - self.total(n, wrong)) / left
        return found

    def read(self, n: int) -> np.ndarray:
        """Whether any answer could be read: where none could, nothing counts as scored."""
        found: np.ndarray = self._elected[n - 1] >= 0
        return found

    def features(self, n: int, *, scored: bool) -> np.ndarray:
        """(orders, features): `strategies.evidence.Evidence.features` of the first n, scored by the verifier or not."""
        one, read, drawn = self.one, self.read(n), self.drawn(n)
        speaker = (self._elected_by_score if scored else self._elected)[n - 1]
        ranked = np.sort(self._votes(n), axis=1)
        leads = drawn * (one.answer_class == one.answer_class[speaker][:, None]) * read[:, None]
        trusted = scored & read
        leading, sums = leads.sum(axis=1), leads @ np.nan_to_num(one.score)
        return np.stack(
            [
                (leading + 1) / (n + 2),
                (leading - (ranked[:, -2] if ranked.shape[1] > 1 else 0)) / n,
                drawn @ (one.answer_class < 0) / n,
                _mean(leads, one.logprob),
                _mean(leads, one.weakest),
                _mean(drawn - leads, one.logprob),
                np.log1p(drawn @ one.tokens / n),
                np.full(len(drawn), np.log1p(one.prompt)),
                np.where(trusted, _ratio(sums, leading), 0.0),
                np.where(trusted, _ratio(sums, drawn @ np.nan_to_num(one.score)), 0.0),
            ],
            axis=1,
        )

    def _votes(self, n: int) -> np.ndarray:
        """(orders, classes)"""
        found: np.ndarray = self.drawn(n) @ self._member
        return found

    def _is_right(self, speaker: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.one.right[speaker] & (speaker >= 0)
        return found


@cache
def _surely(most: int) -> np.ndarray:
    """By the votes of the two most frequent answers, whether adaptive consistency stops."""
    confidence = AdaptiveConsistency().confidence
    counts = range(most + 1)
    return np.array([[lead_is_real(first, second) >= confidence for second in counts] for first in counts])


def _mean(inside: np.ndarray, of: np.ndarray) -> np.ndarray:
    """The mean over those inside of what is known; 0 where nothing is."""
    return _ratio(inside @ np.nan_to_num(of), inside @ ~np.isnan(of))


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.divide(total, count, out=np.zeros(len(total)), where=count > 0)
    return found


def curve_of(
    recorded: Sequence[Recorded], strategy: str, most: int, *, greedy_first: bool, orders: int = ORDERS, seed: int = 0
) -> dict[str, np.ndarray]:
    """What a sampling strategy brings at every N from 1 to `most`, the mean over random orders: arrays (problems, N) of
    `accuracy`, `flops` (canonical, one prefill and scoring included), `seconds` of the GPU, and `samples` drawn."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("accuracy", "flops", "seconds", "samples")}
    for number, one in enumerate(recorded):
        rng = np.random.default_rng([seed, number])
        replay = Replay(one, draw_orders(one.samples, orders, rng, greedy_first=greedy_first))
        right = np.stack([_right(replay, strategy, n) for n in range(1, most + 1)], axis=1)
        stops = np.tile(np.arange(1, most + 1), (len(right), 1))
        if strategy == "adaptive_consistency":
            stops = np.minimum(stops, replay.settled(most)[:, None])
            right = np.take_along_axis(right, stops - 1, axis=1)
        judged = strategy in ("weighted_vote", "best_of_n")
        flops = one.drawing + one.scoring * judged
        seconds = one.drawing_seconds + one.scoring_seconds * judged
        columns["accuracy"].append(right.mean(axis=0))
        columns["samples"].append(stops.mean(axis=0))
        for name, each, once in (("flops", flops, one.prefill), ("seconds", seconds, 0.0)):
            ahead = each[replay.orders].cumsum(axis=1)
            columns[name].append(once + np.take_along_axis(ahead, stops - 1, axis=1).mean(axis=0))
    return {name: np.stack(rows) for name, rows in columns.items()}


def _right(replay: Replay, strategy: str, n: int) -> np.ndarray:
    ways = {"weighted_vote": replay.weighted, "best_of_n": replay.best}
    return ways.get(strategy, replay.majority)(n)
