"""Beam search on the tiny models: all problems in flight together against one after the other on the same engine, what
of the prompts the prefix cache held, and whether the answers depend on who else is in the batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benchmarks.tables import Row, interval
from benchmarks.tiny import engines
from models.costs import CostModel
from models.settings import ModelEntry
from models.specification import template_from_dict
from models.transitions import Claim, Outcome
from scheduler.readers import Row as Problem
from scheduler.readers import open_dataset
from scheduler.submission import Request, specify
from scheduler.tiny import PROBLEMS
from strategies.protocols import Sampling
from worker.engines import start_engine
from worker.grading import GradingPool
from worker.meter import SharedEngine
from worker.solver import Attempt
from worker.verifiers import Verifiers
from worker.work import JobContext, Work

COUNT = 64
REPEATS = 3
REQUEST = Request("tiny", "beam_search", {}, (4.0, "samples"), verifier="tiny-prm")


def measure() -> list[Row]:
    """The first problems of the shipped set, beam search with N = 4, all queries through the worker's own attempts: on
    llama.cpp and, if installed, on vLLM."""
    return [row for name, entry in engines().items() for row in asyncio.run(_measure(name, entry))]


async def _measure(name: str, entry: ModelEntry) -> list[Row]:
    _, models = specify(REQUEST)
    costs = models.generator.costs
    together: list[float] = []
    alone: list[float] = []
    bench = await Bench.start(entry, costs)
    try:
        await bench.solve(bench.works[:2])  # the first query loads the verifier
        for _ in range(REPEATS):
            seconds, crowd = await bench.solve(bench.works)
            together.append(seconds)
            seconds, single = 0.0, []
            for work in bench.works:
                took, outcomes = await bench.solve([work])
                seconds += took
                single += outcomes
            alone.append(seconds)
    finally:
        await bench.close()
    ratios = [one / other for one, other in zip(alone, together, strict=True)]
    same = sum(_texts(one) == _texts(other) for one, other in zip(crowd, single, strict=True))
    return [
        Row(
            f"beam search on {name}, N = 4, {COUNT} problems in flight together",
            f"{interval(together, '.1f')} s",
            f"{interval(ratios, '.2f')} times as fast as one by one ({interval(alone, '.1f')} s)",
        ),
        Row("prompt tokens of its later steps that were cached, together", f"{100 * _cached(crowd):.1f} %", ""),
        Row("the same, one by one", f"{100 * _cached(single):.1f} %", ""),
        Row("problems whose every step is the same both ways", f"{same} of {COUNT}", ""),
    ]


class Bench:
    """One engine, one verifier, and the attempts that share them."""

    def __init__(self, engine: SharedEngine, costs: CostModel, request: Request, count: int) -> None:
        self._engine, self._costs = engine, costs
        self._pool, self._verifiers = GradingPool(), Verifiers()
        rows = [row for row in open_dataset(str(PROBLEMS), limit=count).rows() if isinstance(row, Problem)]
        specification, _ = specify(request)
        context = JobContext(
            specification,
            template_from_dict(specification.template),
            Sampling(**specification.sampling),
            specification.sampling_key,
        )
        self.works = [
            Work(
                Claim(number, 1, number, number, 1, 0, 0, specification.strategy, specification.parameters,
                      *request.budget),
                context, row.key, row.prompt, row.answer, row.subject, row.level, (), frozenset(),
            )
            for number, row in enumerate(rows)
        ]  # fmt: skip

    @classmethod
    async def start(cls, entry: ModelEntry, costs: CostModel, request: Request = REQUEST, count: int = COUNT) -> Bench:
        return cls(SharedEngine.around(await start_engine("tiny", entry)), costs, request, count)

    async def solve(self, works: Sequence[Work]) -> tuple[float, list[Outcome]]:
        started = time.perf_counter()
        attempts = [Attempt(work, self._engine, self._costs, self._pool, self._verifiers) for work in works]
        outcomes = await asyncio.gather(*(attempt.run(0) for attempt in attempts))
        failed = [outcome.reason for outcome in outcomes if outcome.state != "done"]
        if failed:
            raise SystemExit(f"{len(failed)} queries failed: {failed[0]}")
        return time.perf_counter() - started, outcomes

    async def close(self) -> None:
        await self._engine.generator.close()
        await self._verifiers.close()
        self._pool.close()


def _texts(outcome: Outcome) -> list[tuple[str, str]]:
    return [(row["path"], row["text"]) for row in outcome.candidates]


def _cached(outcomes: Sequence[Outcome]) -> float:
    later = [row for outcome in outcomes for row in outcome.candidates if row["parent"] is not None]
    cached, read = (sum(int(row[name] or 0) for row in later) for name in ("cached_tokens", "prompt_tokens"))
    return cached / read
