"""Which part of a solution is its answer."""

import dataclasses
import time

import pytest

from models.templates import load_template
from worker.extraction import boxed, extract_answer

MATH = load_template("math-boxed")
STEPS = load_template("gsm8k-steps")
CHOICE = load_template("choice")
PLAIN = load_template("plain")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{1} no: \boxed{\sqrt{\frac{a}{b}}}", r"\sqrt{\frac{a}{b}}"),
        (r"\boxed{3} and then \boxed{4", "3"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed 5", "5"),
        (r"$\boxed{1}$ and $\boxed{2}$", "1, 2"),
        (r"\boxed{7}, \boxed{7}", "7"),
        (r"$u = \boxed{4}$ and $v_1 = \boxed{9}$", "4, 9"),
        (r"$u = \boxed{4}$, then $v = 9$, so \boxed{36}", "36"),
        (r"\boxed{7} is wrong, so \boxed{8}", "8"),
        (r"<think>\boxed{3}</think>\boxed{4}", "4"),
        (r"<think>\boxed{3}</think>unsure", None),
        (r"<think>\boxed{3}", None),
        ("work\n#### 42 apples", "42 apples"),
        ("The answer is 42.", "42"),
        ("The answer is $5 per cup.", "$5 per cup"),
        (r"The answer is $\frac{1}{2}$ because it is.", r"\frac{1}{2}"),
        ("**Final answer:** 1,000.5", "1,000.5"),
        (r"The final answer is \[ x + 1 \]", "x + 1"),
        ("It follows.\nAnswer $\\frac{3}{8}$", r"\frac{3}{8}"),
        ("The answer is $\n", None),
        (r"The answer is $\$5 + x$.", r"\$5 + x"),
        ("Any answer $n$ will do.", None),
        ("Final Answer: The largest n is 34.", "34"),
        ("The answer is 3. Wait, the answer is 4.", "4"),
        ("The answer is not at all obvious to me.", None),
        ("We get 5", None),
        (r"\boxed{}", None),
        ("", None),
    ],
)
def test_mathematics(text: str, answer: str | None) -> None:
    assert extract_answer(text, MATH) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("20 - 8 = 12 cups.\n#### 12", "12"),
        ("#### 3 * 4 = 12 cups", "12"),
        ("#### $1,200.00", "$1,200.00"),
        ("#### -5", "-5"),
        ("#### 1/2", "1/2"),
        (r"#### \frac{1}{2}", r"\frac{1}{2}"),
        ("#### 12.", "12"),
        ("#### 7,25", "7,25"),
        ("They are 1,2,3.", "3"),
        ("The point (4,5)", "5"),
        ("#### no idea, but 6 and 7.", "6"),
        ("It was 5, then 6.", "6"),
        ("10-4", "4"),
        ("#### −5", "−5"),
        (r"#### 3.2 \times 10^{-5} m", r"3.2 \times 10^{-5}"),
        ("about 3 × 10⁸ m/s", "3 × 10⁸"),
        ("#### 6.02e23", "6.02e23"),
        ("It takes 2e minutes: 5 eggs", "5"),
        ("nothing", None),
        ("####", None),
    ],
)
def test_numbers(text: str, answer: str | None) -> None:
    assert extract_answer(text, STEPS) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So $3x = 12$, hence $x = 4$ for every $n$.", "x = 4"),
        (r"The inverse is \[\begin{pmatrix}1 & 1\end{pmatrix}\]", r"\begin{pmatrix}1 & 1\end{pmatrix}"),
        (r"With $a = 2$ the sum becomes 30.", "30"),
        (r"The set of them is $\{k\}$", r"\{k\}"),
        (r"She pays $10 and gets $4 back.", "$4"),
        (r"She pays \$10 and gets \$4 back.", "$4"),
        (r"C'est 3,75 euros.", "3,75"),
        ("For $m$ and $n$", None),
        ("words only", None),
        ("$" * 3000 + "\nthe sum $a+b$", "a+b"),
    ],
)
def test_the_last_formula_counts_only_where_the_last_number_does(text: str, answer: str | None) -> None:
    assert extract_answer(text, dataclasses.replace(MATH, last_number_fallback=True)) == answer
    assert extract_answer(text, MATH) is None


def test_the_last_number_counts_only_where_the_template_says_so() -> None:
    strict = dataclasses.replace(STEPS, last_number_fallback=False)
    assert extract_answer("It was 5, then 6.", strict) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is (C).", "C"),
        ("The answer is for sure D, it can't be A or B", "D"),
        ("A reason.\nAnswer: b", "B"),
        (r"\boxed{\text{D}}", "D"),
        ("(B) the lake", "B"),
        ("First A, then B.\n**E**", "E"),
        ("It's not A because of this, therefore I think it's B", "B"),
        ("A dog. I think so", None),
        ("Z", None),
    ],
)
def test_choices(text: str, answer: str | None) -> None:
    assert extract_answer(text, CHOICE) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("reasons\nAnswer: the Nile\n", "the Nile"),
        (" the Nile ", "the Nile"),
        ("**Answer:** the Nile", "the Nile"),
        ("Answer: a\nAnswer: b", "b"),
        ("Answer:", None),
        ("\n", None),
        ("<think>x</think> y", "y"),
        (r"Egypt, so \boxed{the Nile}.", "the Nile"),
    ],
)
def test_words(text: str, answer: str | None) -> None:
    assert extract_answer(text, PLAIN) == answer


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{" * 20_000,
        "\n" * 100_000,
        "answer is $" * 10_000,
        "A " * 50_000,
        "1," * 50_000,
        "**" * 50_000,
        "\\[" * 50_000,
    ],
)
def test_degenerate_text_is_read_quickly(text: str) -> None:
    began = time.perf_counter()
    for template in (MATH, dataclasses.replace(MATH, last_number_fallback=True), STEPS, CHOICE, PLAIN):
        extract_answer(text, template)
    assert time.perf_counter() - began < 5


def test_boxes_need_balanced_braces() -> None:
    assert boxed(r"\boxed{a{b}") is None
    assert boxed(r"\fbox{a\}b}") == r"a\}b"
