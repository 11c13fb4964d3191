"""What a candidate is: its seed, its text, its steps and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from models.costs import CostModel
from models.settings import ModelEntry
from models.templates import load_template
from strategies.majority_vote import MajorityVote
from strategies.protocols import (
    Answers,
    Completion,
    Message,
    ProblemView,
    QueryError,
    Sampling,
    Scores,
    Step,
    TokenUsage,
)
from strategies.seeds import seed_for
from strategies.task import Budget, Candidate, Task
from tests.unit.strategies.scripted import Fractions
from tests.unit.worker.scripted import COSTS, PRICE, ScriptedEngine, make_meter, says
from worker.busy import BusyClock
from worker.engines import instant
from worker.ledger import Ledger
from worker.meter import Meter, SharedEngine, step_logprobs
from worker.scoring import ScoringMeter


def task_of(meter: Meter, budget: Budget, answers: Answers | None = None) -> Task:
    return Task(ProblemView("p", "2 + 2?"), meter, None, answers or Fractions(), budget, 3)


async def test_seeds_come_from_job_problem_and_path() -> None:
    engine = ScriptedEngine(says(5))
    meter, _ = await make_meter(engine, Budget(9, "samples"))
    for path in ("0", "1", "greedy"):
        await meter.sample(path)
    assert engine.seeds == [seed_for(3, "p", path) for path in ("0", "1", "greedy")]


async def test_what_no_database_can_hold_is_replaced() -> None:
    engine = ScriptedEngine(lambda call: (5, 1, "a\x00b\udc80\n\nc 😀"))
    meter, _ = await make_meter(engine, Budget(1, "samples"))
    assert (await meter.sample("0")).text == "a\ufffdb\ufffd\n\nc 😀"


async def instant_vote(name: str, job_seed: int, key: str, budget: Budget, **arguments: Any) -> list[tuple[str, str]]:
    generator = await instant.start(name, ModelEntry(engine="instant", model="-", engine_args=arguments))
    meter = Meter(
        SharedEngine.around(generator),
        Ledger(CostModel(name, None, PRICE)),
        prefix=await generator.encode([Message("user", "2 + 2?")]),
        template=load_template("math-boxed"),
        sampling=Sampling(max_tokens=64),
        budget=budget,
        job_seed=job_seed,
        problem_key=key,
    )
    solution = await MajorityVote().solve(task_of(meter, budget))
    await generator.close()
    return [(one.path, one.text) for one in solution.candidates]


async def test_the_same_seed_draws_the_same_candidates_on_any_run() -> None:
    sixteen = Budget(16, "samples")
    first = await instant_vote("one", 3, "p", sixteen)
    assert first == await instant_vote("two", 3, "p", sixteen, latency=0.001)
    assert first[:4] == await instant_vote("one", 3, "p", Budget(4, "samples"))  # best-of-4 is a part of best-of-16
    assert first != await instant_vote("one", 4, "p", sixteen)
    assert first != await instant_vote("one", 3, "q", sixteen)
    assert len({text for _, text in first}) > 3


# --- scoring ----------------------------------------------------------------------------------------------------------


class Judge:
    name = "judge"
    oracle = False

    def __init__(self, *scores: float) -> None:
        self.scores = scores
        self.read: list[Step] = []
        self.first = 0

    async def score(self, problem: ProblemView, steps: Sequence[Step], *, first: int = 0) -> Scores:
        self.read, self.first = list(steps), first
        return Scores(self.scores[first:], (TokenUsage(12, None, 0),))


def solved(text: str, step_logprobs: tuple[float, ...] | None = None) -> Candidate:
    return Candidate("0", text, "stop", TokenUsage(7, 0, 5), step_logprobs=step_logprobs)


def scoring(judge: Judge) -> tuple[ScoringMeter, Ledger]:
    ledger = Ledger(replace(COSTS, verifier=replace(COSTS, model="judge")))
    clock = BusyClock()
    return ScoringMeter(judge, ledger, ProblemView("p", "2 + 2?"), load_template("math-boxed"), clock), ledger


async def test_a_verifier_sees_the_templates_steps_and_is_booked() -> None:
    judge = Judge(0.25, 0.5)
    meter, ledger = scoring(judge)
    one = solved("2 and 2\n\nmake 4", (-0.5, -0.25))
    assert await meter.score(one) == one.step_scores == (0.25, 0.5)
    assert judge.read == [Step("2 and 2\n\n", -0.5), Step("make 4", -0.25)]
    (row,) = ledger.rows()
    assert (row["phase"], row["model"], row["scored_tokens"]) == ("score", "judge", 12)
    await meter.score(solved("2 and 2\n\nmake 4"))
    assert judge.read == [Step("2 and 2\n\n"), Step("make 4")]


async def test_a_model_is_asked_for_the_last_step_alone_where_that_is_enough() -> None:
    judge = Judge(0.25, 0.5)
    meter, _ = scoring(judge)
    one = solved("2 and 2\n\nmake 4")
    assert await meter.score(one, last_only=True) == (0.5,)
    assert (judge.first, one.step_scores) == (1, (None, 0.5))


async def test_a_score_that_fails_has_cost_its_time() -> None:
    class Failing(Judge):
        async def score(self, problem: ProblemView, steps: Sequence[Step], *, first: int = 0) -> Scores:
            raise QueryError("too long")

    meter, ledger = scoring(Failing())
    with pytest.raises(QueryError, match="too long"):
        await meter.score(solved("2 and 2"))
    (row,) = ledger.rows()
    assert (row["phase"], row["disposition"], row["calls"], row["at_least"]) == ("score", "wasted", 1, True)


@pytest.mark.parametrize("scores", [(0.5,), (0.5, 0.5, 0.5), (), (0.5, 1.5), (-0.1, 0.5), (float("nan"), 0.5)])
async def test_what_is_no_score_is_an_error(scores: tuple[float, ...]) -> None:
    meter, _ = scoring(Judge(*scores))
    one = solved("2 and 2\n\nmake 4")
    with pytest.raises(ValueError, match=r"judge returned .* for 2 steps"):
        await meter.score(one)
    assert one.step_scores is None
    assert one.score is None


def completion(text: str, ends: tuple[int, ...] | None, logprobs: tuple[float, ...] | None) -> Completion:
    return Completion(text, "stop", TokenUsage(7, 0, 5), logprobs=logprobs, token_ends=ends)


def test_log_probabilities_are_averaged_over_the_step_in_which_a_token_ends() -> None:
    template = load_template("math-boxed")
    text = "ab\n\ncd"
    # "ab", "\n\n", then "c" and "d".
    assert step_logprobs(completion(text, (2, 4, 5, 6), (-1.0, -3.0, -0.5, -0.25)), template) == (-2.0, -0.375)
    # A token that spans the boundary belongs to the step in which it ends; the first keeps "ab" alone.
    assert step_logprobs(completion(text, (2, 5, 6), (-1.0, -2.0, -4.0)), template) == (-1.0, -3.0)
    # A step without a token of its own gets the mean of the whole.
    assert step_logprobs(completion(text, (6,), (-1.5,)), template) == (-1.5, -1.5)
    # The end-of-sequence token has no text and counts for the last step.
    assert step_logprobs(completion(text, (4, 6, 6), (-1.0, -2.0, -4.0)), template) == (-1.0, -3.0)


def test_without_log_probabilities_there_are_none() -> None:
    template = load_template("math-boxed")
    assert step_logprobs(completion("ab", None, None), template) is None
    assert step_logprobs(completion("ab", None, (-1.0,)), template) is None
    assert step_logprobs(completion("", (), ()), template) is None
    assert step_logprobs(completion("", (0,), (-1.0,)), template) == ()


async def test_a_temperature_of_its_own_leaves_the_rest_of_the_sampling() -> None:
    seen: list[Sampling] = []

    class Watched(ScriptedEngine):
        async def generate(self, *args: Any, sampling: Sampling, **options: Any) -> list[Completion]:
            seen.append(sampling)
            return await super().generate(*args, sampling=sampling, **options)

    sampling = Sampling(temperature=0.9, top_p=0.5, max_tokens=9)
    meter, _ = await make_meter(Watched(says(5)), Budget(2, "samples"), sampling=sampling)
    await meter.sample("greedy", temperature=0.0)
    await meter.sample("0")
    assert seen == [replace(sampling, temperature=0.0), sampling]
