"""Starting engines: what is refused, and the engine that needs no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.errors import UserError
from models.settings import ModelEntry, settings
from strategies.protocols import Message, Sampling
from worker import engines
from worker.engines import start_engine
from worker.engines.llamaserver import completion_of


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTS_HOME", str(tmp_path))
    settings.cache_clear()


async def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engines.NEEDS, "llamacpp", "a_package_that_is_not_installed")
    with pytest.raises(UserError, match=r"pip install 'tts-jobs\[llamacpp\]'"):
        await start_engine("mine", ModelEntry(engine="llamacpp", model="x.gguf"))


@pytest.mark.parametrize(
    ("model", "words"), [("smollm2", "models pull smollm2"), ("gone.gguf", "gone.gguf"), ("text.gguf", "GGUF")]
)
async def test_a_file_that_is_no_model_is_refused(tmp_path: Path, model: str, words: str) -> None:
    (tmp_path / "text.gguf").write_text("this is text")
    path = model if model == "smollm2" else str(tmp_path / model)
    with pytest.raises(UserError, match=words):
        await start_engine("mine", ModelEntry(engine="llamacpp", model=path))


@pytest.mark.parametrize("given", [{"speed": 1}, {"answers": []}, {"answers": "7"}, {"latency": "long"}])
async def test_the_instant_engine_knows_its_arguments(given: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(given))):
        await start_engine("mine", ModelEntry(engine="instant", model="", engine_args=given))


async def test_the_instant_engine_answers_by_its_seed() -> None:
    generator = await start_engine("mine", ModelEntry(engine="instant", model="", engine_args={"answers": ["x", 5]}))
    prefix = await generator.encode([Message("user", "Which one?")])
    drawn = await generator.generate(prefix, n=4, stop=[], max_tokens=9, sampling=Sampling(), seeds=[0, 1, 2, 3])
    assert [completion.text for completion in drawn] == [
        "The answer is \\boxed{x}.",
        "The answer is \\boxed{5}.",
    ] * 2
    assert all(completion.finish_reason == "stop" for completion in drawn)
    assert all(completion.usage.generated_tokens == 4 for completion in drawn)


def reply(**given: Any) -> dict[str, Any]:
    pieces = [("a", -1.0), ("", -2.0), ("é\n", -3.0), ("\n", -4.0)]
    return {
        "content": "aé\n",
        "tokens": [1, 2, 3, 4, 5],
        "tokens_predicted": 5,
        "tokens_evaluated": 8,
        "stop_type": "limit",
        "stopping_word": "",
        "timings": {"cache_n": 3},
        "completion_probabilities": [{"token": text, "logprob": value} for text, value in pieces],
    } | given


def test_token_ends_stay_inside_the_text() -> None:
    assert completion_of(reply()).token_ends == (1, 1, 3, 3)


@pytest.mark.parametrize(
    ("ended", "word", "finish", "stop"),
    [
        ("eos", "", "stop", None),
        ("word", "\n\n", "stop", "\n\n"),
        ("limit", "", "length", None),
        ("none", "", "length", None),
    ],
)
def test_only_an_end_of_its_own_finishes_a_text(ended: str, word: str, finish: str, stop: str | None) -> None:
    completion = completion_of(reply(stop_type=ended, stopping_word=word))
    assert completion.finish_reason == finish
    assert completion.stop_string == stop


def test_unknown_cached_tokens_stay_unknown() -> None:
    assert completion_of(reply(timings={})).usage.cached_tokens is None
