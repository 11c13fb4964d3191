"""Of the answers that were there among the samples, how many a strategy chose: is the generator the limit or the choice?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from models.statistics import resampled

if TYPE_CHECKING:
    import numpy as np

Limit = Literal["generator", "selection", "both"]
SAMPLING = ("greedy", "majority_vote", "adaptive_consistency", "best_of_n", "weighted_vote")
"""The strategies whose candidates are independent samples, so that the share of right ones estimates pass@1."""


class Kind(NamedTuple):
    """Graded problems that cannot be told apart here: whether the answer is `right`, and of its `samples` how many are."""

    right: bool
    samples: int
    right_samples: int


@dataclass(frozen=True, slots=True)
class Selection:
    """What choosing among samples came to over `problems`.

    `pass_at_1` is the mean share of right samples, `pass_at_n` the share of problems with a right one among all of
    theirs; `samples` is their number, None where problems differ in it. `efficiency` is
    (accuracy - pass@1) / (pass@N - pass@1) with its 95 % percentile bootstrap interval over problems; None where no
    problem has both right and wrong samples, the interval alone also where too few have. `limit` is the larger of `unsolved` = 1 - pass@N, what the generator left
    out, and `missed` = pass@N - accuracy, what was there and not chosen; `both` where the interval of their difference
    holds 0, None where neither is anything.
    """

    problems: int
    samples: int | None
    accuracy: float
    pass_at_1: float
    pass_at_n: float
    efficiency: float | None
    low: float | None
    high: float | None
    limit: Limit | None

    @property
    def unsolved(self) -> float:
        return 1.0 - self.pass_at_n

    @property
    def missed(self) -> float:
        return self.pass_at_n - self.accuracy

    def sentence(self, chooser: str) -> str:
        """What limits the accuracy, in words; `chooser` is what chose, such as `the verifier` or `the vote`."""
        unsolved = f"on {100 * self.unsolved:.1f} % of the problems no sample is right"
        missed = f"on {100 * self.missed:.1f} % a right one was there and not chosen"
        if self.limit is None:
            return "nothing is lost: every problem has a right sample, and it was chosen"
        if self.samples == 1:
            return (
                f"the generator is the limit: one sample a problem, and {100 * self.unsolved:.1f} % of them are wrong"
            )
        if self.limit == "generator":
            return f"the generator is the limit: {unsolved}, {missed}"
        if self.limit == "selection":
            return f"{chooser} is the limit: {missed}, on {100 * self.unsolved:.1f} % there is none"
        return f"the generator and {chooser} cannot be told apart as the limit: {unsolved}, {missed}"


def selection(kinds: Mapping[Kind, int], *, seed: int = 0) -> Selection | None:
    """What choosing came to, from how many problems there are of each kind; None of no problems.

    Source of pass@k: Chen et al. 2021, arXiv:2107.03374, section 2.1, here for k = 1 and k = n.

    Raises:
        ValueError: a kind has no samples, or more right ones than samples.
    """
    import numpy as np

    if any(not 0 <= kind.right_samples <= kind.samples or not kind.samples for kind in kinds):
        raise ValueError("every problem needs samples, and no more right ones than those")
    problems = sum(kinds.values())
    if not problems:
        return None
    found = list(kinds)
    values = np.array(
        [(kind.right, kind.right_samples / kind.samples, kind.right_samples > 0) for kind in found], dtype=float
    )
    counts = [kinds[kind] for kind in found]
    accuracy, first, best = (np.asarray(counts, float) @ values / problems).tolist()
    draws = np.concatenate([shares @ values for shares in resampled(counts, seed=seed)])
    efficiency, low, high = None, None, None
    if any(0 < kind.right_samples < kind.samples for kind in found):
        efficiency = (accuracy - first) / (best - first)
        # A resample without any problem on which a choice matters says nothing of choosing.
        matters = draws[:, 2] - draws[:, 1] > 1e-12
        ratios = (draws[matters, 0] - draws[matters, 1]) / (draws[matters, 2] - draws[matters, 1])
        edges = np.quantile(ratios, [0.025, 0.975]).tolist() if len(ratios) else (0.0, 0.0)
        # Where every resample says the same, there are too few such problems to know how far they may be off.
        low, high = edges if edges[1] - edges[0] > 1e-12 else (None, None)
    sizes = {kind.samples for kind in found}
    return Selection(
        problems=problems,
        samples=sizes.pop() if len(sizes) == 1 else None,
        accuracy=accuracy,
        pass_at_1=first,
        pass_at_n=best,
        efficiency=efficiency,
        low=low,
        high=high,
        limit=_limit(accuracy, best, draws),
    )


def _limit(accuracy: float, best: float, draws: np.ndarray) -> Limit | None:
    """The larger loss, where its lead over the other is more than chance."""
    import numpy as np

    if accuracy == best == 1.0:
        return None
    low, high = np.quantile((draws[:, 2] - draws[:, 0]) - (1.0 - draws[:, 2]), [0.025, 0.975])
    return "selection" if low > 0 else "generator" if high < 0 else "both"
