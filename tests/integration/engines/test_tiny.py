"""The shipped `tiny` on llama.cpp, through the meter: what a revision is written behind, and that segments are a sample."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from lab.text import prompt
from models import flops
from models.catalogue import find_generator
from models.templates import load_template
from strategies.protocols import Completion, Generator, Message, Prefix, Sampling
from strategies.sequential_revision import path_of
from strategies.task import Budget, Candidate
from worker.engines import start_engine
from worker.ledger import Ledger
from worker.meter import Meter, SharedEngine

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROBLEM = "((98-256)-42)+((58-89)+83)"
TINY, TEMPLATE = find_generator("tiny"), load_template("tiny")


class Overheard:
    """A generator, and the token ids that it was asked to continue."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self.name, self.capacity, self.context_length = generator.name, generator.capacity, generator.context_length
        self.prefixes: list[tuple[int, ...]] = []

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        return await self._generator.encode(messages)

    async def generate(
        self,
        prefix: Prefix,
        *,
        n: int,
        stop: Sequence[str],
        max_tokens: int,
        sampling: Sampling,
        seeds: Sequence[int],
    ) -> list[Completion]:
        self.prefixes.append(prefix.tokens or ())
        return await self._generator.generate(
            prefix, n=n, stop=stop, max_tokens=max_tokens, sampling=sampling, seeds=seeds
        )

    async def close(self) -> None:
        await self._generator.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tiny() -> AsyncIterator[Generator]:
    generator = await start_engine("tiny", TINY.entry)
    yield generator
    await generator.close()


async def meter_on(engine: Generator) -> tuple[Meter, Ledger]:
    messages = [Message(*turn) for turn in TEMPLATE.messages(PROBLEM)]
    ledger = Ledger(TINY.costs)
    meter = Meter(
        SharedEngine.around(engine),
        ledger,
        prefix=await engine.encode(messages),
        messages=messages,
        template=TEMPLATE,
        sampling=Sampling(temperature=TEMPLATE.temperature or 0.0, max_tokens=TEMPLATE.max_tokens),
        budget=Budget(16, "samples"),
        job_seed=0,
        problem_key="p",
    )
    return meter, ledger


async def test_a_revision_is_written_behind_what_the_model_was_taught_on(tiny: Generator) -> None:
    engine = Overheard(tiny)
    meter, ledger = await meter_on(engine)
    chain: list[Candidate] = []
    for position in range(6):
        chain.append(await meter.sample(path_of(0, position), attempts=chain[-4:]))
    texts = [one.text for one in chain]
    assert engine.prefixes == [tuple(prompt(PROBLEM, texts[max(0, at - 4) : at])) for at in range(6)]
    assert {one.finish_reason for one in chain} == {"stop"}
    row = ledger.rows()[0]
    read = sum(len(prefix) for prefix in engine.prefixes) - 5 * len(engine.prefixes[0])
    assert (row["canonical_prompt_tokens"], row["samples"]) == (read, 6)


@pytest.mark.parametrize("length", [1, 7, 64])
async def test_segments_are_one_sample(tiny: Generator, length: int) -> None:
    meter, ledger = await meter_on(tiny)
    whole = await meter.sample("0", temperature=0.0)
    alone = ledger.rows()[0]
    part = await meter.segment("f0", None, length, temperature=0.0)
    while part.finish_reason == "step":
        part = await meter.segment("f0.1", part, length, temperature=0.0)
    assert (part.solution, part.finish_reason) == (whole.text, "stop")
    assert sum(one.usage.generated_tokens for one in part.lineage) == whole.usage.generated_tokens
    # Together they cost what the sample did, but for the prompt, which was read before.
    both = ledger.rows()[0]["flops_canonical"] - alone["flops_canonical"]
    assert TINY.costs.architecture is not None
    prefill = flops.prefill_flops(TINY.costs.architecture, whole.usage.prompt_tokens)
    assert both == pytest.approx(alone["flops_canonical"] - prefill)
