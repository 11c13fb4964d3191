"""Prompt templates: what the model is told, where a step ends and how its answer is read."""

from __future__ import annotations

import functools
import hashlib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import jinja2
import jinja2.meta
from jinja2.sandbox import SandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import UserError

AnswerKind = Literal["math", "number", "choice", "text"]
"""`math`: any mathematical object; `number`: one number; `choice`: a letter A to J; `text`: the words themselves."""

DEFAULT_TEMPLATE = "math-boxed"
TEMPLATE_OF_ANSWER = {"choice": "choice"}
"""Where nobody names a template, the one that asks for this kind of answer; else the default."""

ANSWER_KINDS: tuple[str, ...] = get_args(AnswerKind)

Role = Literal["system", "user", "assistant"]

VARIABLES = frozenset({"problem", "subject", "level"})
FILE_SUFFIXES = (".j2", ".jinja")
FENCE = "+++"
BYTES_PER_MESSAGE = 16
"""Bound, in tokens, on what a chat template writes around one message."""
BYTES_PER_PROMPT = 128
"""Bound, in tokens, on what a chat template adds by itself (a default system prompt, today's date)."""

REVISE = (
    "Check this solution for mistakes. Then write the whole solution again, in the same form, down to the final answer."
)
"""What asks for another attempt, unless the template says it otherwise."""

DOUBT = "The step that is most likely wrong: "
"""What a verifier's feedback begins with."""

_BUILT_IN = Path(__file__).parent / "prompts"


@dataclass(frozen=True)
class Template:
    """A named, versioned way to ask a problem.

    `user` is Jinja text over `problem`, `subject` and `level`; `examples` are chat turns (role, content) that come before
    it. `step_separator` is a literal string: one of white space ends the step before it, any other begins the step
    after it where it stands at the start of a line. `stop` strings end a completion. With `last_number_fallback` an
    answer that is announced nowhere is the last number of the text (`math`: the last formula, if it ends later).
    `answer` is an `AnswerKind` or the name of a package's grader; `tolerance` the relative difference up to which two
    numbers are equal. `max_tokens` and, where given, `temperature` are the defaults of a job's sampling. `revise` is
    the user turn that asks for another attempt behind an earlier one; it is empty where the model's own chat template
    asks.
    """

    name: str
    version: str
    user: str
    system: str | None = None
    examples: tuple[tuple[Role, str], ...] = ()
    step_separator: str = "\n\n"
    stop: tuple[str, ...] = ()
    answer: str = "math"
    tolerance: float = 0.0
    last_number_fallback: bool = False
    max_tokens: int = 1024
    temperature: float | None = None
    revise: str = REVISE
    path: Path | None = field(default=None, compare=False)

    @property
    def identity(self) -> str:
        """`name@version`; the version of a file is the first twelve hex digits of its SHA-256."""
        return f"{self.name}@{self.version}"

    @property
    def step_stop(self) -> str:
        """The string at which a step being written ends."""
        return self.step_separator if self.step_separator.isspace() else f"\n{self.step_separator}"

    @property
    def sampling(self) -> dict[str, Any]:
        """The fields of a job's sampling that it sets."""
        return {"max_tokens": self.max_tokens} | ({} if self.temperature is None else {"temperature": self.temperature})

    def messages(
        self, problem: str, subject: str | None = None, level: str | int | None = None
    ) -> list[tuple[Role, str]]:
        """The chat turns (role, content) that ask `problem`.

        Raises:
            UserError: the Jinja text cannot be rendered with this problem's subject and level.
        """
        turns: list[tuple[Role, str]] = [("system", self.system)] if self.system else []
        turns.extend(self.examples)
        turns.append(("user", self._render(problem, subject, level)))
        return turns

    def revision_turns(self, attempts: Sequence[str], doubts: Sequence[int | None] = ()) -> list[tuple[Role, str]]:
        """The chat turns that follow `messages` to show earlier attempts, oldest first, and ask for another; `doubts`
        are the numbers of the steps that feedback is to name, one for each attempt.

        They end with the user's turn even if it says nothing: behind an assistant's, some servers would continue it.
        """
        turns: list[tuple[Role, str]] = []
        for text, doubt in zip(attempts, doubts or [None] * len(attempts), strict=True):
            named = "" if doubt is None else f"\n{DOUBT}{self.split_steps(text)[doubt].strip()}"
            turns += [("assistant", text), ("user", self.revise + named)]
        return turns

    def _render(self, problem: str, subject: str | None, level: str | int | None) -> str:
        try:
            return _compiled(self.user).render(problem=problem, subject=subject, level=level)
        except Exception as error:  # a user's expression can fail in any way
            where = self.path or f"template {self.name}"
            raise UserError(
                f"{where}: cannot be rendered: {error}; it may use problem, subject and level, "
                "of which subject and level can be none"
            ) from None

    def step_spans(self, text: str) -> list[tuple[int, int]]:
        """Where the steps of `text` lie, as (start, end) offsets in characters.

        The spans cover the text without gaps, and none holds white space only unless the whole text does.
        """
        starts = [0, *(cut for cut in self._cuts(text) if 0 < cut < len(text)), len(text)]
        spans: list[tuple[int, int]] = []
        begin = 0
        for cut in starts[1:]:
            if text[begin:cut].strip():
                spans.append((begin, cut))
                begin = cut
        if begin < len(text):
            spans[-1:] = [(spans[-1][0] if spans else 0, len(text))]
        return spans

    def split_steps(self, text: str) -> list[str]:
        """The steps of `text`, separators included: joined, they are `text` again."""
        return [text[start:end] for start, end in self.step_spans(text)]

    def _cuts(self, text: str) -> list[int]:
        escaped = re.escape(self.step_separator)
        if self.step_separator.isspace():
            return [match.end() for match in re.finditer(rf"{escaped}(?:[^\S\n]*\n)*", text)]
        return [match.start() for match in re.finditer(rf"^{escaped}", text, re.MULTILINE)]

    def worst_revision_bytes(self, attempts: int, longest: int, *, feedback: bool = False) -> int:
        """What a prompt grows by, in tokens, with `attempts` earlier attempts of at most `longest` tokens; `feedback`
        repeats a step of each."""
        named = longest + len(DOUBT) + 1 if feedback else 0
        return attempts * (longest + named + len(self.revise.encode()) + 2 * BYTES_PER_MESSAGE)

    def worst_prompt_bytes(self, problem: str, subject: str | None = None, level: str | int | None = None) -> int:
        """An upper bound on the number of prompt tokens: no token is shorter than one UTF-8 byte."""
        turns = self.messages(problem, subject, level)
        written = sum(len(content.encode("utf-8", "surrogatepass")) for _, content in turns)
        return written + BYTES_PER_MESSAGE * len(turns) + BYTES_PER_PROMPT


def template_names() -> list[str]:
    """The names of the built-in templates, sorted."""
    return sorted(path.stem for path in _BUILT_IN.glob("*.j2"))


def load_template(name_or_path: str | Path) -> Template:
    """A built-in template by name, or a user's Jinja file by a path that ends in .j2 or .jinja.

    Raises:
        UserError: no such name or file, or the file does not parse; the message names the file and line.
    """
    given = str(name_or_path)
    if given.endswith(FILE_SUFFIXES):
        path = Path(given)
        try:
            raw = path.read_bytes()
            source = raw.decode()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise UserError(f"{path}: cannot read the prompt template ({reason}); give a readable Jinja file") from None
        return _parse(path, source, hashlib.sha256(raw).hexdigest()[:12])
    if given not in template_names():
        raise UserError(
            f"unknown prompt template {given!r}; use one of {', '.join(template_names())}, "
            f"or a path that ends in {' or '.join(FILE_SUFFIXES)}"
        )
    return _built_in(given)


@functools.cache
def _built_in(name: str) -> Template:
    path = _BUILT_IN / f"{name}.j2"
    return _parse(path, path.read_text("utf-8"), None)


class _Example(BaseModel):
    model_config = ConfigDict(extra="forbid")

    problem: str
    answer: str


class _FrontMatter(BaseModel):
    """The TOML block between +++ lines at the top of a template file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: str = ""
    system: str | None = None
    step_separator: str = Field(default="\n\n", min_length=1)
    stop: list[str] = []
    answer: AnswerKind = "math"
    last_number_fallback: bool = False
    max_tokens: int = Field(default=1024, ge=1)
    temperature: float | None = Field(default=None, ge=0)
    revise: str = REVISE
    examples: list[_Example] = []


def _parse(path: Path, source: str, digest: str | None) -> Template:
    header, user, first_line = _split(path, source)
    _check_jinja(path, user, first_line)
    template = Template(
        name=path.stem,
        version=digest or header.version,
        user=user,
        system=header.system,
        step_separator=header.step_separator,
        stop=tuple(header.stop),
        answer=header.answer,
        last_number_fallback=header.last_number_fallback,
        max_tokens=header.max_tokens,
        temperature=header.temperature,
        revise=header.revise,
        path=path if digest else None,
    )
    template.messages("1 + 1")  # what fails for every problem fails here, not in the middle of a job
    turns: list[tuple[Role, str]] = []
    for example in header.examples:
        turns += [*template.messages(example.problem)[-1:], ("assistant", example.answer)]
    return Template(**{**template.__dict__, "examples": tuple(turns)})


def _split(path: Path, source: str) -> tuple[_FrontMatter, str, int]:
    """The front matter, the Jinja text after it and the line of the file on which that text begins."""
    lines = source.splitlines(keepends=True)
    if not lines or lines[0].strip() != FENCE:
        return _FrontMatter(), source.strip("\n"), 1
    try:
        end = next(number for number, line in enumerate(lines) if number and line.strip() == FENCE)
    except StopIteration:
        raise UserError(f"{path}, line 1: the block opened by {FENCE} is never closed; add a line {FENCE}") from None
    try:
        # The empty first line stands for the fence, so that the parser's line numbers are the file's.
        header = _FrontMatter.model_validate(tomllib.loads("\n" + "".join(lines[1:end])))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: the block between {FENCE} lines is not TOML: {error}; correct it") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(_FrontMatter.model_fields)
        raise UserError(f"{path}: {where}: {first['msg']}; the block may hold {known}") from None
    body = "".join(lines[end + 1 :])
    skipped = len(body) - len(body.lstrip("\n"))
    return header, body.strip("\n"), end + 2 + skipped


def _check_jinja(path: Path, user: str, first_line: int) -> None:
    try:
        tree = _ENVIRONMENT.parse(user)
    except jinja2.TemplateSyntaxError as error:
        raise UserError(
            f"{path}, line {error.lineno + first_line - 1}: {error.message}; correct the Jinja text"
        ) from None
    unknown = sorted(jinja2.meta.find_undeclared_variables(tree) - VARIABLES)
    if unknown:
        line = next((n for n, text in enumerate(user.split("\n"), first_line) if unknown[0] in text), first_line)
        raise UserError(
            f"{path}, line {line}: unknown variable {unknown[0]!r}; a template may use {', '.join(sorted(VARIABLES))}"
        )
    if "problem" not in jinja2.meta.find_undeclared_variables(tree):
        raise UserError(f"{path}: the template never shows the problem; write {{{{ problem }}}} where it belongs")
    if any(True for _ in jinja2.meta.find_referenced_templates(tree)):
        raise UserError(f"{path}: a template may not include or import another file; write its text here instead")


# Prompts are plain text for a model: HTML escaping would change what the model reads.
_ENVIRONMENT = SandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)


@functools.lru_cache(maxsize=64)
def _compiled(user: str) -> jinja2.Template:
    return _ENVIRONMENT.from_string(user)
