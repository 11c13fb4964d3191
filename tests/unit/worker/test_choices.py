"""The options of a multiple choice, and which of them an answer names."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from models.templates import load_template
from worker.choices import choice_letter, letter_of, options_in
from worker.extraction import extract_answer

RIVERS = {"A": "the Nile", "B": "the Rhine", "C": "C minor", "D": "12.5"}
CHOICE = load_template("choice")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("C", "C"),
        ("(D) a lake", "D"),
        ("b", "B"),
        (r"\text{(E)}", "E"),
        ("C. Paris", "C"),
        ("Z", None),
        ("A lake", None),
        ("", None),
        ("Cat", None),
    ],
)
def test_choice_letters(text: str, letter: str | None) -> None:
    assert choice_letter(text) == letter


@pytest.mark.parametrize(
    ("prompt", "options"),
    [
        ("Which?\nA. red\nB. blue", {"A": "red", "B": "blue"}),
        ("Which?\n(A) red\n(B) blue\n(C) green ", {"A": "red", "B": "blue", "C": "green"}),
        ("Which?\nA) red\n\n B) a blue one.", {"A": "red", "B": "a blue one."}),
        ("Which? (A) red (B) light blue, (C) green", {"A": "red", "B": "light blue", "C": "green"}),
        ("As in:\nA. 1\nB. 2\nC. 3\nAnd now:\nA. 4\nB. 5", {"A": "4", "B": "5"}),
        ("A. is the only one", {}),
        ("B. blue\nC. green", {}),
        ("Let (A) be a set. What of (C) follows?", {}),
        ("A line from A to B. No options.", {}),
    ],
)
def test_options_of_a_prompt(prompt: str, options: dict[str, str]) -> None:
    assert options_in(prompt) == options


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("the Nile", "A"),
        ("The Rhine.", "B"),
        ("C minor", "C"),  # not because it begins with a C
        ("12.50", "D"),
        ("b", "B"),
        ("(B) the Nile", "B"),
        ("the Po", None),
    ],
)
def test_an_answer_names_an_option_by_letter_or_text(answer: str, letter: str | None) -> None:
    assert letter_of(answer, RIVERS) == letter


def test_a_text_that_two_options_share_names_none() -> None:
    assert letter_of("red", {"A": "red", "B": "Red", "C": "blue"}) is None


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("(B)", "B"),
        ("B.", "B"),
        ("B", "B"),
        (r"So \boxed{B}", "B"),
        (r"So \boxed{\text{the Rhine}}", "B"),
        ("the answer is B", "B"),
        ("The answer is the Rhine.", "B"),
        ("The answer is the Rhine because it flows.", "B"),
        ("The answer is C minor.", "C"),
        ("Answer: 12.5", "D"),
        ("**Answer:** (A) the Nile", "A"),
        ("It flows north.\nthe Nile", "A"),
        ("The answer is the Po.", None),
        ("I do not know.", None),
    ],
)
def test_a_choice_is_read_by_letter_or_text(text: str, letter: str | None) -> None:
    assert extract_answer(text, CHOICE, RIVERS) == letter


WORDS = some.text("klmnopqrst", min_size=2, max_size=6)


@given(some.lists(WORDS, min_size=2, max_size=10, unique=True), some.data())
def test_every_option_is_found_again_however_it_is_written(texts: list[str], data: some.DataObject) -> None:
    letters = "ABCDEFGHIJ"[: len(texts)]
    form = data.draw(some.sampled_from(["{}. {}", "{}) {}", "({}) {}", "{}: {}"]))
    options = options_in("Which?\n" + "\n".join(map(form.format, letters, texts)))
    assert options == dict(zip(letters, texts, strict=True))
    letter = data.draw(some.sampled_from(letters))
    said = data.draw(
        some.sampled_from(
            ["({0})", "{0}.", r"\boxed{{{0}}}", "the answer is {0}", "The answer is {1}.", "{0}. {1}", "{1}"]
        )
    )
    assert extract_answer(said.format(letter, options[letter]), CHOICE, options) == letter
