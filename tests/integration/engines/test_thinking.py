"""Thinking that is held, on llama.cpp: SmolLM2 and `tiny` do not think by themselves, so the chat template opens a thought
and shows two; tags, ends and what is put in their place are those of the real engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from models.catalogue import find_generator
from models.settings import ModelEntry
from models.templates import Template, load_template
from strategies.budget_forcing import CUT, END_OF_THINKING, ENDED, WAIT, BudgetForcing
from strategies.protocols import Message, Prefix, ProblemView, Sampling
from strategies.task import Budget, Candidate, Solution, Task
from tests.integration.engines.test_tiny import Overheard
from tests.unit.strategies.scripted import Fractions
from worker.engines import start_engine
from worker.engines.llamacpp import LlamaCppGenerator
from worker.ledger import Ledger
from worker.meter import Meter, SharedEngine
from worker.prefixes import added, forced_tokens

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = "".join(
    f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n<think>\n{thought}\n</think>\n\n{answer}<|im_end|>\n"
    for question, thought, answer in (
        ("What is 2 + 3?", "2 + 3 is 5.", "= 5"),
        ("What is 4 + 4?", "4 + 4 is 8.", "= 8"),
        ("What is 6 + 1?", "6 + 1 is 7.", "= 7"),
    )
)
THINKING = (
    EXAMPLES
    + "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n<think>\n"
)


class Listening(Overheard):
    """Also tells the ids of a text."""

    def __init__(self, generator: LlamaCppGenerator) -> None:
        super().__init__(generator)
        self.tokenize = generator.tokenize
        self.next_logprobs = generator.next_logprobs


async def started(name: str, entry: ModelEntry) -> LlamaCppGenerator:
    generator = await start_engine(name, entry)
    assert isinstance(generator, LlamaCppGenerator)
    return generator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def thinker(smollm2: Path) -> AsyncIterator[Listening]:
    # One thread: on a busy machine two of them wait for each other.
    threads = {f"{pool}.n_threads": 1 for pool in ("cpuparams", "cpuparams_batch")}
    arguments = {"chat_template": THINKING, "use_jinja": True, **threads}
    entry = ModelEntry(
        engine="llamacpp", model=str(smollm2), context_length=1024, max_sequences=2, engine_args=arguments
    )
    generator = await started("thinker", entry)
    yield Listening(generator)
    await generator.close()


async def held(
    engine: Listening, question: str, template: Template, most: int, **limits: int
) -> tuple[Solution, Ledger, Prefix]:
    ledger = Ledger(find_generator("tiny").costs)
    messages = [Message("user", question)]
    prefix = await engine.encode(messages)
    budget = Budget(1, "samples")
    meter = Meter(
        SharedEngine.around(engine),
        ledger,
        prefix=prefix,
        messages=messages,
        template=template,
        sampling=Sampling(temperature=0.0, max_tokens=most),
        budget=budget,
        job_seed=0,
        problem_key="p",
    )
    task = Task(ProblemView("p", question), meter, None, Fractions(), budget, 0)
    return await BudgetForcing(**limits).solve(task), ledger, prefix


async def exact(engine: Listening, prefix: Prefix, parts: list[Candidate]) -> None:
    """Each part continued the ids of those before it and of what was put in, and all of that is in the ledger."""
    behind = prefix.tokens or ()
    asked = engine.prefixes[-len(parts) :]
    for part, ids, count in zip(parts, asked, forced_tokens(parts), strict=True):
        assert ids[: len(behind)] == behind
        assert len(ids) == len(behind) + count == part.usage.prompt_tokens
        behind = behind + (part.tokens or ())
    assert "".join(part.text for part in parts) == parts[-1].solution


async def test_a_model_that_closes_its_thought_is_told_to_wait(thinker: Listening) -> None:
    solution, ledger, prefix = await held(
        thinker, "What is 5 + 4?", load_template("plain"), 120, minimum=20, maximum=60, waits=2
    )
    *thinking, answer = solution.candidates
    thought = sum(part.usage.generated_tokens for part in thinking)
    assert len(thinking) > 1  # SmolLM2 closes its thought in fewer than 20 tokens
    assert 20 <= thought <= 60 or len(thinking) == 3
    assert END_OF_THINKING not in "".join(part.text for part in thinking)
    assert all(part.text.startswith(WAIT) for part in thinking[1:])
    assert answer.text.startswith(CUT if thought == 60 else ENDED)
    assert forced_tokens(solution.candidates)[1] == len(await added(thinker, WAIT))
    await exact(thinker, prefix, solution.candidates)
    (row,) = ledger.rows()
    assert row["generated_tokens"] == sum(part.usage.generated_tokens for part in solution.candidates)
    assert row["canonical_prompt_tokens"] == (prefix.token_count or 0) + sum(forced_tokens(solution.candidates))


async def test_a_thought_that_is_cut_is_answered_at_once(thinker: Listening) -> None:
    solution, _, prefix = await held(
        thinker, "What is 5 + 4?", load_template("plain"), 60, minimum=0, maximum=3, waits=0
    )
    thought, answer = solution.candidates
    assert thought.usage.generated_tokens == 3
    assert answer.text.startswith(CUT)
    await exact(thinker, prefix, solution.candidates)


async def test_the_end_of_the_text_ends_a_thought_as_well() -> None:
    """`tiny` knows no tag: it solves the problem, ends, and is made to go on."""
    engine = Listening(await started("tiny", find_generator("tiny").entry))
    try:
        solution, _, prefix = await held(
            engine, "(62+98)+(7+62)", load_template("tiny"), 400, minimum=60, maximum=200, waits=3
        )
        *thinking, _ = solution.candidates
        assert len(thinking) > 1
        assert 60 <= sum(part.usage.generated_tokens for part in thinking) <= 200 or len(thinking) == 4
        await exact(engine, prefix, solution.candidates)
    finally:
        await engine.close()
