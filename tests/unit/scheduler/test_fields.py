"""Presets and mappings: from a record of a known or mapped layout to a row."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from models.errors import UserError
from scheduler.fields import (
    BadRow,
    FieldMap,
    Row,
    choose_columns,
    parse_field_options,
    text_of,
)
from scheduler.presets import last_boxed


def read(record: dict[str, Any], mapped: FieldMap | None = None, preset: str | None = None) -> Row | BadRow:
    return choose_columns(record, mapped or FieldMap(), preset, "problems.jsonl").row(1, record)


def chosen(record: dict[str, Any]) -> str:
    preset = choose_columns(record, FieldMap(), None, "problems.jsonl").preset
    assert preset is not None
    return preset.name


GSM8K = {
    "question": "A box holds 40 rows of 50 nails. How many nails?",
    "answer": "40 * 50 = <<40*50=2000>>2000\n#### 2,000",
}
MATH = {
    "problem": "Solve $2x = 1$.",
    "solution": r"Halve both sides: $x = \boxed{\frac{1}{2}}$.",
    "answer": r"\frac{1}{2}",
    "subject": "Algebra",
    "level": 2,
    "unique_id": "test/algebra/1.json",
}
SVAMP = {
    "ID": "made-1",
    "Body": "Mia has 9 shells and gives away 4 ",
    "Question": "How many shells are left?",
    "Equation": "( 9.0 - 4.0 )",
    "Answer": 5.0,
    "Type": "Subtraction",
}


@pytest.mark.parametrize(
    ("record", "preset", "row"),
    [
        (GSM8K, "gsm8k", Row(1, "1", GSM8K["question"], "2000", None, None)),
        (MATH, "math", Row(1, "test/algebra/1.json", "Solve $2x = 1$.", r"\frac{1}{2}", "Algebra", "2")),
        (
            {"problem": "Add 1 and 1.", "level": "Level 1", "type": "Prealgebra", "solution": r"So $\boxed{2}$."},
            "math",
            Row(1, "1", "Add 1 and 1.", "2", "Prealgebra", "Level 1"),
        ),
        (
            {"id": 60, "problem": "Find it.", "solution": "Long.", "answer": "204", "url": "-", "question": "Find it."},
            "aime",
            Row(1, "1", "Find it.", "204", None, None),
        ),
        (
            {"id": 0, "question": "Find m+n.", "answer": 142.0, "solution": None, "url": "-"},
            "aime",
            Row(1, "1", "Find m+n.", "142", None, None),
        ),
        (
            SVAMP,
            "svamp",
            Row(1, "made-1", "Mia has 9 shells and gives away 4 How many shells are left?", "5", "Subtraction", None),
        ),
        (
            {"id": "row-9", "problem": "Add 1 and 1.", "answer": "2"},
            "generic",
            Row(1, "row-9", "Add 1 and 1.", "2", None, None),
        ),
        ({"prompt": "Count.", "answer": 70}, "generic", Row(1, "1", "Count.", "70", None, None)),
        (
            {"input": "Count.", "target": "7", "id": "a", "subject": "s", "level": 3},
            "generic",
            Row(1, "a", "Count.", "7", "s", "3"),
        ),
        ({"question": "Count.", "solution": r"So \boxed{7}."}, "generic", Row(1, "1", "Count.", "7", None, None)),
        ({"question": "Count."}, "generic", Row(1, "1", "Count.", None, None, None)),
    ],
)
def test_a_known_layout_is_recognised_and_read(record: dict[str, Any], preset: str, row: Row) -> None:
    assert chosen(record) == preset
    assert read(record) == row


def test_a_named_preset_reads_as_recognised_ones_do() -> None:
    assert read(GSM8K, preset="gsm8k") == read(GSM8K)
    assert read(SVAMP, preset="svamp") == read(SVAMP)


def test_a_mapping_with_a_prompt_stands_alone() -> None:
    record = {"ask": "How many?", "gold": 3, "answer": "not this", "uid": "x", "topic": "sums", "hard": 4}
    mapped = parse_field_options(("prompt=ask", "answer=gold", "key=uid", "subject=topic", "level=hard"))
    assert read(record, mapped) == Row(1, "x", "How many?", "3", "sums", "4")
    assert read(record, FieldMap(prompt="ask")) == Row(1, "1", "How many?", None, None, None)


def test_a_mapping_without_a_prompt_changes_the_recognised_preset() -> None:
    record = {**GSM8K, "uid": "q7"}
    assert read(record, FieldMap(key="uid")) == Row(1, "q7", GSM8K["question"], "2000", None, None)


def test_a_mapping_changes_a_named_preset_and_keeps_its_way_of_reading() -> None:
    record = {"ask": "How many?", "worked": "1 + 1\n#### 2"}
    assert read(record, FieldMap(prompt="ask", answer="worked"), "gsm8k") == Row(1, "1", "How many?", "2", None, None)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("prompt", "write TARGET=COLUMN"),
        ("prompt=", "write TARGET=COLUMN"),
        ("question=q", "the fields are prompt, answer, key, subject, level"),
    ],
)
def test_a_malformed_field_option_is_explained(option: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_field_options((option,))


def test_a_field_may_be_mapped_once() -> None:
    with pytest.raises(UserError, match="already mapped to 'a'"):
        parse_field_options(("prompt=a", "prompt=b"))


def test_a_column_name_may_hold_an_equals_sign() -> None:
    assert parse_field_options(("prompt=a=b",)) == FieldMap(prompt="a=b")


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UserError, match=r"--field answer=gold: there is no column 'gold'.*'question', 'answer'"):
        read(GSM8K, FieldMap(prompt="question", answer="gold"))


def test_an_unknown_layout_names_the_columns_and_the_options() -> None:
    with pytest.raises(UserError, match=r"'text', 'label'.*--field prompt=COLUMN --field answer=COLUMN"):
        read({"text": "How many?", "label": "3"})


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (
            {"prompt": "How many?", "input": "Something else.", "answer": "1"},
            "'prompt' and 'input' may each be the prompt",
        ),
        ({"prompt": "How many?", "answer": "1", "target": "2"}, "'answer' and 'target' may each be the answer"),
    ],
)
def test_two_columns_that_disagree_are_ambiguous(record: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(record)


def test_columns_that_agree_are_not_ambiguous() -> None:
    assert read({"prompt": "How many?", "input": "How many?", "answer": "1"}) == Row(
        1, "1", "How many?", "1", None, None
    )


def test_a_preset_on_another_layout_is_refused() -> None:
    with pytest.raises(UserError, match="--preset math: it reads the prompt from 'problem', but"):
        read(GSM8K, preset="math")
    with pytest.raises(UserError, match="'Body' and 'Question'"):
        read({"Question": "How many?", "Answer": 1}, preset="svamp")
    with pytest.raises(UserError, match="the presets are openai-batch, gsm8k, math, aime, svamp, choice, generic"):
        read(GSM8K, preset="gsm")


@pytest.mark.parametrize(
    ("first", "later", "reason"),
    [
        (GSM8K, {"answer": "#### 1"}, "column 'question' is missing, but it is the prompt"),
        (GSM8K, {"question": " \n", "answer": "#### 1"}, "column 'question' is empty, but it is the prompt"),
        (GSM8K, {"question": 5, "answer": "#### 1"}, "column 'question' is a number, but the prompt must be text"),
        (GSM8K, {"question": ["?"], "answer": "#### 1"}, "column 'question' is a list, but the prompt must be text"),
        (GSM8K, {"question": "?", "answer": "1"}, "column 'answer' has no answer after \"#### \""),
        (GSM8K, {"question": "?", "answer": {"a": 1}}, "column 'answer' is an object, not text or a number"),
        (GSM8K, {"question": "?", "answer": True}, "column 'answer' is true or false, not text or a number"),
        (GSM8K, {"question": "a\0b", "answer": "#### 1"}, "column 'question' holds a NUL character"),
        (MATH, {"problem": "?", "solution": "Clear."}, r"column 'solution' has no \boxed{...}"),
        (MATH, {"problem": "?", "solution": r"\boxed{1"}, r"column 'solution' has a \boxed{ whose braces never close"),
        (SVAMP, {"Body": "One."}, "column 'Question' is missing, but it is the prompt"),
        (
            {"problem": "?"},
            {"answer": "1"},
            "none of the columns 'prompt', 'problem', 'question', 'input' is there for the prompt",
        ),
        (GSM8K, "just text", "is text, not an object with named fields"),
    ],
)
def test_a_bad_row_says_what_is_wrong(first: dict[str, Any], later: Any, reason: str) -> None:
    columns = choose_columns(first, FieldMap(), None, "problems.jsonl")
    assert columns.row(9, later) == BadRow(9, reason)


def test_half_a_surrogate_pair_cannot_be_stored() -> None:
    bad = read({"prompt": "a\ud800b"})
    assert isinstance(bad, BadRow)
    assert "half of a surrogate pair" in bad.reason


def test_a_mapped_key_must_be_there_in_every_row() -> None:
    columns = choose_columns({"q": "?", "uid": "1"}, FieldMap(prompt="q", key="uid"), None, "problems.jsonl")
    assert columns.row(2, {"q": "?"}) == BadRow(2, "column 'uid' is missing, but it is the key")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (18, "18"),
        (18.0, "18"),
        (Decimal("18.0"), "18"),
        (Decimal("0.10"), "0.1"),
        (0.1, "0.1"),
        (-0.0, "0"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E+999999"), "1E+999999"),
        (2**70, str(2**70)),
        (" 18.0 ", " 18.0 "),
        ("", None),
        (None, None),
        (float("nan"), None),
    ],
)
def test_numbers_are_rendered_exactly(value: object, text: str | None) -> None:
    assert text_of(value) == text


def test_an_infinite_number_is_no_text() -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        text_of(float("inf"))


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"$\boxed{1}$ but then $\boxed{2}$", "2"),
        (r"$\boxed{\frac{1}{\sqrt{2}}}$ holds.", r"\frac{1}{\sqrt{2}}"),
        (r"$\boxed{\left\{ x \right.}$", r"\left\{ x \right."),
        (r"$\boxed { 7 }$", "7"),
        (r"so $\boxed 9$ it is", "9"),
        (r"\fbox{B}", "B"),
    ],
)
def test_the_last_box_is_read_with_its_braces_balanced(text: str, content: str) -> None:
    assert last_boxed(text) == content


def test_what_is_read_can_be_told() -> None:
    columns = choose_columns(SVAMP, FieldMap(), None, "problems.jsonl")
    told = "preset svamp: prompt from Body + Question, answer from Answer, key from ID, subject from Type"
    assert columns.describe(SVAMP) == told
    assert (
        choose_columns({"q": "?"}, FieldMap(prompt="q"), None, "x").describe(["q"])
        == "prompt from q, no reference answers"
    )
