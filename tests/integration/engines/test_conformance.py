"""The conformance suite, asked of each generator that runs without a GPU."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from models.settings import ModelEntry
from strategies.protocols import Generator
from tests.integration.engines.conformance import CONTEXT, GREEDY, SUM, AnyGenerator, LanguageModel
from worker.engines import start_engine

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engines(smollm2: Path, llama_server: tuple[str, str]) -> AsyncIterator[dict[str, Generator]]:
    """All generators at once; `openai` reaches a llama.cpp server in another process."""
    url, key = llama_server
    entries = {
        "instant": ModelEntry(engine="instant", model="instant", context_length=CONTEXT),
        "llamacpp": ModelEntry(engine="llamacpp", model=str(smollm2), context_length=CONTEXT),
        "openai": ModelEntry(
            engine="openai",
            model="smollm2",
            url=url,
            api_key_env="TTS_TEST_KEY",
            max_sequences=16,
            context_length=CONTEXT,
        ),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TTS_TEST_KEY", key)
        started = {name: await start_engine(name, entry) for name, entry in entries.items()}
    yield started
    for generator in started.values():
        await generator.close()


@pytest.fixture(params=["instant", "llamacpp", "openai"])
def generator(request: pytest.FixtureRequest, engines: dict[str, Generator]) -> Generator:
    return engines[request.param]


@pytest.fixture(params=["llamacpp", "openai"])
def model(request: pytest.FixtureRequest, engines: dict[str, Generator]) -> Generator:
    """The generators behind which there is a language model."""
    return engines[request.param]


class TestAnyGenerator(AnyGenerator):
    pass


class TestLanguageModel(LanguageModel):
    pass


async def test_the_server_and_the_file_agree(engines: dict[str, Generator]) -> None:
    texts, tokens, logprobs = set(), set(), []
    for name in ("llamacpp", "openai"):
        prefix = await engines[name].encode(SUM)
        (completion,) = await engines[name].generate(prefix, n=1, stop=[], max_tokens=24, sampling=GREEDY, seeds=[1])
        texts.add(completion.text)
        tokens.add((prefix.tokens, completion.tokens))
        logprobs.append(completion.logprobs)
    assert len(texts) == len(tokens) == 1
    # Four-bit weights: the shape of the batch moves a log-probability by some hundredths.
    assert logprobs[0] == pytest.approx(logprobs[1], abs=0.2)
