"""Tokens/s of best_of_n with SmolLM2 through the whole service, against the same engine given all prompts at once."""

from __future__ import annotations

import asyncio
import time
from itertools import islice
from pathlib import Path

from benchmarks.service import ROOT, service
from benchmarks.tables import Row, interval
from models import hub
from models.catalogue import find_generator
from models.templates import load_template
from scheduler.readers import Row as Problem
from scheduler.readers import open_dataset
from strategies.protocols import Message, Prefix, Sampling
from strategies.seeds import seed_for
from worker.engines import start_engine

PROBLEMS = ROOT / "examples" / "word_problems.jsonl"
COUNT = 32
SAMPLES = 4
REPEATS = 3
MAX_TOKENS = 96
TEMPLATE = "gsm8k-steps"


def measure() -> list[Row]:
    """Both sides in turn, so that the machine's drift falls on both alike."""
    weights = hub.pull("smollm2", ROOT / ".cache")
    pairs = [(asyncio.run(_bare(weights)), _service(weights)) for _ in range(REPEATS)]
    bare, through = zip(*pairs, strict=True)
    ratios = [ours / engine for engine, ours in pairs]
    return [
        Row("bare engine, all prompts at once", f"{interval(bare)} tokens/s", ""),
        Row(
            f"best_of_n {SAMPLES} through the service",
            f"{interval(through)} tokens/s",
            f"{interval(ratios, '.2f')} of the bare engine",
        ),
    ]


def _problems() -> list[Problem]:
    rows = (row for row in open_dataset(str(PROBLEMS)).rows() if isinstance(row, Problem))
    return list(islice(rows, COUNT))


async def _bare(weights: Path) -> float:
    entry = find_generator(str(weights)).entry.model_copy(update={"context_length": 2048})
    engine = await start_engine("bare", entry)
    template, sampling = load_template(TEMPLATE), Sampling(max_tokens=MAX_TOKENS)

    async def one(prefix: Prefix, key: str) -> int:
        seeds = [seed_for(0, key, str(index)) for index in range(SAMPLES)]
        completions = await engine.generate(
            prefix, n=SAMPLES, stop=template.stop, max_tokens=MAX_TOKENS, sampling=sampling, seeds=seeds
        )
        return sum(completion.usage.generated_tokens for completion in completions)

    try:
        problems = _problems()
        prefixes = [
            await engine.encode([Message(role, text) for role, text in template.messages(row.prompt)])
            for row in problems
        ]
        started = time.perf_counter()
        tokens = sum(
            await asyncio.gather(*(one(prefix, row.key) for prefix, row in zip(prefixes, problems, strict=True)))
        )
        return tokens / (time.perf_counter() - started)
    finally:
        await engine.close()


def _service(weights: Path) -> float:
    configuration = f'[generators.bench]\nengine = "llamacpp"\nmodel = "{weights}"\ncontext_length = 2048\n'
    with service(configuration) as made, made.running("scheduler"), made.running("worker", "-g", "bench"):
        made.wait_for("SELECT COUNT(*) FROM worker WHERE kind = 'worker'", 1)
        made.tts(
            "submit", str(PROBLEMS), "--limit", str(COUNT), "-g", "bench", "-s", "best_of_n", "-b", str(SAMPLES), "-t", TEMPLATE, "--max-tokens", str(MAX_TOKENS)
        )  # fmt: skip
        made.wait_for("SELECT state FROM job", "done")
        tokens, seconds = made.one(
            "SELECT (SELECT SUM(generated_tokens) FROM candidate), "
            "EXTRACT(EPOCH FROM MAX(ended_at) - (SELECT MIN(started_at) FROM attempt)) FROM query"
        )
    return float(tokens) / float(seconds)
