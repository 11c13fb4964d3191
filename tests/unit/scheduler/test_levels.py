"""Levels of a dataset as difficulty."""

from __future__ import annotations

import pytest

from models.errors import UserError
from scheduler.difficulty import rank


@pytest.mark.parametrize(
    ("levels", "wanted"),
    [
        (["0.25", "1", "0"], {"0.25": 0.25, "1": 1.0, "0": 0.0}),
        (["1", "2", "3", "4", "5"], {"1": 0.1, "2": 0.3, "3": 0.5, "4": 0.7, "5": 0.9}),
        (["Level 5", "Level 1"], {"Level 1": 0.25, "Level 5": 0.75}),
        (["0", "1"], {"0": 0.25, "1": 0.75}),
        (["10", "9"], {"9": 0.25, "10": 0.75}),
        (["0.5", "2"], {"0.5": 0.25, "2": 0.75}),
        (["Hard", "easy", "medium"], {"easy": 1 / 6, "medium": 0.5, "Hard": 5 / 6}),
        (["3", "level 3"], {"3": 0.5, "level 3": 0.5}),
        (["7"], {"7": 0.5}),
    ],
)
def test_levels_are_ranked_or_taken_as_they_are(levels: list[str], wanted: dict[str, float]) -> None:
    assert rank(levels) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("levels", "strange"), [(["algebra", "geometry"], "algebra"), (["easy", "3"], "easy"), (["grade 3 of 12"], "grade")]
)
def test_levels_without_an_order_are_a_sentence(levels: list[str], strange: str) -> None:
    with pytest.raises(UserError, match=f"--difficulty given: the level '{strange}.* has no place among the others"):
        rank(levels)
