"""What is read from a model is the same in this process and behind llama.cpp's server: a label, an answer, ids."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from models.settings import ModelEntry
from strategies.protocols import ProblemView, Scores, Step
from worker.engines import start_engine, start_reader
from worker.prefixes import added, reader_of
from worker.verifiers.judge import Judge
from worker.verifiers.label_token import TINY_PRM, LabelToken

PROBLEM = ProblemView("p", "(47*6)+(812-5)")
STEPS = [Step("47*6=282\n"), Step("812-5=807\n"), Step("282+807=289")]


async def scored(entry: ModelEntry, times: int) -> list[Scores]:
    reader = await start_reader("tiny-prm", entry)
    try:
        return [await LabelToken("tiny-prm", reader, TINY_PRM).score(PROBLEM, STEPS) for _ in range(times)]
    finally:
        await reader.close()


async def test_the_server_and_the_file_are_one_verifier(
    served_prm: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, key = served_prm
    monkeypatch.setenv("TTS_TEST_KEY", key)
    (alone,) = await scored(ModelEntry(engine="llamacpp", model="tiny-prm", max_sequences=2, context_length=1024), 1)
    remote = ModelEntry(engine="openai", model="tiny-prm", url=url, api_key_env="TTS_TEST_KEY")
    served, again = await scored(remote, 2)
    assert served.steps == pytest.approx(alone.steps, abs=1e-2)
    assert max(served.steps) - min(served.steps) > 0.1, "one of the steps is wrong"
    assert [one.prompt_tokens for one in served.passes] == [one.prompt_tokens for one in alone.passes]
    last = again.passes[-1]
    assert last.cached_tokens is not None
    assert last.cached_tokens > last.prompt_tokens // 2


async def test_a_served_generator_judges_and_tells_ids_as_its_file_does(
    llama_server: tuple[str, str], smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, key = llama_server
    monkeypatch.setenv("TTS_TEST_KEY", key)
    found = []
    for entry in (
        ModelEntry(engine="llamacpp", model=str(smollm2), max_sequences=2, context_length=2048),
        ModelEntry(engine="openai", model="smollm2", url=url, api_key_env="TTS_TEST_KEY"),
    ):
        generator = await start_engine("smollm2", entry)
        try:
            reader = reader_of(generator)
            scores = await Judge("judge", reader).score(ProblemView("p", "What is 2 + 3?"), [Step("2 + 3 = 5")])
            found.append((scores, await added(reader, "</think>\n\nThe final answer is")))
        finally:
            await generator.close()
    (alone, ids), (served, served_ids) = found
    assert served.steps == pytest.approx(alone.steps, abs=1e-2)
    assert 0 < served.steps[0] < 1
    assert served_ids == ids


async def test_no_candidate_is_read_twice_for_its_steps() -> None:
    """Many more than the engine has sequences, of one problem, so that any slot seems a good one to every candidate."""
    entry = ModelEntry(engine="llamacpp", model="tiny-prm", max_sequences=4, context_length=1024)
    candidates = [
        [Step(f"47*6={product}\n"), Step("812-5=807\n"), Step(f"{product}+807={product + 807}\n"), Step("####1")]
        for product in range(300, 324)
    ]
    reader = await start_reader("tiny-prm", entry)
    try:
        verifier = LabelToken("tiny-prm", reader, TINY_PRM)
        found = await asyncio.gather(*(verifier.score(PROBLEM, steps) for steps in candidates))
    finally:
        await reader.close()
    read = sum(one.prompt_tokens - (one.cached_tokens or 0) for scores in found for one in scores.passes)
    longest = sum(scores.passes[-1].prompt_tokens for scores in found)
    assert read <= longest
