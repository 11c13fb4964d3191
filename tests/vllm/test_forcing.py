"""What budget forcing and judges ask of vLLM: the ids of a text, the end among a completion's, many tokens' chances."""

from __future__ import annotations

import pytest

from models.catalogue import find_generator
from models.settings import ModelEntry
from models.templates import load_template
from strategies.budget_forcing import BudgetForcing
from strategies.protocols import Message, ProblemView, Reader, Sampling
from strategies.task import Budget, Task
from tests.unit.strategies.scripted import Fractions
from worker.engines import start_engine
from worker.ledger import Ledger
from worker.meter import Meter, SharedEngine
from worker.prefixes import forced_tokens

pytestmark = [pytest.mark.vllm, pytest.mark.asyncio(loop_scope="session"), pytest.mark.filterwarnings("default")]

PROBLEM = "(62+98)+(7+62)"


async def test_parts_continue_what_was_drawn_and_what_was_put_in() -> None:
    arguments = {"enforce_eager": True, "dtype": "float32"}
    entry = ModelEntry(engine="vllm", model="tiny", context_length=512, max_sequences=4, engine_args=arguments)
    engine = await start_engine("tiny", entry)
    try:
        messages = [Message("user", PROBLEM)]
        prefix = await engine.encode(messages)
        ledger, budget = Ledger(find_generator("tiny").costs), Budget(1, "samples")
        meter = Meter(
            SharedEngine.around(engine),
            ledger,
            prefix=prefix,
            messages=messages,
            template=load_template("tiny"),
            sampling=Sampling(temperature=0.0, max_tokens=400),
            budget=budget,
            job_seed=0,
            problem_key="p",
        )
        task = Task(ProblemView("p", PROBLEM), meter, None, Fractions(), budget, 0)
        solution = await BudgetForcing(minimum=60, maximum=200, waits=3).solve(task)
        *thinking, answer = solution.candidates
        assert len(thinking) > 1  # `tiny` ends its text, and is made to go on
        before = sum(len(part.tokens or ()) for part in thinking)
        put = forced_tokens(solution.candidates)
        assert answer.usage.prompt_tokens == (prefix.token_count or 0) + before + put[-1]
        assert put[1] == len("Wait")  # one token a character
        # Of each part the end alone was drawn and not kept.
        assert [len(part.tokens or ()) - one for part, one in zip(thinking, put, strict=False)] == [
            part.usage.generated_tokens - (part.usage.generated_tokens < 200) for part in thinking
        ]
        assert isinstance(engine, Reader)
        (chances,) = await engine.next_logprobs([prefix.tokens or ()], [ord(digit) for digit in "0123456789+-"])
        assert len(chances.logprobs) == 12
        assert max(chances.logprobs) > -5
    finally:
        await engine.close()
