"""Cheap exact comparison of answers; docs/grading.md states the convention."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

LONGEST = 2000
"""Characters: longer answers are compared as text only."""

_LONGEST_NUMBER = 300
_LARGEST_EXPONENT = 300

_EXACT_PLACES = 10
"""Decimal places from which on a decimal stands for the number it was cut from (0.333333333333 for 1/3)."""

NUMBER = r"(?:[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*|\.\d+)"

_SPACES = re.compile(r"(?<!\\)\\[,!;: ]|\\q?quad(?![a-zA-Z])|~|[\u00a0\u2009\u202f]")
_SIZES = re.compile(r"\\(?:left|right|big|Big|bigl|bigr|displaystyle)(?![a-zA-Z])\.?")
TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mathit|mbox|operatorname|rm|bf)\s*\{([^{}]*)\}"
)
_LIST_WORD = re.compile(
    r"\s*(?:\\text\s*\{\s*(?:and|or)\s*\}|\$\s*(?:and|or)\s*\$|(?<=[\d)}])\s+(?:and|or)\s+(?=[-\d(\\]))\s*"
)
_SEVERAL_NAMES = re.compile(r"=[^()\[\]]*,[^()\[\]]*=")
_DECIMAL_COMMA = re.compile(r"(-?)(\d+),(\d+)")
_UNICODE = {
    **{"\u2212": "-", "\u2013": "-", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "±": r"\pm ", "∞": r"\infty "},
    **{"π": r"\pi ", "∈": r"\in ", "∪": r"\cup ", "∩": r"\cap ", "√": r"\sqrt ", "⁄": "/"},
}
_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"))

_FRACTION = rf"(?:\\frac\s*\{{\s*(-?{NUMBER})\s*\}}\s*\{{\s*(-?{NUMBER})\s*\}}|\\frac\s*(\d)\s*(\d)|\\frac\s*(\d)\s*\{{\s*(\d+)\s*\}}|\\frac\s*\{{\s*(-?\d+)\s*\}}\s*(\d))"
_PLAIN = re.compile(
    rf"(?P<sign>[-+]?)\s*(?P<currency>[$€£]?)\s*(?P<inner>-?)\s*"
    rf"(?:(?P<mixed>\d+\s+(?=\d+\s*/)|\d+\s*(?=\\frac))?(?:(?P<frac>{_FRACTION})|(?P<over>{NUMBER})\s*/\s*(?P<under>{NUMBER}))"
    rf"|(?P<number>\d{{1,3}}(?:\ \d{{3}})+|{NUMBER})"
    rf"(?:(?:[eE](?P<e>[-+]?\d+))|\s*(?:\\times|\\cdot|×|\*)\s*10\s*\^\s*(?:\{{\s*(?P<p>[-+]?\d+)\s*\}}|(?P<q>[-+]?\d{{1,3}})(?!\d)))?)"
    r"(?P<unit>.*)",
    re.DOTALL,
)

_SYMBOL_UNITS = {"%": "percent", "°": "degree", "$": "dollar", "€": "euro", "£": "pound", "¢": "cent"}
_POWERS = {"^2": "square", "^3": "cubic"}
_UNIT_NAMES = {
    spelling: name
    for name, spellings in {
        "percent": "pct percentage",
        "degree": "deg",
        "dollar": "usd",
        "hour": "hr h",
        "minute": "min",
        "second": "s sec",
        "metre": "m meter",
        "centimetre": "cm centimeter",
        "millimetre": "mm millimeter",
        "kilometre": "km kilometer",
        "gram": "g",
        "kilogram": "kg",
        "litre": "l liter",
        "millilitre": "ml",
        "feet": "foot ft",
        "inche": "inch in",
        "mile": "mi mile",
        "mile per hour": "mph",
        "square": "sq",
        "point": "pt point",
    }.items()
    for spelling in spellings.split()
}
_GLUED_UNIT = re.compile("cm|mm|km|kg|ml|mph|ft|pct|hr|min|sec|deg|percent")
_NOT_UNIT = re.compile(
    "or|and|to|plus|minus|times|over|pi|sqrt|sin|cos|tan|log|ln|exp|mod|base|is|are|not|than|infty|[iexyznk]"
)
_KNOWN_UNITS = frozenset(word for name in _UNIT_NAMES.values() for word in name.split()) | {
    "unit",
    "cubic",
    *_SYMBOL_UNITS.values(),
}
_CLOSING_UNIT = re.compile(
    rf"(?<=\S)\s*({TEXT.pattern}(?:\s*\^\s*\{{?[23]\}}?)?)$"
    r"|(?<=\S)\s*([%°€£¢])$|(?<=[\d})\s])((?:[A-Za-z]{2,}\s)*[A-Za-z]{2,}(?:\s*\^\s*\{?[23]\}?)?)$"
)
_RECURRING = re.compile(r"(-?)(\d*)\.(\d*)\\(?:overline|bar)\s*(?:\{(\d+)\}|(\d))")


@dataclass(frozen=True, slots=True)
class PlainNumber:
    """An exact number, the words of its unit (empty where it has none) and how many decimal places were written."""

    value: Fraction
    unit: frozenset[str] = frozenset()
    places: int = 0

    def equals(self, other: PlainNumber, tolerance: Fraction = Fraction(0)) -> bool:
        """Same value, and units that do not contradict each other.

        Values are the same where they differ by at most `tolerance` times the larger of them (in magnitude).
        """
        if not (self.unit <= other.unit or other.unit <= self.unit):
            return False
        if abs(self.value - other.value) <= tolerance * max(abs(self.value), abs(other.value)):
            return True
        long = [places for places in (self.places, other.places) if places >= _EXACT_PLACES]
        return self.value == other.value or bool(long and abs(self.value - other.value) < Fraction(1, 10 ** min(long)))


def normalise(answer: str) -> str:
    r"""One spelling for what LaTeX and prose write in several ways; `\text{...}` is kept."""
    text = answer.rpartition("####")[2].strip()
    if len(text) > LONGEST:
        return re.sub(r"\s+", " ", text)
    text = _ascii(text).replace(r"\%", "%").replace(r"\$", "$").replace("{,}", ",")
    text = re.sub(r"\\(?:boxed|fbox|beginboxed)\s*\{(.*)\}", r"\1", text, flags=re.DOTALL)
    text = re.sub(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![a-zA-Z]))|\\degree(?![a-zA-Z])", "°", text)
    text = re.sub(r",\s*\\!\s*", ",", text)
    text = _SPACES.sub(" ", _SIZES.sub("", text))
    text = re.sub(r"\\[dtc]frac(?![a-zA-Z])", r"\\frac", text)
    parts = _LIST_WORD.split(text)
    solutions = len(parts) > 1 and all(map(_SEVERAL_NAMES.search, parts))
    text = re.sub(r"\s+", " ", ("; " if solutions else ", ").join(parts)).strip()
    while (shorter := _peel(text)) != text:
        text = shorter
    return text


def _ascii(text: str) -> str:
    r"""Mathematical signs as LaTeX writes them: `2√3`, `x²` and `1½` as `2\sqrt{3}`, `x^2` and `1 1/2`."""
    text = re.sub("[¼-¾⅐-⅞]", lambda sign: f" {unicodedata.normalize('NFKC', sign[0])}", text)
    text = re.sub("[⁻⁰¹²³⁴-⁹]+", _power, text)
    text = re.sub(r"√\s*(?:\(([^()]*)\)|(\d+|[A-Za-z]))", r"\\sqrt{\1\2}", text)
    return "".join(_UNICODE.get(sign, sign) for sign in text)


def _power(sign: re.Match[str]) -> str:
    digits = unicodedata.normalize("NFKC", sign[0])
    return f"^{digits}" if len(digits) == 1 else f"^{{{digits}}}"


def _peel(text: str) -> str:
    """One layer less of math delimiters, a closing full stop or a dangling backslash."""
    for left, right in _DELIMITERS:
        inner = text[len(left) : -len(right)]
        if text.startswith(left) and text.endswith(right) and len(text) > len(left + right) and left not in inner:
            return inner.strip()
    return re.sub(r"(?<=[^\\.])\.$|(?<!\\)\\$|[;,]$", "", text).strip()


def plain_number(text: str) -> PlainNumber | None:
    """The exact value of a normalised answer that is a number, with or without a unit; else None."""
    if len(text) > _LONGEST_NUMBER:
        return None
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1].strip()
    if match := _RECURRING.fullmatch(text):
        return PlainNumber(_recurring(*match.groups(default="")))
    match = _PLAIN.fullmatch(text)
    if not match:
        return None
    unit = _unit(match["unit"])
    if unit is None:
        return None
    try:
        value = _value(match)
    except ZeroDivisionError:
        return None
    if value is None:
        return None
    if match["currency"]:
        unit |= {_SYMBOL_UNITS[match["currency"]]}
    negative = (match["sign"] == "-") != bool(match["inner"])
    decimals = (match["number"] or "").partition(".")[2]
    return PlainNumber(
        -value if negative else value, unit, 0 if match["e"] or match["p"] or match["q"] else len(decimals)
    )


def _value(match: re.Match[str]) -> Fraction | None:
    if match["number"]:
        exponent = int(match["e"] or match["p"] or match["q"] or 0)
        return None if abs(exponent) > _LARGEST_EXPONENT else _decimal(match["number"]) * Fraction(10) ** exponent
    if match["frac"]:
        parts = [part for part in re.fullmatch(_FRACTION, match["frac"]).groups() if part]  # type: ignore[union-attr]
    else:
        parts = [match["over"], match["under"]]
    over, under = (_decimal(part) for part in parts)
    if match["mixed"] and (over < 0 or under < 0):
        return None
    return _decimal(match["mixed"] or "0") + over / under


def _recurring(sign: str, whole: str, once: str, again: str, digit: str) -> Fraction:
    again = again or digit
    value = Fraction(int(whole + once or 0)) + Fraction(int(again), 10 ** len(again) - 1)
    return (-value if sign else value) / Fraction(f"1e{len(once)}")


def _decimal(text: str) -> Fraction:
    return Fraction(re.sub(r"[,\s]", "", text))


def _unit(text: str) -> frozenset[str] | None:
    r"""The words of a unit, empty for none, or None where `text` is not a unit (`\pi`, `x`, `or 7`)."""
    if not text.strip():
        return frozenset()
    written = TEXT.sub(r" \1 ", text)
    in_text = written != text
    glued = text[0].isalpha()
    written = re.sub(r"\^\s*\{?\s*([23])\s*\}?", r" ^\1 ", written).replace("²", " ^2 ").replace("³", " ^3 ")
    found: set[str] = set()
    for token in re.findall(r"[A-Za-z]+|\^[23]|[^\sA-Za-z]", written.replace("/", " per ").rstrip(" .")):
        word = token.lower()
        if token in _SYMBOL_UNITS:
            found.add(_SYMBOL_UNITS[token])
        elif token in _POWERS and found:
            found.add(_POWERS[token])
        elif (
            not word.isalpha()
            or _NOT_UNIT.fullmatch(word)
            or (len(word) == 1 and not in_text and word not in _UNIT_NAMES)
        ):
            return None
        elif glued and not _GLUED_UNIT.fullmatch(word):
            return None  # `5x`, `3i`
        else:
            singular = word[:-1] if len(word) > 3 and word.endswith("s") else word
            found.update(_UNIT_NAMES.get(word, _UNIT_NAMES.get(singular, singular)).split())
    return frozenset(found)


def split_unit(text: str) -> tuple[str, frozenset[str]]:
    r"""A normalised expression and the words of the unit that closes it: any in `\text{}`, known names outside it.

    A currency sign before an expression is its unit, too.
    """
    if re.match(r"[$€£][^$]+$", text):
        return text[1:].lstrip(), frozenset({_SYMBOL_UNITS[text[0]]})
    match = _CLOSING_UNIT.search(text)
    unit = match and _unit(f" {match[1] or match[3] or match[4]}")
    if not match or not unit or not (match[1] or unit <= _KNOWN_UNITS):
        return text, frozenset()
    return text[: match.start()].rstrip(), unit


def plain_text(text: str) -> str:
    """A normalised answer without text commands and without the white space that carries no meaning."""
    text = TEXT.sub(r"\1", text)
    text = re.sub(r"(?<=\w)\s+(?=\w)", "\x00", text)
    text = re.sub(r"\s+", "", text).replace("\x00", " ")
    text = re.sub(r"\\(sqrt|frac)\s*([0-9])", r"\\\1{\2}", text)
    return text.casefold() if re.fullmatch(r"[^\W\d_]{2,}(?: [^\W\d_]+)*", text) else text


def is_word(text: str) -> bool:
    r"""Whether a normalised answer is words in a text command, as `\text{odd}`."""
    return bool(re.fullmatch(r"(?:\\text|\\textbf|\\mbox)\s*\{[A-Za-z ,]{2,}\}", text))


def decide(left: str, right: str, tolerance: Fraction = Fraction(0)) -> bool | None:
    """Whether two normalised answers are the same, or None where only symbolic mathematics can tell.

    Plain numbers may differ by `tolerance` (`PlainNumber.equals`).
    """
    first, second = plain_number(left), plain_number(right)
    if first and second:
        return first.equals(second, tolerance)
    if (first and _decimal_comma(right) == first.value) or (second and _decimal_comma(left) == second.value):
        return True
    if plain_text(left) == plain_text(right):
        return True
    if max(len(left), len(right)) > LONGEST or not left or not right:
        return False
    units = [split_unit(side)[1] for side in (left, right)]
    if not (units[0] <= units[1] or units[1] <= units[0]):
        return False
    if is_word(left) and is_word(right):
        return False
    if (is_word(left) or is_word(right)) and all(
        re.fullmatch(r"[a-z ,]{2,}", plain_text(side)) for side in (left, right)
    ):
        return False
    return None


def _decimal_comma(text: str) -> Fraction | None:
    """The value of `1,22` read as a decimal: a list of two numbers could never equal one number anyway."""
    match = _DECIMAL_COMMA.fullmatch(text)
    return Fraction(f"{match[1]}{match[2]}.{match[3]}") if match and len(text) <= _LONGEST_NUMBER else None


def same_text(left: str, right: str) -> bool:
    """Equality of wording: case, white space, quotes and closing punctuation aside."""

    def words(text: str) -> str:
        return re.sub(r"\s+", " ", text).strip().strip("\"'`*").rstrip(".!;,: ").strip("\"'`*").casefold()

    return words(left) == words(right)
