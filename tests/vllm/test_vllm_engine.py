"""The conformance suite, asked of vLLM in process (on the CPU where there is no GPU)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from models.errors import UserError
from models.settings import ModelEntry
from strategies.protocols import EngineDied, Generator, Message, Paged, Prefix, QueryError, Sampling
from tests.integration.engines.conformance import CONTEXT, GREEDY, PLAIN, STORY, SUM, AnyGenerator, LanguageModel
from worker.engines import start_engine

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.asyncio(loop_scope="session"),
    # The engine's own libraries warn about each other.
    pytest.mark.filterwarnings("default"),
]


def entry(model: Path) -> ModelEntry:
    return ModelEntry(
        engine="vllm",
        model=str(model),
        context_length=CONTEXT,
        max_sequences=16,
        engine_args={"enforce_eager": True, "dtype": "float32"},
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def generator(vllm_model: Path) -> AsyncIterator[Generator]:
    started = await start_engine("vllm", entry(vllm_model))
    yield started
    await started.close()


@pytest.fixture
def model(generator: Generator) -> Generator:
    return generator


class TestAnyGenerator(AnyGenerator):
    pass


class TestLanguageModel(LanguageModel):
    pass


async def test_every_token_has_a_logprob_even_the_last(generator: Generator) -> None:
    prefix = await generator.encode(SUM)
    (completion,) = await generator.generate(prefix, n=1, stop=["."], max_tokens=60, sampling=GREEDY, seeds=[1])
    assert completion.tokens is not None
    assert completion.logprobs is not None
    assert completion.token_ends is not None
    assert len(completion.tokens) == len(completion.logprobs) == len(completion.token_ends)
    assert completion.token_ends[-1] == len(completion.text)


async def test_each_token_by_itself_reads_as_its_tokenizer_has_it(generator: Generator) -> None:
    """vLLM asks for them one by one; the answers are kept."""
    prefix = await generator.encode(SUM)
    await generator.generate(prefix, n=1, stop=["."], max_tokens=2, sampling=GREEDY, seeds=[1])
    tokenizer = generator.core.tokenizer  # type: ignore[attr-defined]
    assert "decode" in vars(tokenizer)
    tokens = range(0, len(tokenizer), 7)
    assert [tokenizer.decode([token]) for token in tokens] == [
        type(tokenizer).decode(tokenizer, [token]) for token in tokens
    ]
    assert tokenizer.decode(list(tokens[:9])) == type(tokenizer).decode(tokenizer, list(tokens[:9]))


async def test_it_tells_how_much_its_cache_holds(generator: Generator) -> None:
    assert isinstance(generator, Paged)
    assert generator.cache_tokens >= CONTEXT


async def test_more_prompts_than_one_step_reads_are_drawn_each_with_its_seed() -> None:
    arguments = {"enforce_eager": True, "dtype": "float32", "max_num_batched_tokens": 256}
    wanted = ModelEntry(engine="vllm", model="tiny", context_length=256, max_sequences=16, engine_args=arguments)
    engine = await start_engine("tiny", wanted)
    sampling = Sampling(temperature=0.6, max_tokens=40)
    try:
        prefix = await engine.encode([Message("user", "((47*36)+(51*22))-((12+7)*(9+5))")])
        drawn = await asyncio.gather(
            *(
                engine.generate(prefix, n=8, stop=[], max_tokens=40, sampling=sampling, seeds=range(start, start + 8))
                for start in range(0, 64, 8)
            )
        )
    finally:
        await engine.close()
    assert len({completion.text for group in drawn for completion in group}) > 10


async def test_a_token_that_does_not_exist_is_the_querys_error(generator: Generator) -> None:
    with pytest.raises(QueryError):
        await generator.generate(Prefix(tokens=(99_999_999,)), n=1, stop=[], max_tokens=2, sampling=GREEDY, seeds=[1])


@pytest.mark.parametrize("argument", ["trust_remote_code", "generation_config", "no_such_argument"])
async def test_a_wrong_engine_argument_is_named(vllm_model: Path, argument: str) -> None:
    wrong = entry(vllm_model).model_copy(update={"engine_args": {argument: "x"}})
    with pytest.raises(UserError, match=argument):
        await start_engine("mine", wrong)


async def test_the_death_of_the_engines_process_is_told(generator: Generator) -> None:
    """Comes last: nothing can be asked of the engine afterwards."""
    prefix = await generator.encode(STORY)
    running = asyncio.create_task(
        generator.generate(prefix, n=4, stop=[], max_tokens=400, sampling=PLAIN, seeds=range(4))
    )
    await asyncio.wait([running], timeout=0.5)
    for process in generator.core.engine.engine_core.resources.engine_manager.processes:  # type: ignore[attr-defined]
        os.kill(process.pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        with pytest.raises(EngineDied):
            await running
        with pytest.raises(EngineDied):
            await generator.generate(prefix, n=1, stop=[], max_tokens=2, sampling=GREEDY, seeds=[1])
