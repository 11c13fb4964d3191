"""Closed forms of what k of n samples bring, for every k from 1 to n at once. `models.statistics` has them for one k."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np


def pass_at(n: int, right: int) -> np.ndarray:
    """(n,) pass@k: the chance that k samples without replacement hold one of the `right` ones; 1 - C(n-c, k) / C(n, k)
    (Chen et al. 2021, arXiv:2107.03374, section 2.1)."""
    found: np.ndarray = 1 - _all_among(n)[n - right]
    return found


def best_of(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n,) the expected correctness of the best scored of k samples without replacement.

    Ranked r = 0.. by score, sample r is chosen in C(n-1-r, k-1) of C(n, k) subsets; of equal scores each one is as
    likely. As `models.statistics.best_of_k`; -inf is a score, of whom nobody would choose.
    """
    n = len(scores)
    ranked = np.argsort(-scores, kind="stable")
    _, group, sizes = np.unique(-scores[ranked], return_inverse=True, return_counts=True)
    shared = (np.bincount(group, weights=right[ranked].astype(float)) / sizes)[group]
    left = _all_among(n)
    # All of the subset among those from rank r on, less all of it among those behind r: it begins with r.
    chosen: np.ndarray = shared @ (left[n - np.arange(n)] - left[n - 1 - np.arange(n)])
    return chosen


@lru_cache(maxsize=1024)
def g_pass_at(n: int, right: int, tau: float) -> np.ndarray:
    """(n,) G-Pass@k at the threshold tau: the chance that at least tau * k of k samples are right, and at least one
    (Liu et al. 2024, arXiv:2412.13147, section 3.2). At tau = 1 all are, and at 0 it is pass@k."""
    found: np.ndarray = at_least(n, right)[np.arange(n), needed(np.arange(1, n + 1), tau)]
    return found


@lru_cache(maxsize=1024)
def mg_pass_at(n: int, right: int) -> np.ndarray:
    """(n,) mG-Pass@k: 2/k times the sum of G-Pass@k at tau = i/k for i from ceil(k/2) + 1 to k (arXiv:2412.13147,
    section 3.2), the mean over the thresholds above one half. There is none at k = 1, where it is 0."""
    k, many = np.arange(1, n + 1), np.arange(n + 1)
    counted = (many > np.ceil(k / 2)[:, None]) & (many <= k[:, None])
    found: np.ndarray = 2 / k * (at_least(n, right) * counted).sum(axis=1)
    return found


def needed(k: np.ndarray, tau: float) -> np.ndarray:
    """How many of k must be right for a share of tau, at least one; 0.07 * 100 is a little more than 7 in binary."""
    found: np.ndarray = np.maximum(np.ceil(np.round(tau * k, 9)), 1).astype(int)
    return found


def at_least(n: int, right: int) -> np.ndarray:
    """(n, n + 1): the chance that of k samples (the row of k - 1) at least j are right: the hypergeometric tail."""
    logs = np.array([math.lgamma(number + 1) for number in range(n + 1)])

    def choose(of: np.ndarray, taken: np.ndarray) -> np.ndarray:
        inside = (taken >= 0) & (taken <= of)
        taken = np.where(inside, taken, 0)
        return np.where(inside, logs[of] - logs[taken] - logs[of - taken], -np.inf)

    k, j = np.arange(1, n + 1)[:, None], np.arange(n + 1)[None]
    chance = np.exp(choose(np.array(right), j) + choose(np.array(n - right), k - j) - choose(np.array(n), k))
    tail: np.ndarray = np.minimum(chance[:, ::-1].cumsum(axis=1)[:, ::-1], 1.0)
    return tail


@lru_cache(maxsize=64)
def _all_among(n: int) -> np.ndarray:
    """(n + 1, n): the chance that all of k samples are among m given ones, C(m, k) / C(n, k), in the row of m."""
    m, taken = np.arange(n + 1)[:, None], np.arange(n)[None]
    chance: np.ndarray = np.cumprod(np.maximum(m - taken, 0) / (n - taken), axis=1)
    return chance
