"""Tokens/s of SmolLM2 through the whole service, against the same engine given all of what was drawn as one batch: samples
from their prompts, and the steps of a beam search from what stood before each. On llama.cpp and, if installed, on vLLM."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator
from functools import partial

from benchmarks.replayed import Segment, drawn_bare, seconds, segments
from benchmarks.service import ROOT, entry_table, service
from benchmarks.tables import Row, interval
from benchmarks.weights import as_directory
from models import hub
from models.settings import ModelEntry

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
        drawn, took = _service(entry, JOBS[job])
        through.append(sum(one.tokens for one in drawn) / took)
        bare += asyncio.run(drawn_bare(entry, [drawn], TEMPLATE, MAX_TOKENS))
    ratios = [ours / engine for ours, engine in zip(through, bare, strict=True)]
    yield Row(f"SmolLM2 on {name}, bare: {job}, all of it at once", f"{interval(bare)} tokens/s", "")
    yield Row(
        "the same through the service",
        f"{interval(through)} tokens/s",
        f"{interval(ratios, '.2f')} of the bare engine",
    )


def _service(entry: ModelEntry, options: tuple[str, ...]) -> tuple[list[Segment], float]:
    """What was drawn, and the seconds from the first attempt's begin to the last one's end."""
    with (
        service(entry_table("generators.bench", entry)) as made,
        made.running("scheduler"),
        made.running("worker", "-g", "bench"),
    ):
        made.wait_for("SELECT COUNT(*) FROM worker WHERE kind = 'worker'", 1)
        made.tts("submit", str(PROBLEMS), "-g", "bench", "-t", TEMPLATE, "--max-tokens", str(MAX_TOKENS), *options)
        made.wait_for("SELECT state FROM job", "done")
        return segments(made, 1), seconds(made, 1)
