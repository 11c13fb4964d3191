"""Estimation: what a job would cost before it runs, from its rows, its budget and what earlier jobs took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, select

from models.costs import CostModel
from models.errors import UserError
from models.specification import JobSpecification, template_from_dict
from models.templates import Template
from models.transitions import CANDIDATE, JOB, USAGE
from scheduler.difficulty import Unknown
from scheduler.fields import Row
from scheduler.stages import StagedPlanner
from strategies import registry
from strategies.task import Budget

BYTES_PER_TOKEN = 4
"""A guess for English prose, where no tokenizer is at hand."""
GUESSED_SHARE = 0.5
"""Of the longest completion, where nothing is known of this model's completions."""
_UNITS = ("tokens", "flops", "usd")


@dataclass(frozen=True, slots=True)
class Experience:
    """What earlier candidates of the same model under the same template took."""

    candidates: int
    generated_tokens: float
    flops_per_gpu_second: float | None


@dataclass(slots=True)
class Cost:
    """What one query, or a whole job, takes. `tokens` counts each query's prompt once; None means unknown."""

    samples: float = 0.0
    tokens: float = 0.0
    flops: float | None = 0.0
    gpu_seconds: float | None = 0.0
    dollars: float | None = 0.0

    def add(self, other: Cost) -> None:
        """Sum; a sum with something unknown is unknown."""
        for name in self.__slots__:
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, None if mine is None or theirs is None else mine + theirs)

    def share(self, count: int) -> Cost:
        """One of `count` equal parts."""
        flops, seconds, dollars = (
            None if value is None else value / count for value in (self.flops, self.gpu_seconds, self.dollars)
        )
        return Cost(self.samples / count, self.tokens / count, flops, seconds, dollars)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The sums over all queries, and what they rest on."""

    queries: int
    likely: Cost
    worst: Cost
    experience: Experience | None
    max_tokens: int
    generated_tokens: float

    def basis(self) -> str:
        """One sentence: where the length of a completion comes from."""
        if self.experience is not None:
            return (
                f"{self.generated_tokens:.0f} generated tokens a sample, the mean of {self.experience.candidates:,} "
                "earlier candidates of this model and template"
            )
        return (
            f"{self.generated_tokens:.0f} generated tokens a sample, a guess: half of max_tokens {self.max_tokens}, "
            "because this model has not yet run under this template here"
        )


def experience(connection: Connection, specification: JobSpecification) -> Experience | None:
    """What the database knows of this model under this template; None where it has no candidate of theirs."""
    said = JOB.c.specification
    jobs = select(JOB.c.id).where(
        JOB.c.generator == specification.generator,
        said["generator_identity"].as_string() == specification.generator_identity,
        said[("template", "name")].as_string() == specification.template["name"],
        said[("template", "version")].as_string() == specification.template["version"],
    )
    candidates, tokens = connection.execute(
        select(func.count(), func.avg(CANDIDATE.c.generated_tokens)).where(
            CANDIDATE.c.job_id.in_(jobs), func.coalesce(CANDIDATE.c.reused_from, 0) == 0, CANDIDATE.c.parent.is_(None)
        )
    ).one()
    if not candidates:
        return None
    flops, seconds = connection.execute(
        select(func.sum(USAGE.c.flops_canonical), func.sum(USAGE.c.gpu_seconds)).where(
            USAGE.c.job_id.in_(jobs),
            USAGE.c.phase == "generate",
            USAGE.c.reused.is_(False),
            USAGE.c.disposition == "kept",
            USAGE.c.flops_canonical.is_not(None),
        )
    ).one()
    return Experience(candidates, float(tokens), flops / seconds if flops and seconds else None)


def estimate(
    rows: Iterable[Row], specification: JobSpecification, costs: CostModel, known: Experience | None
) -> Estimate:
    """Add up the likely and the worst cost of every row; memory does not grow with them.

    Raises:
        UserError: the template cannot be rendered with a row's subject and level.
    """
    longest = int(specification.sampling["max_tokens"])
    generated = min(known.generated_tokens, longest) if known else max(1.0, GUESSED_SHARE * longest)
    if costs.flops_per_second is None and known is not None:
        costs = replace(costs, flops_per_second=known.flops_per_gpu_second)
    pricing = _Pricing(costs, specification, longest, max(1, round(generated)))
    template = template_from_dict(specification.template)
    queries, likely, worst = 0, Cost(), Cost()
    for guess, bound in _prompts(rows, template):
        queries += 1
        likely.add(pricing.likely(guess))
        worst.add(pricing.worst(bound))
    return Estimate(queries, likely, worst, known, longest, generated)


def _prompts(rows: Iterable[Row], template: Template) -> Iterator[tuple[int, int]]:
    """The tokens of each row's prompt: a guess, and a bound."""
    for row in rows:
        turns = template.messages(row.prompt, row.subject, row.level)
        written = sum(len(content.encode("utf-8", "surrogatepass")) for _, content in turns)
        yield (
            max(1, math.ceil(written / BYTES_PER_TOKEN)),
            template.worst_prompt_bytes(row.prompt, row.subject, row.level),
        )


class _Pricing:
    """One job's budget turned into samples, and those into every unit."""

    def __init__(self, costs: CostModel, specification: JobSpecification, longest: int, typical: int) -> None:
        self._costs = costs
        self._longest = longest
        self._typical = typical
        self._budget = Budget(specification.budget_amount, specification.budget_unit)  # type: ignore[arg-type]
        self._bounding = self._budget
        template = template_from_dict(specification.template)
        if specification.plan is None:
            ways = [(registry.find(specification.strategy), specification.parameters)]
            shown, feedback = ways[0][0].shown(ways[0][1]), ways[0][0].gives_feedback(ways[0][1])
            one = template.worst_revision_bytes(1, typical, feedback=feedback)
            self._typical_behind = round(one * sum(shown) / len(shown))
            self._most = ways[0][0].sequences(self._budget)
        else:
            # Who will get what is not known: the budget is the mean, and most of it goes into plain samples.
            planner = StagedPlanner(specification, None if specification.difficulty == "probe" else Unknown())
            ways = [(registry.find(arm.strategy), arm.parameters) for arm in planner.arms]
            self._typical_behind = 0
            self._bounding = Budget(float(planner.most), "samples")
            self._most = planner.most
        self._longest_behind = max(
            template.worst_revision_bytes(max(way.shown(given)), longest, feedback=way.gives_feedback(given))
            for way, given in ways
        )

    def likely(self, prompt: int) -> Cost:
        """Completions of the typical length, as many as the budget pays for; of the last one perhaps a part."""
        samples = float(self._most)
        unit, amount = self._budget.unit, self._budget.amount
        if unit == "samples":
            samples = min(samples, amount)
        else:
            first, more = self._prices(unit, prompt, self._typical, self._typical_behind)
            if amount < first:
                samples = amount / first
            elif more:
                samples = min(samples, 1 + (amount - first) / more)
        return self._cost(
            samples, {unit: self._drawn(unit, samples, prompt, self._typical, self._typical_behind) for unit in _UNITS}
        )

    def worst(self, prompt: int) -> Cost:
        """Never less than the query will take: its longest prompt and completions, as far as its budget lets them."""
        return self._cost(self._most, {unit: self._bound(unit, prompt) for unit in _UNITS})

    def _bound(self, unit: str, prompt: int) -> float | None:
        behind = self._longest_behind
        longest = self._drawn(unit, self._most, prompt, self._longest, behind)
        if longest is None:
            return None
        budget = (self._bounding.amount, self._bounding.unit)
        worst = self._costs.worst_case(budget, unit, prompt, self._longest, calls=self._most, behind=behind)
        return min(longest, worst)

    def _prices(self, unit: str, prompt: int, tokens: int, behind: int) -> tuple[float, float]:
        """A query's first completion, and any other: `behind` tokens of earlier attempts stand before that."""
        first = self._costs.amount(unit, prompt, tokens, first=True)
        return first, self._costs.amount(unit, prompt + behind, tokens, first=False, behind=behind)

    def _drawn(self, unit: str, samples: float, prompt: int, tokens: int, behind: int) -> float | None:
        """`samples` completions of `tokens` tokens each after one prompt; None where this model has no such cost."""
        try:
            first, more = self._prices(unit, prompt, tokens, behind)
        except UserError:
            return None
        return min(samples, 1.0) * first + max(0.0, samples - 1) * more

    def _cost(self, samples: float, amounts: dict[str, float | None]) -> Cost:
        flops, speed = amounts["flops"], self._costs.flops_per_second
        seconds = flops / speed if flops is not None and speed else None
        return Cost(math.ceil(samples), amounts["tokens"] or 0.0, flops, seconds, amounts["usd"])
