"""What k of a query's samples bring and cost, for every k at once: over random subsets of them, or as they were drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from models.ballots import choose, draw_orders, elect, elect_weighted
from models.estimators import best_of, g_pass_at, mg_pass_at, needed, pass_at
from models.samples import AGGREGATIONS, Samples

SUBSETS = 1000
"""Random subsets of each size that a vote is averaged over."""

TAUS = (0.25, 0.5, 0.75, 1.0)
"""Thresholds of G-Pass@k."""

Key = tuple[str, str | None]
"""A strategy and the aggregation of the scores that it goes by."""

PLAIN: list[Key] = [
    ("pass@k", None), ("majority_vote", None), ("avg@k", None), *[(f"g-pass@k_{tau}", None) for tau in TAUS], ("mg-pass@k", None)
]  # fmt: skip
JUDGED: list[Key] = [(strategy, how) for strategy in ("best_of_n", "weighted_vote") for how in AGGREGATIONS]
ADAPTIVE: Key = ("adaptive_consistency", None)


class Way(ABC):
    """One way to look at k of a query's samples, k from 1 to `most`."""

    def __init__(self, most: int) -> None:
        self.most = most

    @abstractmethod
    def curves(self, samples: Samples) -> dict[Key, np.ndarray]:
        """(most,) the expected correctness of each way to choose."""

    @abstractmethod
    def costs(self, samples: Samples) -> np.ndarray:
        """(2, units, most) the cost of k samples, without and with their scoring."""


class Subsets(Way):
    """Random subsets without replacement, in random order."""

    def __init__(self, most: int, seed: int) -> None:
        super().__init__(most)
        self._seed = seed
        self._orders: dict[int, np.ndarray] = {}

    def curves(self, samples: Samples) -> dict[Key, np.ndarray]:
        samples = samples.without_greedy()
        n, right = len(samples), int(samples.right.sum())
        found: dict[Key, np.ndarray] = {
            ("pass@k", None): pass_at(n, right),
            ("avg@k", None): np.full(n, right / n),
            **{(f"g-pass@k_{tau}", None): g_pass_at(n, right, tau) for tau in TAUS},
            ("mg-pass@k", None): mg_pass_at(n, right),
        }
        scored = _scored(samples)
        for how, score in scored.items():
            found["best_of_n", how] = best_of(np.where(samples.answer_class < 0, -np.inf, score), samples.right)
        voters = int(np.count_nonzero(samples.answer_class >= 0))
        keys: list[Key] = [("majority_vote", None), *(("weighted_vote", how) for how in scored)]
        if right in (0, voters):
            # Whoever wins is wrong, or right as soon as anyone votes.
            found |= dict.fromkeys(keys, pass_at(n, right))
            return {key: curve[: self.most] for key, curve in found.items()}
        orders = self._drawn(n)
        votes = elect_weighted(samples.answer_class, orders, np.array([*scored.values()]).reshape(-1, n))
        for key, speaker in zip(keys, votes, strict=True):
            found[key] = (samples.right[speaker] & (speaker >= 0)).mean(axis=1)
        return {key: curve[: self.most] for key, curve in found.items()}

    def costs(self, samples: Samples) -> np.ndarray:
        samples = samples.without_greedy()
        taken = np.arange(1, self.most + 1)
        plain = samples.prefill[:, None] + samples.drawing.mean(axis=1)[:, None] * taken
        return np.stack([plain, plain + samples.scoring.mean(axis=1)[:, None] * taken])

    def _drawn(self, n: int) -> np.ndarray:
        """Which sample has which number means nothing, so that queries with as many may share their orders."""
        if n not in self._orders:
            self._orders[n] = draw_orders(n, SUBSETS, np.random.default_rng([self._seed, n]))[:, : self.most]
        return self._orders[n]


class Prefix(Way):
    """The first k as they were drawn."""

    def curves(self, samples: Samples) -> dict[Key, np.ndarray]:
        right, order = samples.right[: self.most], np.arange(self.most)[None]
        k, hits = np.arange(1, self.most + 1), right.cumsum()
        passed = {tau: (hits >= needed(k, tau)).astype(float) for tau in TAUS}
        scored = _scored(samples)

        def outcome(speaker: np.ndarray) -> np.ndarray:
            found: np.ndarray = (samples.right[speaker[:, 0]] & (speaker[:, 0] >= 0)).astype(float)
            return found

        found: dict[Key, np.ndarray] = {
            ("pass@k", None): (hits > 0).astype(float),
            ("avg@k", None): hits / k,
            **{(f"g-pass@k_{tau}", None): values for tau, values in passed.items()},
            # The sum over the thresholds i/k, i from ceil(k/2) + 1 to k, that the share of right ones reaches.
            ("mg-pass@k", None): 2 / k * np.maximum(hits - np.ceil(k / 2), 0),
        }
        votes = elect_weighted(samples.answer_class, order, np.array([*scored.values()]).reshape(-1, len(samples)))
        found["majority_vote", None] = outcome(votes[0])
        for (how, score), vote in zip(scored.items(), votes[1:], strict=True):
            found["best_of_n", how] = outcome(choose(samples.answer_class, order, score))
            found["weighted_vote", how] = outcome(vote)
        return found

    def costs(self, samples: Samples) -> np.ndarray:
        plain, judged = (each.cumsum(axis=1)[:, : self.most] for each in (samples.drawing, samples.scoring))
        found: np.ndarray = samples.prefill[:, None] + np.stack([plain, plain + judged])
        return found


class Settled(Way):
    """Adaptive consistency of at most k: the first k as they were drawn, or as many as it took to settle the vote."""

    def curves(self, samples: Samples) -> dict[Key, np.ndarray]:
        speaker = elect(samples.answer_class, np.arange(len(samples))[None])[0, :, 0][self._taken(samples)]
        return {ADAPTIVE: (samples.right[speaker] & (speaker >= 0)).astype(float)}

    def costs(self, samples: Samples) -> np.ndarray:
        plain = samples.prefill[:, None] + samples.drawing.cumsum(axis=1)[:, self._taken(samples)]
        found: np.ndarray = np.stack([plain, plain])
        return found

    def _taken(self, samples: Samples) -> np.ndarray:
        found: np.ndarray = np.minimum(np.arange(self.most), len(samples) - 1)
        return found


def _scored(samples: Samples) -> dict[str, np.ndarray]:
    """The scores under each aggregation that everyone who votes has one of."""
    voters = samples.answer_class >= 0
    return {how: score for how, score in samples.scores.items() if not np.isnan(score[voters]).any()}
