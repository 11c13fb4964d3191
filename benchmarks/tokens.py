"""Tokens/s of SmolLM2 through the whole service, against the same engine given all of what was drawn as one batch: samples
from their prompts, and the steps of a beam search from what stood before each. On llama.cpp and, if installed, on vLLM."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from sqlalchemy import text

from benchmarks.service import ROOT, Service, service
from benchmarks.tables import Row, interval
from benchmarks.weights import as_directory
from models import hub
from models.settings import ModelEntry
from models.templates import load_template
from strategies.protocols import Message, Prefix, Reader, Sampling
from strategies.seeds import seed_for
from worker.engines import start_engine
from worker.prefixes import added

PROBLEMS = ROOT / "examples" / "word_problems.jsonl"
REPEATS = 3
SEQUENCES = 16
CONTEXT = 2048
MAX_TOKENS = 96
TEMPLATE = "gsm8k-steps"

JOBS = {
    "best_of_n, N = 4, 32 problems": ("--limit", "32", "-s", "best_of_n", "-b", "4"),
    "beam search, N = 4, two beams, 16 problems": (
        "--limit", "16", "-s", "beam_search", "-b", "4", "--param", "beam_width=2", "-v", "mean_logprob",
    ),
}  # fmt: skip
"""What they are called, and the options of `submit`; the engine's own confidence costs nothing beside it."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What was drawn in one request: `tokens` of them behind the problem's prompt and `before`."""

    key: str
    prompt: str
    before: str
    path: str
    tokens: int


def measure() -> list[Row]:
    """Both sides in turn, so that the machine's drift falls on both alike."""
    return [row for name, entry in _entries().items() for job in JOBS for row in _compare(name, entry, job)]


def _entries() -> dict[str, ModelEntry]:
    weights = hub.pull("smollm2", ROOT / ".cache")
    entry = partial(ModelEntry, max_sequences=SEQUENCES, context_length=CONTEXT)
    found = {"llama.cpp": entry(engine="llamacpp", model=str(weights))}
    if importlib.util.find_spec("vllm"):
        found["vLLM"] = entry(engine="vllm", model=str(as_directory(weights)), engine_args={"dtype": "float32"})
    return found


def _compare(name: str, entry: ModelEntry, job: str) -> Iterator[Row]:
    through, bare = [], []
    for _ in range(REPEATS):
        segments, seconds = _service(entry, JOBS[job])
        tokens = sum(one.tokens for one in segments)
        through.append(tokens / seconds)
        bare.append(asyncio.run(_bare(entry, segments)))
    ratios = [ours / engine for ours, engine in zip(through, bare, strict=True)]
    yield Row(f"SmolLM2 on {name}, bare: {job}, all of it at once", f"{interval(bare)} tokens/s", "")
    yield Row(
        "the same through the service",
        f"{interval(through)} tokens/s",
        f"{interval(ratios, '.2f')} of the bare engine",
    )


async def _bare(entry: ModelEntry, segments: list[Segment]) -> float:
    """Tokens/s; what stands before each segment is tokenised before the clock starts."""
    engine = await start_engine("bare", entry)
    assert isinstance(engine, Reader)
    template, sampling = load_template(TEMPLATE), Sampling(max_tokens=MAX_TOKENS)
    searched = any(one.before for one in segments)
    stop = (*template.stop, template.step_stop) if searched else template.stop

    async def prefix_of(one: Segment) -> Prefix:
        messages = [Message(role, said) for role, said in template.messages(one.prompt)]
        prompt = await engine.encode(messages)
        behind = await added(engine, one.before) if one.before else ()
        return Prefix(tokens=(*(prompt.tokens or ()), *behind))

    async def draw(one: Segment, prefix: Prefix) -> int:
        seed = seed_for(0, one.key, one.path)
        (completion,) = await engine.generate(
            prefix, n=1, stop=stop, max_tokens=one.tokens, sampling=sampling, seeds=[seed]
        )
        return completion.usage.generated_tokens

    try:
        prefixes = [await prefix_of(one) for one in segments]
        started = time.perf_counter()
        tokens = sum(await asyncio.gather(*map(draw, segments, prefixes)))
        return tokens / (time.perf_counter() - started)
    finally:
        await engine.close()


def _service(entry: ModelEntry, options: tuple[str, ...]) -> tuple[list[Segment], float]:
    """What was drawn, and the seconds from the first attempt's begin to the last one's end."""
    configuration = "".join(
        ["[generators.bench]\n", *(f"{name} = {value!r}\n" for name, value in _settings(entry).items())]
    )
    with service(configuration) as made, made.running("scheduler"), made.running("worker", "-g", "bench"):
        made.wait_for("SELECT COUNT(*) FROM worker WHERE kind = 'worker'", 1)
        made.tts("submit", str(PROBLEMS), "-g", "bench", "-t", TEMPLATE, "--max-tokens", str(MAX_TOKENS), *options)
        made.wait_for("SELECT state FROM job", "done")
        (seconds,) = made.one(
            "SELECT EXTRACT(EPOCH FROM MAX(ended_at) - (SELECT MIN(started_at) FROM attempt)) FROM query"
        )
        return _segments(made), float(seconds)


def _settings(entry: ModelEntry) -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "engine": entry.engine, "model": entry.model, "max_sequences": SEQUENCES, "context_length": CONTEXT,
    }  # fmt: skip
    return found | {f"engine_args.{name}": value for name, value in entry.engine_args.items()}


def _segments(made: Service) -> list[Segment]:
    """In the order in which they were drawn within each problem: those of the same beginning side by side."""
    with made.database.reading() as connection:
        rows = connection.execute(
            text(
                "SELECT problem.key, problem.prompt, candidate.query_id, path, parent, candidate.text, generated_tokens "
                "FROM candidate JOIN query ON query.id = candidate.query_id JOIN problem ON problem.id = query.problem_id "
                "ORDER BY candidate.query_id, LENGTH(path), path"
            )
        ).all()
    whole: dict[tuple[int, str], str] = {}
    found = []
    for row in rows:
        before = whole[row.query_id, row.parent] if row.parent is not None else ""
        whole[row.query_id, row.path] = before + row.text
        found.append(Segment(row.key, row.prompt, before, row.path, row.generated_tokens))
    return found
