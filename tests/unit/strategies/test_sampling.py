"""Drawing samples: what is reused, what is cut, what is scored."""

import asyncio
from dataclasses import replace

import pytest

from strategies.protocols import QueryError
from strategies.registry import STRATEGIES, build
from strategies.sampling import MOST_SAMPLES, draw, draw_samples, sample_count, score_all
from strategies.task import Budget
from tests.unit.strategies.scripted import Line, candidate, scene


def test_the_width_is_the_budget_in_samples_or_as_many_as_fit() -> None:
    assert sample_count(Budget(16.0, "samples")) == 16
    assert {sample_count(Budget(1e6, unit)) for unit in ("tokens", "flops", "usd")} == {MOST_SAMPLES}


async def test_samples_come_in_the_order_of_their_paths() -> None:
    act = scene([Line(f"= {index}") for index in range(11)])
    drawn, exhausted = await draw_samples(act.task)
    assert [made.path for made in drawn] == [str(index) for index in range(11)]
    assert [made.answer for made in drawn] == [str(index) for index in range(11)]
    assert not exhausted
    assert set(act.generator.drawn.values()) == {None}  # the job's own temperature


async def test_candidates_already_made_are_not_drawn_again_and_others_are_not_used() -> None:
    given = [candidate("1", Line("= 5")), candidate("7", Line("= 6")), candidate("greedy", Line("= 7"))]
    act = scene([Line("= 0"), Line("= 1"), Line("= 2")], given=given)
    drawn, _ = await draw_samples(act.task)
    assert set(act.generator.drawn) == {"0", "2"}
    assert drawn[1] is given[0]
    assert [made.answer for made in drawn] == ["0", "5", "2"]
    assert given[1] not in drawn


@pytest.mark.parametrize("name", [entry.name for entry in STRATEGIES.values() if entry.samples])
async def test_the_greedy_sample_is_drawn_first_and_is_one_of_n(name: str) -> None:
    act = scene({"greedy": Line("= 1"), "0": Line("= 2"), "1": Line("= 1")}, budget=Budget(3, "samples"))
    solution = await build(name, {"greedy_first": True}).solve(act.task)
    assert [made.path for made in solution.candidates] == ["greedy", "0", "1"]
    assert act.generator.drawn == {"greedy": 0.0, "0": None, "1": None}
    assert solution.answer == "1"


async def test_what_was_scored_before_is_not_scored_again() -> None:
    """The verifier says 0.5 to everything; what it had said before, in an earlier stage, was something else."""
    last, every, partly = (candidate(str(n), Line("= 1")) for n in range(3))
    last.step_scores, every.step_scores, partly.step_scores = (None, 0.25), (0.25, 0.75), (None, 0.75)
    act = scene([Line("= 1")] * 4, given=[last, every])
    drawn, _ = await draw_samples(act.task)
    await score_all(act.task, drawn, "last")
    assert ([one.score for one in drawn], sorted(act.verifier.scored)) == ([0.25, 0.75, 0.5, 0.5], ["2", "3"])
    act.verifier.scored.clear()
    await score_all(act.task, [every, partly], "min")
    assert ([every.score, partly.score], act.verifier.scored) == ([0.25, 0.5], ["2"])


@pytest.mark.parametrize("finish", ["length", "clipped", "cancelled"])
async def test_what_was_cut_is_never_an_answer(finish: str) -> None:
    act = scene([Line("= 5", finish=finish), Line("= 6")])  # type: ignore[arg-type]
    drawn, exhausted = await draw_samples(act.task)
    assert [made.answer for made in drawn] == [None, "6"]
    assert exhausted == (finish == "clipped")  # only the budget's own cut says that more was wanted


async def test_an_answer_is_read_in_the_whole_solution_and_not_in_its_last_step() -> None:
    begun = candidate("s0", Line("so x =", finish="step"))
    ended = replace(candidate("s0.0", Line(" 5")), parent=begun)
    act = scene([], given=[ended])
    (drawn,), _ = await draw(act.task, ["s0.0"])
    assert drawn.answer == "5"


async def test_a_cut_candidate_that_is_reused_loses_the_answer_it_came_with() -> None:
    given = candidate("0", Line("= 5", finish="length"))
    given.answer = "5"
    drawn, _ = await draw_samples(scene([Line("= 1")], given=[given]).task)
    assert drawn[0].answer is None


async def test_an_exhausted_budget_ends_with_what_there_is() -> None:
    act = scene({"0": Line("= 1"), "2": Line("= 3")}, budget=Budget(3, "samples"))
    drawn, exhausted = await draw_samples(act.task)
    assert ([made.path for made in drawn], exhausted) == (["0", "2"], True)


async def test_a_failing_call_fails_the_draw_and_ends_the_others() -> None:
    forever = asyncio.Event()

    class Hanging:
        async def sample(self, path: str, *, temperature: float | None = None) -> None:
            if path == "1":
                raise QueryError("too long")
            try:
                await forever.wait()
            except asyncio.CancelledError:
                ended.append(path)
                raise

    ended: list[str] = []
    act = scene([Line("")] * 3)
    act.task.generator = Hanging()  # type: ignore[assignment]
    with pytest.raises(ExceptionGroup) as caught:
        await draw(act.task, ["0", "1", "2"])
    assert [type(error) for error in caught.value.exceptions] == [QueryError]
    assert sorted(ended) == ["0", "2"]


async def test_only_finished_texts_are_scored() -> None:
    act = scene([Line("= 1", (0.2, 0.4)), Line("= 2", finish="length"), Line("  \n"), Line("no answer", (0.7,))])
    drawn, _ = await draw_samples(act.task)
    await score_all(act.task, drawn, "min")
    assert act.verifier.scored == ["0", "3"]
    assert [made.score for made in drawn] == [0.2, None, None, 0.7]


async def test_a_failed_score_fails_the_attempt_and_is_never_zero() -> None:
    act = scene([Line("= 1"), Line("= 2", RuntimeError("out of memory")), Line("= 3")])
    drawn, _ = await draw_samples(act.task)
    with pytest.raises(ExceptionGroup) as caught:
        await score_all(act.task, drawn, "last")
    assert str(caught.value.exceptions[0]) == "out of memory"
    assert drawn[1].score is None


async def test_no_score_at_all_is_a_failure_too() -> None:
    act = scene([Line("= 1", ())])
    drawn, _ = await draw_samples(act.task)
    with pytest.raises(ExceptionGroup) as caught:
        await score_all(act.task, drawn, "last")
    assert isinstance(caught.value.exceptions[0], ValueError)
