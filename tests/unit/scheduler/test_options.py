"""Multiple-choice rows: options in a column of their own, and answers by letter, place, label or text."""

from __future__ import annotations

from typing import Any

import pytest

from models.errors import UserError
from scheduler.fields import BadRow, FieldMap, Row, choose_columns
from worker.choices import options_in

QUESTION = "Which is a prime?"
TEXTS = ["4", "6", "7", "9"]
ASKED = "Which is a prime?\n\nA. 4\nB. 6\nC. 7\nD. 9"


def read(record: dict[str, Any], mapped: FieldMap | None = None) -> Row | BadRow:
    return choose_columns(record, mapped or FieldMap(), None, "problems.jsonl").row(1, record)


@pytest.mark.parametrize(
    ("record", "answer"),
    [
        ({"choices": TEXTS, "answer": 2}, "C"),
        ({"choices": TEXTS, "answer": "C"}, "C"),
        ({"options": TEXTS, "answer": "7"}, "7"),
        ({"choices": {"text": TEXTS, "label": ["1", "2", "3", "4"]}, "answerKey": "3"}, "C"),
        ({"choices": {"text": TEXTS, "label": ["A", "B", "C", "D"]}, "answerKey": "C"}, "C"),
        ({"choices": TEXTS}, None),
    ],
)
def test_options_stand_behind_the_question_and_the_answer_is_one_of_them(
    record: dict[str, Any], answer: str | None
) -> None:
    row = read({"question": QUESTION, **record})
    assert row == Row(1, "1", ASKED, answer, None, None)
    assert options_in(ASKED) == dict(zip("ABCD", TEXTS, strict=True)), "the grader reads them back"


def test_any_column_can_be_mapped_to_the_options() -> None:
    record = {"ask": QUESTION, "possible": TEXTS, "right": 2}
    assert read(record, FieldMap(prompt="ask", answer="right", choices="possible")) == Row(
        1, "1", ASKED, "C", None, None
    )
    assert read(record, FieldMap(prompt="ask")) == Row(1, "1", QUESTION, None, None, None)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"choices": TEXTS, "answer": 4}, "column 'answer' is 4, and the options are numbered from 0 to 3"),
        ({"choices": ["4"], "answer": 0}, "column 'choices' has 1 options, not 2 to 10"),
        ({"choices": [4, 6], "answer": 0}, "column 'choices' is no list of texts"),
        ({"choices": {"text": TEXTS, "label": ["1"]}}, "column 'choices' has 4 texts and 1 labels"),
        (
            {"choices": {"text": TEXTS[:2], "label": ["x", "y"]}, "answerKey": "z"},
            "column 'answerKey' is 'z', none of the labels x, y",
        ),
    ],
)
def test_options_that_cannot_be_read_make_a_bad_row(record: dict[str, Any], reason: str) -> None:
    row = read({"question": QUESTION, **record})
    assert isinstance(row, BadRow)
    assert row.reason.startswith(reason)


def test_a_mapped_column_of_options_must_be_there() -> None:
    columns = FieldMap(prompt="ask", choices="possible")
    row = read({"ask": QUESTION, "possible": None}, columns)
    assert row == BadRow(1, "column 'possible' is missing")
    with pytest.raises(UserError, match="--field choices=possible: there is no column 'possible'"):
        read({"ask": QUESTION}, columns)
