"""Our FLOPs against those that vLLM itself counts (`enable_mfu_metrics`), for the same requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from models.architecture import Architecture, read_architecture
from models.flops import actual_flops, forward_flops
from models.settings import ModelEntry
from strategies.protocols import Completion, Generator, Message, Prefix, Sampling
from worker.engines import start_engine

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.filterwarnings("default"),
]

SAMPLING = Sampling(temperature=1.0)
# Longer than the blocks of 128 tokens that vLLM's cache has on a CPU.
PROBLEMS = [
    "Ann has 3 apples and buys 9 more. " * 20,
    "What is 12 + 30?",
    "Ann has 3 apples and buys 9 more. " * 20 + "How many has she?",
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def generator(vllm_model: Path) -> AsyncIterator[Generator]:
    arguments = {
        "enforce_eager": True, "dtype": "float32", "disable_log_stats": False, "enable_mfu_metrics": True,
    }  # fmt: skip
    started = await start_engine(
        "vllm",
        ModelEntry(engine="vllm", model=str(vllm_model), context_length=512, max_sequences=8, engine_args=arguments),
    )
    yield started
    await started.close()


@pytest.fixture
def architecture(vllm_model: Path) -> Architecture:
    found = read_architecture(vllm_model)
    assert found is not None
    return found


async def drawn(generator: Generator, stop: Sequence[str], max_tokens: int) -> list[Completion]:
    """Four samples of each problem, one after the other, so that the cache has what it can have."""
    found = []
    for number, problem in enumerate(PROBLEMS):
        prefix: Prefix = await generator.encode([Message("user", problem)])
        seeds = [10 * number + sample for sample in range(4)]
        found += await generator.generate(prefix, n=4, stop=stop, max_tokens=max_tokens, sampling=SAMPLING, seeds=seeds)
    return found


async def counted() -> float:
    """vLLM's counter, once it has stopped."""
    before, now = -1.0, 0.0
    while now != before:
        await asyncio.sleep(0.3)
        before, now = now, sum(
            sample.value
            for metric in REGISTRY.collect()
            for sample in metric.samples
            if sample.name == "vllm:estimated_flops_per_gpu_total"
        )  # fmt: skip
    return now


def in_their_convention(arch: Architecture, completion: Completion) -> float:
    """Ours, and what theirs has more: every computed token of a prompt is said to attend to all of it."""
    usage = completion.usage
    assert usage.cached_tokens is not None
    ours = actual_flops(arch, usage.prompt_tokens, usage.cached_tokens, usage.generated_tokens)
    assert ours is not None
    computed = usage.prompt_tokens - usage.cached_tokens
    one = forward_flops(arch, 1, 1, 0) - forward_flops(arch, 1, 0, 0)
    later = computed * usage.prompt_tokens - sum(range(usage.cached_tokens + 1, usage.prompt_tokens + 1))
    return ours + one * later


async def test_they_are_the_engines_own(generator: Generator, architecture: Architecture) -> None:
    before = await counted()
    completions = await drawn(generator, [], max_tokens=6)
    assert {one.finish_reason for one in completions} == {"length"}
    assert {bool(one.usage.cached_tokens) for one in completions} == {True, False}
    theirs = await counted() - before
    assert sum(in_their_convention(architecture, one) for one in completions) == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize(
    ("stop", "most"),
    # Within one token the engine ends by itself; what is spelled in several is looked for in the text, beside it.
    [(["a"], 0.1), (["e a", "e b", "e c", "e s", "n t", "s o", "s a", "t i", "d t"], 2.1)],
)
async def test_what_the_engine_computes_behind_a_stop_string(
    generator: Generator, architecture: Architecture, stop: list[str], most: float
) -> None:
    before = await counted()
    completions = await drawn(generator, stop, max_tokens=24)
    stopped = sum(one.stop_string is not None for one in completions)
    assert stopped > len(PROBLEMS)
    more = await counted() - before - sum(in_their_convention(architecture, one) for one in completions)
    a_token = forward_flops(architecture, 1, 100, 1)
    tokens = more / a_token / stopped
    print(f"{tokens:.2f} tokens behind each of {stopped} of the stop strings {stop}")
    assert -0.01 < tokens < most
