"""What a job drew through the whole service, and the same drawn once more by the bare engine as one batch."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from sqlalchemy import text

from benchmarks.service import Service
from models.settings import ModelEntry
from models.templates import load_template
from strategies.protocols import Generator, Message, Prefix, Reader, Sampling
from strategies.seeds import seed_for
from worker.engines import start_engine
from worker.prefixes import added


@dataclass(frozen=True, slots=True)
class Segment:
    """What was drawn in one request: `tokens` of them behind the problem's prompt and `before`."""

    seed: int
    key: str
    prompt: str
    before: str
    path: str
    tokens: int


def segments(made: Service, job: int) -> list[Segment]:
    """In the order in which they were drawn within each problem: those of the same beginning side by side."""
    with made.database.reading() as connection:
        rows = connection.execute(
            text(
                "SELECT job.specification->>'seed' AS seed, problem.key, problem.prompt, candidate.query_id, path, parent, "
                "candidate.text, generated_tokens FROM candidate JOIN job ON job.id = candidate.job_id "
                "JOIN query ON query.id = candidate.query_id JOIN problem ON problem.id = query.problem_id "
                "WHERE candidate.job_id = :job ORDER BY candidate.query_id, LENGTH(path), path"
            ),
            {"job": job},
        ).all()
    whole: dict[tuple[int, str], str] = {}
    found = []
    for row in rows:
        before = whole[row.query_id, row.parent] if row.parent is not None else ""
        whole[row.query_id, row.path] = before + row.text
        found.append(Segment(int(row.seed), row.key, row.prompt, before, row.path, row.generated_tokens))
    return found


def seconds(made: Service, job: int) -> float:
    """From the beginning of a job's first attempt to the end of its last query."""
    (found,) = made.one(
        "SELECT EXTRACT(EPOCH FROM MAX(ended_at) - (SELECT MIN(started_at) FROM attempt "
        f"WHERE job_id = {job})) FROM query WHERE job_id = {job}"
    )
    return float(found)


async def drawn_bare(entry: ModelEntry, jobs: list[list[Segment]], template: str, max_tokens: int) -> list[float]:
    """Tokens/s of each job in turn; what stands before its segments is tokenised before the clock starts."""
    engine = await start_engine("bare", entry)
    try:
        return [await _draw(engine, job, template, Sampling(max_tokens=max_tokens)) for job in jobs]
    finally:
        await engine.close()


async def _draw(engine: Generator, job: list[Segment], name: str, sampling: Sampling) -> float:
    assert isinstance(engine, Reader)
    template = load_template(name)
    searched = any(one.before for one in job)
    stop = (*template.stop, template.step_stop) if searched else template.stop

    async def prefix_of(one: Segment) -> Prefix:
        messages = [Message(role, said) for role, said in template.messages(one.prompt)]
        prompt = await engine.encode(messages)
        behind = await added(engine, one.before) if one.before else ()
        return Prefix(tokens=(*(prompt.tokens or ()), *behind))

    async def draw(one: Segment, prefix: Prefix) -> int:
        seed = seed_for(one.seed, one.key, one.path)
        (completion,) = await engine.generate(
            prefix, n=1, stop=stop, max_tokens=one.tokens, sampling=sampling, seeds=[seed]
        )
        return completion.usage.generated_tokens

    prefixes = [await prefix_of(one) for one in job]
    started = time.perf_counter()
    tokens = sum(await asyncio.gather(*map(draw, job, prefixes)))
    return tokens / (time.perf_counter() - started)
