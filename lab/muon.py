"""Muon (Jordan et al., 2024, kellerjordan.github.io/posts/muon): momentum, made orthogonal before it is applied.

torch.optim.Muon does the same in bfloat16 and one matrix at a time, which is slower than the rest of a training step
on a CPU; here matrices of one shape go together, in single precision.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of one Newton-Schulz step, those of torch.optim.Muon."""
ROUNDS = 5


class Muon:
    """For matrices only. The step of a matrix has the root mean square that AdamW's would have (Liu et al.,
    2502.16982, section 2.2)."""

    def __init__(self, matrices: Iterable[torch.nn.Parameter], *, momentum: float, weight_decay: float) -> None:
        self.momentum, self.weight_decay = momentum, weight_decay
        self._alike: dict[torch.Size, list[torch.nn.Parameter]] = defaultdict(list)
        for matrix in matrices:
            self._alike[matrix.shape].append(matrix)
        self._momenta = {
            shape: torch.zeros(len(alike), *shape, device=alike[0].device) for shape, alike in self._alike.items()
        }

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for shape, alike in self._alike.items():
            gradients = torch.stack([matrix.grad for matrix in alike if matrix.grad is not None])
            momenta = self._momenta[shape].lerp_(gradients, 1 - self.momentum)
            updates = orthogonal(gradients.lerp(momenta, self.momentum)) * (0.2 * max(shape) ** 0.5)
            for matrix, update in zip(alike, updates, strict=True):
                matrix.mul_(1 - rate * self.weight_decay).sub_(update, alpha=rate)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """A stack of matrices (count x rows x columns) with all singular values brought near one."""
    tall = matrices.shape[1] > matrices.shape[2]
    found = matrices.mT if tall else matrices
    found = found / found.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found.mT if tall else found
