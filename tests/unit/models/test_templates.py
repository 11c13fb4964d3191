"""Templates: what is sent, how text is cut into steps, and what a user's file may say."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from models.errors import UserError
from models.templates import BYTES_PER_MESSAGE, REVISE, Role, Template, load_template, template_names


def with_separator(separator: str) -> Template:
    return Template(name="t", version="1", user="{{ problem }}", step_separator=separator)


def test_every_built_in_template_asks_the_problem_last() -> None:
    assert template_names() == ["choice", "gsm8k-steps", "math-boxed", "plain", "tiny"]
    for name in template_names():
        template = load_template(name)
        assert template.messages("2 + 2 = ?")[-1] == ("user", "2 + 2 = ?")
        assert template.identity == f"{name}@1"


def test_built_in_answer_kinds() -> None:
    kinds = {name: load_template(name).answer for name in template_names()}
    assert kinds == {
        "choice": "choice",
        "gsm8k-steps": "number",
        "math-boxed": "math",
        "plain": "text",
        "tiny": "number",
    }


def test_examples_are_chat_turns_before_the_problem() -> None:
    turns = load_template("gsm8k-steps").messages("How many?")
    roles = [role for role, _ in turns if role != "system"]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
    assert all("#### " in content for role, content in turns if role == "assistant")


def test_another_attempt_is_asked_for_behind_each() -> None:
    turns = load_template("plain").revision_turns(["one", "two {{ 1 }}"])
    assert turns == [("assistant", "one"), ("user", REVISE), ("assistant", "two {{ 1 }}"), ("user", REVISE)]
    assert {name for name in template_names() if load_template(name).revise != REVISE} == {"tiny"}
    # Its chat template asks. The turn is there, because some servers go on writing an assistant's that comes last.
    assert load_template("tiny").revision_turns(["one"]) == [("assistant", "one"), ("user", "")]


def test_a_file_says_how_it_asks_for_another_attempt(tmp_path: Path) -> None:
    path = tmp_path / "own.j2"
    path.write_text('+++\nrevise = "Once more, {{ problem }}."\n+++\n{{ problem }}')
    template = load_template(path)
    assert template.revision_turns(["x"])[1] == ("user", "Once more, {{ problem }}.")  # plain text, no Jinja
    path.write_text("+++\nrevise = 3\n+++\n{{ problem }}")
    with pytest.raises(UserError, match="revise: Input should be a valid string"):
        load_template(path)


@given(some.lists(some.text(max_size=9), max_size=5), some.text(max_size=9))
def test_the_bound_on_revisions_holds_their_bytes(attempts: list[str], revise: str) -> None:
    template = replace(load_template("plain"), revise=revise)
    turns = template.revision_turns(attempts)
    longest = max((len(text.encode()) for text in attempts), default=0)
    assert written(turns) <= template.worst_revision_bytes(len(attempts), longest)
    doubts = [len(template.split_steps(text)) - 1 if text else None for text in attempts]
    told = template.revision_turns(attempts, doubts)
    assert written(told) <= template.worst_revision_bytes(len(attempts), longest, feedback=True)


def written(turns: list[tuple[Role, str]]) -> int:
    return sum(len(text.encode()) + BYTES_PER_MESSAGE for _, text in turns)


def test_jinja_inside_a_problem_is_not_evaluated() -> None:
    assert load_template("plain").messages("{{ 7 * 7 }} {% raw %}") == [("user", "{{ 7 * 7 }} {% raw %}")]


@pytest.mark.parametrize(
    ("separator", "text", "steps"),
    [
        ("\n\n", "a\n\nb", ["a\n\n", "b"]),
        ("\n\n", "a\n\n\n\nb\n\n", ["a\n\n\n\n", "b\n\n"]),
        ("\n\n", "\n\na\nb", ["\n\na\nb"]),
        ("\n", "a\n  b\n \n\nc\n", ["a\n", "  b\n \n\n", "c\n"]),
        ("\n", "one", ["one"]),
        ("\n", "", []),
        ("\n", " \n\n", [" \n\n"]),
        ("## Step", "## Step 1\nx ## Step\n## Step 2\ny", ["## Step 1\nx ## Step\n", "## Step 2\ny"]),
        ("## Step", "Plan\n## Step 1\nx", ["Plan\n", "## Step 1\nx"]),
    ],
)
def test_steps_cover_the_text(separator: str, text: str, steps: list[str]) -> None:
    template = with_separator(separator)
    assert template.split_steps(text) == steps
    assert "".join(steps) == text
    assert [text[start:end] for start, end in template.step_spans(text)] == steps


def test_worst_prompt_bytes_counts_bytes_not_characters() -> None:
    template = load_template("plain")
    assert template.worst_prompt_bytes("é" * 100) - template.worst_prompt_bytes("e" * 100) == 100
    assert template.worst_prompt_bytes("\ud800") > 0


def test_worst_prompt_bytes_covers_every_message() -> None:
    template = load_template("gsm8k-steps")
    assert template.worst_prompt_bytes("x") > sum(len(content) for _, content in template.messages("x"))


FILE = """+++
system = "Be brief."
step_separator = "## Step"
stop = ["END"]
answer = "number"
max_tokens = 64
[[examples]]
problem = "1 + 1"
answer = "2"
+++
{% if level %}Level {{ level }}. {% endif %}Problem: {{ problem }}
"""


def test_a_file_carries_its_own_settings(tmp_path) -> None:
    path = tmp_path / "mine.j2"
    path.write_text(FILE)
    template = load_template(path)
    assert (template.step_separator, template.stop, template.answer, template.max_tokens) == (
        "## Step",
        ("END",),
        "number",
        64,
    )
    assert template.messages("3 < 4 & 5", level=2) == [
        ("system", "Be brief."),
        ("user", "Problem: 1 + 1"),
        ("assistant", "2"),
        ("user", "Level 2. Problem: 3 < 4 & 5"),
    ]


def test_identity_of_a_file_follows_its_content(tmp_path) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text("{{ problem }}")
    first = load_template(str(path)).identity
    path.write_text("{{ problem }}!")
    second = load_template(str(path)).identity
    assert first != second
    assert first.startswith("mine@")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{{ problem }\n", ["mine.j2, line 1"]),
        ('+++\nanswer = "math"\n+++\n\n{{ problem }}\n{% if %}', ["mine.j2, line 6"]),
        ("{{ problem }}\n{{ solution }}", ["mine.j2, line 2", "solution", "subject"]),
        ("no variable", ["never shows the problem"]),
        ("{% include 'x' %}{{ problem }}", ["include"]),
        ("+++\nanswer = 1\n", ["line 1", "never closed"]),
        ("+++\nsystem = \n+++\n{{ problem }}", ["not TOML", "line 2"]),
        ('+++\nanswer = "essay"\n+++\n{{ problem }}', ["answer", "math"]),
        ('+++\nsytem = "x"\n+++\n{{ problem }}', ["sytem", "step_separator"]),
        ("+++\nmax_tokens = 0\n+++\n{{ problem }}", ["max_tokens"]),
        ('+++\nstep_separator = ""\n+++\n{{ problem }}', ["step_separator"]),
        ("{{ problem.__class__.__mro__ }}", ["mine.j2"]),
        ("{{ problem.nothing.more }}", ["mine.j2"]),
        ("{{ problem }}{{ 1 / 0 }}", ["mine.j2"]),
    ],
)
def test_a_bad_file_is_one_clear_sentence(tmp_path, content: str, said: list[str]) -> None:
    path = tmp_path / "mine.j2"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        load_template(path)
    for words in said:
        assert words in str(caught.value)


def test_a_template_that_fails_for_one_problem_says_so(tmp_path) -> None:
    path = tmp_path / "mine.j2"
    path.write_text("{{ problem }}{% if level %}{{ level + 1 }}{% endif %}")
    template = load_template(path)
    with pytest.raises(UserError, match=r"mine\.j2"):
        template.messages("x", level="high")


def test_unknown_names_and_missing_files(tmp_path) -> None:
    with pytest.raises(UserError, match="choice, gsm8k-steps, math-boxed, plain"):
        load_template("mathboxed")
    with pytest.raises(UserError, match="cannot read"):
        load_template(tmp_path / "absent.j2")
    (tmp_path / "latin.j2").write_bytes(b"\xff{{ problem }}")
    with pytest.raises(UserError, match="not UTF-8"):
        load_template(tmp_path / "latin.j2")
