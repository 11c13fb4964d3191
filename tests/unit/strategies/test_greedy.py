"""One sample at temperature 0."""

from strategies.greedy import GREEDY_PATH, Greedy
from strategies.task import Budget
from tests.unit.strategies.scripted import Line, candidate, scene


async def test_one_sample_at_temperature_zero() -> None:
    act = scene({GREEDY_PATH: Line("= 4")}, budget=Budget(1, "samples"))
    solution = await Greedy().solve(act.task)
    assert act.generator.drawn == {GREEDY_PATH: 0.0}
    assert (solution.answer, solution.stopped, solution.chosen) == ("4", "complete", GREEDY_PATH)
    assert [made.answer_class for made in solution.candidates] == [0]


async def test_a_sampled_candidate_does_not_stand_in() -> None:
    act = scene({GREEDY_PATH: Line("= 4")}, given=[candidate("0", Line("= 5"))])
    assert (await Greedy().solve(act.task)).answer == "4"


async def test_a_greedy_candidate_is_reused() -> None:
    act = scene({}, given=[candidate(GREEDY_PATH, Line("= 5"))], budget=Budget(1, "samples"))
    assert (await Greedy().solve(act.task)).answer == "5"
    assert act.generator.drawn == {}


async def test_without_room_there_is_no_answer() -> None:
    solution = await Greedy().solve(scene({}, budget=Budget(9, "tokens")).task)
    assert (solution.answer, solution.candidates, solution.stopped, solution.chosen) == (None, [], "budget", None)


async def test_a_cut_completion_is_no_answer() -> None:
    solution = await Greedy().solve(scene({GREEDY_PATH: Line("= 4", finish="length")}).task)
    assert (solution.answer, solution.stopped, len(solution.candidates)) == (None, "complete", 1)
    solution = await Greedy().solve(scene({GREEDY_PATH: Line("= 4", finish="clipped")}).task)
    assert (solution.answer, solution.stopped) == (None, "budget")
