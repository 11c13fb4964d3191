"""Our beam search against that of its_hub (PyPI, `pip install "its_hub[lm]"`), on the same server, llama.cpp's and, if
installed, vLLM's, with the same `tiny` and `tiny-prm`, on the same problems: `python -m benchmarks its_hub_beam`."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from its_hub.api import AbstractProcessRewardModel, ChatMessage
from its_hub.core.algorithms.beam_search import BeamSearch
from its_hub.core.lms.openai_lm import OpenAICompatibleLanguageModel
from its_hub.core.lms.step_generation import StepGeneration

from benchmarks.search import Bench
from benchmarks.tables import Row, interval
from models import hub
from models.settings import ModelEntry
from scheduler.readers import Row as Problem
from scheduler.readers import open_dataset
from scheduler.submission import Request, specify
from scheduler.tiny import PROBLEMS
from strategies.protocols import ProblemView, QueryError, Step, Verifier
from tests.servers import SERVER_KEY, llama_serving, vllm_serving
from worker.verifiers import Verifiers

COUNT = 32
REPEATS = 3
BEAMS, KEPT = 16, 4
VLLM_SEQUENCES = 64
"""As many as `tiny-prm` has."""

MOST_STEPS = 24
TEMPERATURE = 0.6
KEY = "TTS_BENCH_KEY"
REQUEST = Request("tiny", "beam_search", {"beam_width": BEAMS // KEPT}, (float(BEAMS), "samples"), verifier="tiny-prm")


@dataclass(frozen=True, slots=True)
class Server:
    """Where both ask, and of how many sequences its batch is."""

    name: str
    start: Callable[[], AbstractContextManager[str]]
    sequences: int
    client: type[OpenAICompatibleLanguageModel]
    """its_hub's, for this server."""


def measure() -> list[Row]:
    """16 beams, of which the 4 best are kept and branch into 4 each. its_hub is run as its documentation does, one problem
    after the other, and with all its searches started at once."""
    logging.getLogger().setLevel(logging.ERROR)
    os.environ[KEY] = SERVER_KEY
    return [row for server in _servers() for row in _measure(server)]


def _servers() -> Iterator[Server]:
    yield Server("llama.cpp's server", _llama, BEAMS, _NewTextAlone)
    if importlib.util.find_spec("vllm"):
        yield Server("vLLM's server", _vllm, VLLM_SEQUENCES, OpenAICompatibleLanguageModel)


@contextlib.contextmanager
def _llama() -> Iterator[str]:
    with llama_serving(hub.pull("tiny", Path()) / hub.GGUF) as (url, _):
        yield url


@contextlib.contextmanager
def _vllm() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        # In parts vLLM reads no prompt of a request with a seed on a CPU: `worker.engines.vllmcore`.
        options = ("--api-key", SERVER_KEY, "--max-num-seqs", str(VLLM_SEQUENCES), "--no-enable-chunked-prefill")
        with vllm_serving(hub.pull("tiny", Path()), "tiny", Path(folder, "log"), *options) as url:
            yield url


def _measure(server: Server) -> list[Row]:
    problems = [row for row in open_dataset(str(PROBLEMS), limit=COUNT).rows() if isinstance(row, Problem)]
    with server.start() as url:
        ours, one_by_one, at_once = [], [], []
        for _ in range(REPEATS):  # in turn, so that the machine's drift falls on all alike
            ours.append(asyncio.run(_ours(url, server.sequences)))
            one_by_one.append(asyncio.run(_theirs(url, server.client, problems, together=False)))
            at_once.append(asyncio.run(_theirs(url, server.client, problems, together=True)))
    seconds, right = zip(*ours, strict=True)
    rows = [_row(f"tts-jobs on {server.name}, all in flight", seconds, right, "")]
    for name, theirs in (("its_hub, one by one", one_by_one), ("its_hub, all started at once", at_once)):
        took, found = zip(*theirs, strict=True)
        ratios = [other / mine for other, mine in zip(took, seconds, strict=True)]
        rows.append(_row(name, took, found, f"tts-jobs is {interval(ratios, '.2f')} times as fast"))
    return rows


def _row(name: str, seconds: Sequence[float], right: Sequence[int], ratio: str) -> Row:
    share = sum(right) / (COUNT * len(right))
    return Row(
        f"beam search {BEAMS}, {COUNT} problems: {name}",
        f"{interval(seconds, '.1f')} s, {100 * share:.0f} % right",
        ratio,
    )


async def _ours(url: str, sequences: int) -> tuple[float, int]:
    """Seconds, and how many answers are right."""
    _, models = specify(REQUEST)
    entry = ModelEntry(
        engine="openai", model="tiny", url=url, api_key_env=KEY, max_sequences=sequences, context_length=2048
    )
    bench = await Bench.start(entry, models.generator.costs, REQUEST, COUNT)
    try:
        await bench.solve(bench.works[:1])  # the first query loads the verifier
        seconds, outcomes = await bench.solve(bench.works)
    finally:
        await bench.close()
    return seconds, sum(outcome.correct is True for outcome in outcomes)


async def _theirs(
    url: str, client: type[OpenAICompatibleLanguageModel], problems: Sequence[Problem], *, together: bool
) -> tuple[float, int]:
    verifiers = Verifiers()
    model = client(f"{url}/v1", SERVER_KEY, "tiny", max_completion_tokens=64)
    try:
        verifier, _ = await verifiers.find("tiny-prm", None, _no_grades)
        steps = StepGeneration(MOST_STEPS, step_token="\n", stop_token="####", temperature=TEMPERATURE)
        search = BeamSearch(steps, _LastStep(verifier), beam_width=KEPT)

        async def answer(problem: Problem) -> bool:
            written = (await search.ainfer(model, problem.prompt, BEAMS))["content"]
            found = re.search(r"####\s*(-?\d+)", written)
            return found is not None and found[1] == problem.answer

        await answer(problems[0])
        started = time.perf_counter()
        if together:
            right = await asyncio.gather(*map(answer, problems))
        else:
            right = [await answer(problem) for problem in problems]
        return time.perf_counter() - started, sum(right)
    finally:
        await model.close()
        await verifiers.close()


async def _no_grades(answer: str, reference: str) -> bool:
    """`tiny-prm` asks for none."""
    return False


class _NewTextAlone(OpenAICompatibleLanguageModel):
    """llama.cpp's server repeats the assistant's turn that it goes on with, where its_hub, made for vLLM's, expects the new
    text alone."""

    async def agenerate(self, conversations: list[list[ChatMessage]], **options: Any) -> list[dict[str, Any]]:
        replies: list[dict[str, Any]] = await super().agenerate(conversations, **options)
        for messages, reply in zip(conversations, replies, strict=True):
            if messages[-1].role == "assistant":
                reply["content"] = reply["content"].removeprefix(messages[-1].content)
        return replies


class _LastStep(AbstractProcessRewardModel):
    """`tiny-prm` as its_hub asks it: the score of a solution is that of its last step."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def ascore(self, prompt: str, steps: list[str]) -> list[float]:
        return list(await asyncio.gather(*(self._score(prompt, text) for text in steps)))

    async def _score(self, prompt: str, text: str) -> float:
        lines = [Step(line) for line in text.split("\n") if line]
        try:
            found = await self._verifier.score(ProblemView("", prompt), lines, first=len(lines) - 1)
        except QueryError:  # a solution that ran on for longer than the verifier's context
            return 0.0
        return found.steps[-1]

    def score(self, prompt: str, steps: list[str]) -> list[float]:
        raise NotImplementedError("its_hub's asynchronous search asks for `ascore`")
