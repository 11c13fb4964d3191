"""Reads the final answer out of a finished solution; docs/grading.md states the order of precedence."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping

from models.templates import Template
from strategies.budget_forcing import END_OF_THINKING, THINKING
from worker.choices import letter_of
from worker.equivalence import LONGEST, NUMBER

_LONGEST_PHRASE = 120
"""Characters: an "answer is ..." that goes on for longer is prose, not an answer."""

_TRIED = 32
"""How many boxes or phrases are tried, from the end: a degenerate text can hold thousands."""

_ANNOUNCED = re.compile(
    r"\b(?:final\s+answer|answer|result)\b\**\s*(?:(?:is|are|will\s+be|would\s+be|equals)\b(?:\s+(?:just|simply|therefore|thus))?"
    r"|(?=[:=]))\s*[:=]?\**\s*"
    r"|^[^\w\n]*(?:final\s+)?answer\**\s*(?=\$|\\[(\[])",
    re.IGNORECASE | re.MULTILINE,
)
_DELIMITED = re.compile(
    r"\$\$\s*(?P<a>.+?)\s*\$\$|(?<!\\)\$(?P<b>(?:\\[^\n]|[^$\n\\])+?)\$(?!\d)|\\\((?P<c>.+?)\\\)|\\\[\s*(?P<d>.+?)\s*\\\]",
    re.DOTALL,
)
_SENTENCE_END = re.compile(r"\n|[.!?](?=\s|$)|,?\s(?:because|since|so|as|which|where|and so|I hope)\b")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?={|-?\w)")
_BARE = re.compile(r"-?\w+(?:\.\d+)?")
_GAP = r"(?:[\s$]|\\[()\[\]]|\\q?quad|\\text\{[^{}]{0,40}\})"
_NAMED = r"[A-Za-z](?:_(?:\w|\{\w{1,3}\}))?\s*="
_JOINED = re.compile(
    rf"{_GAP}*(?:,|\band\b|\\text\{{[^{{}}]{{0,40}}\band\b[^{{}}]{{0,10}}\}})(?:{_GAP}|and\b)*(?:{_NAMED}{_GAP}*)?"
)
_HASHES = re.compile(r"####[ \t]*(\S[^\n]*)")
_ANSWER_LABEL = re.compile(r"^[^\w\n]*(?:the\s+|final\s+)*answer[^\w\n]*:[ \t]*\**\s*", re.IGNORECASE | re.MULTILINE)
_DECIMAL_COMMA = r"(?<![\d,(\[{])\d+,\d{1,2}(?![\w,)\]}])"
_EXPONENT = (
    r"(?:[eE][-+]?\d+(?!\w)|\s*(?:\\times|\\cdot|×|\*)\s*10\s*(?:\^\s*(?:\{\s*[-−]?\d+\s*\}|[-−]?\d+)|[⁻⁰¹²³⁴-⁹]+))"
)
_NUMBER = re.compile(rf"(?<![\w.])[-−]?\s?[$€£]?(?:{_DECIMAL_COMMA}|{NUMBER}(?:\s*/\s*{NUMBER}|{_EXPONENT})?)")
_SYMBOL = re.compile(r"(?:[A-Za-z]|\\[a-zA-Z]+)(?:_(?:\w|\{\w+\}))?")
_LETTER_AT_START = re.compile(r"^\W*([A-J])(?:[.):]|\W*$)")
_LETTER_AFTER = re.compile(
    r"^[^A-Za-z\n]*(?:(?:for sure|option|choice|definitely|clearly)\W+)*([A-J])\b(?!')", re.IGNORECASE
)
_LONE_LETTER = re.compile(r"\(([A-J])\)|(?<![\w'])(?:([B-HJ])(?![\w'])|(A)(?=\W*$))")


def without_thinking(text: str) -> str:
    """What follows a reasoning model's thinking span; an unclosed span hides everything after it."""
    _, closed, rest = text.rpartition(END_OF_THINKING)
    return rest if closed else text.partition(THINKING)[0]


def boxed(text: str) -> str | None:
    r"""The content of the last complete `\boxed{...}` (or `\fbox{...}`, `\boxed 5`), braces balanced.

    Boxes joined by nothing but a comma or "and" are one list: `\boxed{1} and \boxed{2}` gives `1, 2`.
    """
    answers: list[str] = []
    begin = len(text)
    for match in list(_BOX.finditer(text))[: -_TRIED - 1 : -1]:
        rest = text[match.end() :]
        content = _braced(rest) if rest.startswith("{") else _BARE.match(rest)[0]  # type: ignore[index]
        if content is None or not content.strip():
            continue
        end = match.end() + len(content) + 2 * rest.startswith("{")
        if answers and not (begin - end < _LONGEST_PHRASE and _JOINED.fullmatch(text[end:begin])):
            break
        if content.strip() not in answers:
            answers.insert(0, content.strip())
        begin = match.start()
    return ", ".join(answers) or None


def _braced(text: str) -> str | None:
    depth = 0
    for match in re.finditer(r"\\.|[{}]", text, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return text[1 : match.start()]
    return None


def extract_answer(text: str, template: Template, options: Mapping[str, str] | None = None) -> str | None:
    """The final answer of `text` as the template's answer kind reads it, None where there is none.

    `options` are those of a multiple choice, by letter.
    """
    text = without_thinking(text).strip()
    if not text:
        return None
    if template.answer == "text":
        return _words(text)
    if template.answer == "choice":
        return _choice(text, options or {})
    hashes = _HASHES.findall(text)
    announced = [boxed(text), hashes[-1] if hashes else None, _phrase(text)]
    if template.answer == "math":
        answer = next((found for found in announced if found), None)
    else:
        answer = next((number for found in announced if found and (number := _number_in(found))), None)
    if answer is None and template.last_number_fallback:
        answer = _last(text, formulas=template.answer == "math")
    return answer.strip() if answer else None


def _last(text: str, formulas: bool) -> str | None:
    """The last number of a text or, with `formulas`, the last formula that is more than a symbol, if it ends later."""
    number = deque(_NUMBER.finditer(text), maxlen=1)
    if formulas:
        # Only the end is searched, from a new line on, as a cut formula would turn what is inside and outside round.
        cut = len(text) - LONGEST
        begin = text.find("\n", cut) + 1 if cut > 0 else 0
        for match in reversed(list(_DELIMITED.finditer(text, begin or max(cut, 0)))):
            found = next(group for group in match.groups() if group).strip()
            if number and match.end() < number[0].end():
                break
            if not _SYMBOL.fullmatch(found):
                return found
    return number[0].group().strip().rstrip(".") if number else None


def _phrase(text: str) -> str | None:
    for match in list(_ANNOUNCED.finditer(text))[: -_TRIED - 1 : -1]:
        rest = text[match.end() : match.end() + LONGEST].lstrip(" *")
        delimited = _DELIMITED.match(rest)
        if delimited:
            found = next(group for group in delimited.groups() if group)
        else:
            found = _SENTENCE_END.split(rest, maxsplit=1)[0]
        found = found.strip(" *\t.:")
        if delimited and found:
            return found
        if found.strip("$") and len(found) <= _LONGEST_PHRASE and (answer := _from_words(found)):
            return answer
    return None


def _from_words(phrase: str) -> str | None:
    """A phrase that begins with its answer, or the one number of a whole sentence."""
    if re.match(rf"[-$€£(\[{{\\]|{NUMBER}", phrase) or "=" in phrase or len(phrase.split()) <= 2:
        return phrase
    numbers = _NUMBER.findall(phrase)
    return numbers[0].strip().rstrip(".") if len(numbers) == 1 else None


def _number_in(text: str) -> str | None:
    r"""The first number after the last equals sign; a fraction written as \frac stays whole."""
    tail = text.rpartition("=")[2]
    if re.search(r"\\[dt]?frac", tail):
        return tail.strip()
    match = _NUMBER.search(tail)
    return match.group().strip().rstrip(".") if match else None


def _words(text: str) -> str | None:
    if inside := boxed(text):
        return inside
    labels = list(_ANSWER_LABEL.finditer(text))
    return (text[labels[-1].end() :].strip() or None) if labels else text


def _choice(text: str, options: Mapping[str, str]) -> str | None:
    inside = boxed(text)
    if inside and (letter := letter_of(inside, options)):
        return letter
    for match in list(_ANNOUNCED.finditer(text))[: -_TRIED - 1 : -1]:
        line = text[match.end() : match.end() + LONGEST].lstrip().partition("\n")[0]
        for said in (line, _SENTENCE_END.split(line, maxsplit=1)[0]):
            if options and (letter := letter_of(said.strip(" *:"), options)):
                return letter
        after = _LETTER_AFTER.match(text[match.end() :])
        if after and (after.group(1).isupper() or not text[match.end() + after.end() :].strip(" .)*\n")):
            return after.group(1).upper()
    lines = [line for line in text.splitlines() if line.strip()]
    if letter := letter_of(lines[-1].strip(" *"), options):
        return letter
    if start := _LETTER_AT_START.match(lines[0]):
        return start.group(1)
    lone = [next(filter(None, groups)) for groups in _LONE_LETTER.findall(text)]
    return lone[-1] if lone else None
