"""Particle filtering: steps resampled in proportion to the odds a reward model gives them (Puri et al., 2502.01618)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from strategies.aggregation import MEANING, Aggregation
from strategies.search import MOST_STEPS, Search, by_score
from strategies.seeds import seed_for
from strategies.task import Candidate, Solution, Task
from strategies.votes import elect, one_vote

SUREST = 1e-7
"""Scores are kept this far from 0 and 1, where odds end."""


def odds(score: float) -> float:
    """score / (1 - score): the weight of a particle (2502.01618, section 3.3)."""
    clipped = min(max(score, SUREST), 1.0 - SUREST)
    return clipped / (1.0 - clipped)


def resample(weights: Sequence[float], count: int, start: float) -> list[int]:
    """How many copies each particle leaves, in expectation count * weight / sum: systematic resampling (Douc & Cappe,
    2005, section 2.3). `start` in [0, 1) is the one random number it takes."""
    # Exact, so that equal weights always leave one copy each.
    reached = list(accumulate(map(Fraction, weights)))
    bounds = [count * bound / reached[-1] for bound in reached]
    copies, taken = [], 0
    for bound in bounds:
        below = taken
        while below + Fraction(start) < bound:
            below += 1
        copies.append(below - taken)
        taken = below
    return copies


class ParticleFilter(BaseModel):
    """N particles; after every step resampled by the odds of their scores; the best ended one answers, or a vote."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    answer: Literal["best", "vote"] = Field("best", description="the highest final score, or the particles' vote")
    aggregation: Aggregation = Field("last", description=MEANING)
    max_steps: int = Field(MOST_STEPS, ge=1, description="steps after which unfinished particles are given up")

    async def solve(self, task: Task) -> Solution:
        search = Search(task, self.aggregation)
        particles = await search.score(await search.first(range(task.width)))
        for depth in range(1, self.max_steps):
            if all(particle.finish_reason == "stop" for particle in particles):
                break
            particles = await self._advance(search, self._resampled(task, particles, depth))
        finished = [particle for particle in particles if particle.finish_reason == "stop"]
        await search.classify()
        readable = by_score(particle for particle in finished if particle.answer is not None)
        chosen = elect(finished, one_vote) if self.answer == "vote" else next(iter(readable), None)
        return search.answer(chosen, finished)

    def _resampled(self, task: Task, particles: Sequence[Candidate], depth: int) -> list[Candidate]:
        """The same number of particles; those that have ended take part, and may be lost or multiplied too."""
        start = seed_for(task.seed, task.problem.key, f"resample {depth}") / 2**31
        copies = resample([odds(particle.score or 0.0) for particle in particles], task.width, start)
        return [particle for particle, count in zip(particles, copies, strict=True) for _ in range(count)]

    async def _advance(self, search: Search, particles: Sequence[Candidate]) -> list[Candidate]:
        """One step for every particle that has not ended; copies of one take steps of their own."""
        ended = [particle for particle in particles if particle.finish_reason == "stop"]
        counts: dict[str, tuple[Candidate, int]] = {}
        for particle in particles:
            if particle.finish_reason == "step":
                counts[particle.path] = (particle, counts.get(particle.path, (particle, 0))[1] + 1)
        return [*ended, *await search.score(await search.grow(counts.values()))]
