"""SmolLM2 on llama.cpp as its own judge: its real Yes and No, the prefix cache between two steps, and the ledger."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from models.catalogue import find_generator
from models.judging import QUESTION, SHOWN
from models.settings import ModelEntry
from strategies.protocols import Message, ProblemView, Sampling, Step
from tests.unit.worker.attempts import work
from worker.engines import start_engine
from worker.engines.llamacpp import LlamaCppGenerator
from worker.grading import GradingPool
from worker.meter import SharedEngine
from worker.prefixes import added
from worker.solver import Attempt
from worker.verifiers import Verifiers
from worker.verifiers.judge import Judge

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROBLEM = ProblemView("p", "A farm has 12 cows and buys 5 more. Then 3 cows are sold. How many cows are left?")
RIGHT = [Step("The farm has 12 + 5 = 17 cows.\n"), Step("Then 17 - 3 = 14 cows are left.\n"), Step("The answer is 14.")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def smollm(smollm2: Path) -> AsyncIterator[LlamaCppGenerator]:
    # One thread: on a busy machine two of them wait for each other.
    threads = {f"{pool}.n_threads": 1 for pool in ("cpuparams", "cpuparams_batch")}
    entry = ModelEntry(engine="llamacpp", model=str(smollm2), context_length=1024, max_sequences=4, engine_args=threads)
    generator = await start_engine("smollm2", entry)
    assert isinstance(generator, LlamaCppGenerator)
    yield generator
    await generator.close()


async def test_a_score_is_what_the_model_says_of_yes_and_no(smollm: LlamaCppGenerator) -> None:
    scores = await Judge("judge", smollm).score(PROBLEM, RIGHT)
    said = SHOWN.format(problem=PROBLEM.prompt, solution="".join(step.text for step in RIGHT)) + QUESTION
    prefix = await smollm.encode([Message("user", said)])
    words = [(await added(smollm, word))[0] for word in ("Yes", "yes", "No", "no")]
    (seen,) = await smollm.next_logprobs([prefix.tokens or ()], words)
    yes, small_yes, no, small_no = map(math.exp, seen.logprobs)
    assert yes + no > 0.1  # it does answer the question
    assert scores.steps[2] == pytest.approx((yes + small_yes) / (yes + small_yes + no + small_no), abs=0.01)
    assert len(scores.steps) == 3
    assert all(0.0 < score < 1.0 for score in scores.steps)


async def test_only_the_newest_step_and_the_question_are_read(smollm: LlamaCppGenerator) -> None:
    judge = Judge("judge", smollm)
    problem = ProblemView(
        "q", "A shop sells 7 red and 9 blue pens, and then another 6 red ones. How many pens is that?"
    )
    first, second = (await judge.score(problem, RIGHT)).passes[:2]
    newest = len(await added(smollm, RIGHT[1].text))
    tail = (await judge.score(problem, RIGHT, first=2)).tail
    assert second.cached_tokens is not None
    assert second.cached_tokens >= first.prompt_tokens - tail - 1
    assert second.prompt_tokens - second.cached_tokens <= newest + tail + 2


async def test_what_a_generator_thinks_of_its_own_solutions_chooses_one(smollm: LlamaCppGenerator) -> None:
    pool, verifiers = GradingPool(), Verifiers()
    job = work("best_of_n", (4, "samples"), verifier="judge")
    job = replace(job, context=replace(job.context, sampling=Sampling(temperature=0.2, max_tokens=150)))
    costs = find_generator("tiny").costs  # an architecture, so that FLOPs are counted; not this model's
    try:
        outcome = await Attempt(job, SharedEngine.around(smollm), costs, pool, verifiers).run(0)
    finally:
        await verifiers.close()
        pool.close()
    assert outcome.state == "done"
    scored = [row for row in outcome.candidates if row["score"] is not None]
    rows = {row["phase"]: row for row in outcome.usage}
    assert rows["generate"]["calls"] == 4
    assert scored
    assert (rows["score"]["model"], rows["score"]["calls"]) == ("judge", len(scored))
    assert rows["score"]["scored_tokens"] == rows["score"]["prompt_tokens"]  # one question for each whole solution
    assert rows["score"]["flops_canonical"] > 0
