"""Tokens/s of the built-in `tiny`, its engine given all the requests of a job at once: llama.cpp and, if installed, vLLM."""

from __future__ import annotations

import asyncio
import importlib.util
import time

from benchmarks.tables import Row, interval
from models import hub
from models.settings import ModelEntry
from models.templates import load_template
from scheduler.readers import Row as Problem
from scheduler.readers import open_dataset
from scheduler.tiny import PROBLEMS
from strategies.protocols import Message, Sampling
from strategies.seeds import seed_for
from worker.engines import start_engine

COUNT = 128
SAMPLES = 16
REPEATS = 3
VLLM = ModelEntry(engine="vllm", model="tiny", max_sequences=256, template="tiny", engine_args={"dtype": "float32"})


def measure() -> list[Row]:
    """The first problems of the shipped set, as the demo answers them."""
    rates = {name: asyncio.run(_rates(entry)) for name, entry in engines().items()}
    first = rates["llama.cpp"]
    return [
        Row(
            f"tiny on {name}, {COUNT} prompts x {SAMPLES} samples at once",
            f"{interval(found)} tokens/s",
            ""
            if found is first
            else f"{interval([one / other for one, other in zip(found, first, strict=True)], '.2f')} of llama.cpp",
        )
        for name, found in rates.items()
    ]


def engines() -> dict[str, ModelEntry]:
    """`tiny` on llama.cpp and, if installed, on vLLM."""
    entries = {"llama.cpp": hub.builtin_entries()["tiny"]}
    return {**entries, "vLLM": VLLM} if importlib.util.find_spec("vllm") else entries


async def _rates(entry: ModelEntry) -> list[float]:
    engine = await start_engine("tiny", entry)
    template = load_template("tiny")
    limit = template.max_tokens
    sampling = Sampling(max_tokens=limit, temperature=template.temperature or 1.0)
    rows = [row for row in open_dataset(str(PROBLEMS), limit=COUNT).rows() if isinstance(row, Problem)]

    async def one(row: Problem, repeat: int) -> int:
        prefix = await engine.encode([Message(role, text) for role, text in template.messages(row.prompt)])
        seeds = [seed_for(repeat, row.key, str(index)) for index in range(SAMPLES)]
        completions = await engine.generate(
            prefix, n=SAMPLES, stop=template.stop, max_tokens=limit, sampling=sampling, seeds=seeds
        )
        return sum(completion.usage.generated_tokens for completion in completions)

    try:
        found = []
        for repeat in range(REPEATS):
            started = time.perf_counter()
            tokens = sum(await asyncio.gather(*(one(row, repeat) for row in rows)))
            found.append(tokens / (time.perf_counter() - started))
        return found
    finally:
        await engine.close()
