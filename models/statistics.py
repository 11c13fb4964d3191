"""Intervals, tests and replays: how any two runs are compared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

DRAWS = 2000
"""Resamples of a bootstrap."""
AT_ONCE = 1_000_000
"""Numbers that a bootstrap holds at once."""


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a proportion, (low, high) within [0, 1]; (0, 1) where nothing was observed.

    Source: Wilson 1927, JASA 22(158), pp. 209-212. `z` 1.96 gives 95 %.

    Raises:
        ValueError: not 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError("successes must lie between 0 and n")
    if n == 0:
        return 0.0, 1.0
    rate = successes / n
    spread = z * z / n
    centre = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(rate * (1 - rate) / n + spread / (4 * n))
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that k of n candidates, drawn without replacement, hold one of the c right ones.

    1 - C(n-c, k) / C(n, k), unbiased (Chen et al. 2021, arXiv:2107.03374, section 2.1); subtracted in whole numbers,
    so that nothing cancels.

    Raises:
        ValueError: not 0 <= c <= n, or not 1 <= k <= n.
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError("0 <= c <= n and 1 <= k <= n must hold")
    subsets = math.comb(n, k)
    return (subsets - math.comb(n - c, k)) / subsets


def best_of_k(scores: Sequence[float], right: Sequence[float], k: int) -> float:
    """The expected correctness of the best scored of k candidates, drawn without replacement from these n.

    Ranked r = 0.. by score, candidate r is chosen in C(n-1-r, k-1) of the C(n, k) subsets. Of candidates with equal
    scores, each one in the subset is as likely to be chosen.

    Args:
        scores: one per candidate, higher is better.
        right: correctness of each, 0 to 1.
        k: subset size, 1 to n.

    Raises:
        ValueError: lengths differ, k is out of range, or a score is not a number.
    """
    n = len(scores)
    if len(right) != n or not 1 <= k <= n:
        raise ValueError("one correctness per score, and 1 <= k <= n, must hold")
    if any(math.isnan(score) for score in scores):
        raise ValueError("a score is not a number")
    ranked = sorted(zip(scores, right, strict=True), key=lambda pair: pair[0], reverse=True)
    total, before = 0.0, 0
    for _, ties in groupby(ranked, key=lambda pair: pair[0]):
        tied = [correct for _, correct in ties]
        after = before + len(tied)
        # The subsets whose best candidate is among the tied ones: those within before.. less those within after..
        subsets = math.comb(n - before, k) - math.comb(n - after, k)
        total += math.fsum(tied) / len(tied) * (subsets / math.comb(n, k))
        before = after
    return total


def paired_bootstrap(
    a: Sequence[float], b: Sequence[float], draws: int = DRAWS, *, seed: int
) -> tuple[float, float, float]:
    """mean(a) - mean(b) over the same problems and its 95 % percentile interval: (difference, low, high).

    Problems are resampled with both of their values (Efron & Tibshirani 1993, sections 6.2 and 13.3).

    Args:
        a: correctness or cost of each problem under one run; fractions are fine.
        b: the same problems, in the same order, under the other run.
        draws: number of resamples.
        seed: of the resampling; equal seeds give equal intervals.

    Raises:
        ValueError: the lengths differ, there are no problems, or no draws.
    """
    if len(a) != len(b):
        raise ValueError("both runs need the same problems")
    return bootstrap_mean(Counter(left - right for left, right in zip(a, b, strict=True)), draws, seed=seed)


def bootstrap_mean(problems: Mapping[float, int], draws: int = DRAWS, *, seed: int) -> tuple[float, float, float]:
    """The mean over problems and its 95 % percentile interval: (mean, low, high).

    `problems` maps each value to the number of problems that have it, of which only that number matters for a
    resample: as fast for a million problems of three values as for three.

    Raises:
        ValueError: there are no problems, or no draws.
    """
    import numpy as np

    values = np.fromiter(problems, float, len(problems))
    means = np.concatenate([shares @ values for shares in resampled(list(problems.values()), draws, seed=seed)])
    low, high = np.quantile(means, [0.025, 0.975])
    total = math.fsum(value * count for value, count in problems.items())
    return total / sum(problems.values()), float(low), float(high)


def resampled(counts: Sequence[int], draws: int = DRAWS, *, seed: int) -> Iterator[np.ndarray]:
    """Resamples of problems that fall into kinds, of which `counts` says how many there are: arrays (some draws, kinds)
    with the share of each kind, `draws` rows in all.

    How often each kind is drawn is multinomial, so this is the bootstrap over the problems themselves.

    Raises:
        ValueError: there are no problems, or no draws.
    """
    import numpy as np

    total = sum(counts)
    if total < 1 or draws < 1:
        raise ValueError("a bootstrap needs at least one problem and at least one draw")
    rng = np.random.default_rng(seed)
    chances = np.asarray(counts, float) / total
    at_once = max(1, AT_ONCE // len(counts))
    for start in range(0, draws, at_once):
        yield rng.multinomial(total, chances, size=min(at_once, draws - start)) / total


def mcnemar(b: int, c: int) -> float:
    """Two-sided p-value of McNemar's exact test on two runs over the same problems.

    `b` problems were right only under the first run and `c` only under the second; under the null hypothesis b is
    binomial (b + c, 1/2). McNemar 1947, Psychometrika 12(2); 1.0 where no problem differs.

    Raises:
        ValueError: a count is negative.
    """
    if b < 0 or c < 0:
        raise ValueError("counts must not be negative")
    n = b + c
    tail, term = 0, 1
    for i in range(min(b, c) + 1):
        tail += term
        term = term * (n - i) // (i + 1)
    return min(1.0, 2 * tail / (1 << n))
