"""Values: what the readers take out of a record, each with a sentence for what is missing or of the wrong kind."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from scheduler.fields import text_of
from scheduler.presets import Record

_OPENING = re.compile(
    r"\s*(?:<\|(?:begin_of_text|im_start|assistant|Assistant|start)\|>(?:assistant\n)?|<\|start_header_id\|>\w*<\|end_header_id\|>"
    r"|<start_of_turn>model\n|<s>)\s*"
)
_CLOSING = re.compile(
    r"\s*(?:<\|(?:eot_id|eom_id|im_end|endoftext|end_of_text|end|return)\|>|<end_of_turn>|<｜end▁of▁sentence｜>|</s>)\s*\Z"
)


def without_marks(text: str) -> str:
    """A solution without what a chat template had put around it."""
    while match := _OPENING.match(text):
        text = text[match.end() :]
    while match := _CLOSING.search(text, max(len(text) - 100, 0)):
        text = text[: match.start()]
    return text


def text(record: Record, *names: str) -> str | None:
    """The first of these fields that is filled, numbers as they are worth; None where none is.

    Raises:
        ValueError: a list, an object, true or false is there.
    """
    for name in names:
        try:
            found = text_of(record.get(name))
        except ValueError as error:
            raise ValueError(f"field {name!r} {error}") from None
        if found is not None:
            return found
    return None


def needed(found: Any, *names: str) -> Any:
    """`found`, which must be there; `names` are the fields where it was looked for."""
    if found is None:
        listed = " or ".join(map(repr, names))
        raise ValueError(f"field {listed} is missing or empty")
    return found


def texts(record: Record, name: str) -> list[str]:
    """A list of texts, which must be there and hold one at least; an empty text is a solution without a word."""
    value = needed(record.get(name), name)
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"field {name!r} is no list of texts")
    if not value:
        raise ValueError(f"field {name!r} is an empty list, so nothing was generated")
    return value


def several(record: Record, name: str, count: int) -> list[Any]:
    """A list with one value for each of `count` solutions; Nones where the field is not there."""
    value = record.get(name)
    if value is None:
        return [None] * count
    if not isinstance(value, list):
        value = [value]
    if len(value) != count:
        raise ValueError(f"field {name!r} has {len(value)} values for {count} solutions")
    return value


def number(value: Any, name: str) -> float | None:
    """A finite number, or None where there is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        raise ValueError(f"field {name!r} holds {value!r}, which is no finite number")
    return float(value)


def numbers(value: Any, name: str) -> tuple[float, ...] | None:
    """One number for each step; None where there is no list or nothing in it. One that is missing makes it unusable."""
    if value is None or value == []:
        return None
    if not isinstance(value, list):
        raise ValueError(f"field {name!r} holds {value!r} where there must be a list of numbers, one for each step")
    found = tuple(number(one, name) for one in value)
    return tuple(one for one in found if one is not None) if None not in found else None


def tokens(value: Any, name: str, solution: str = "") -> int | None:
    """How many tokens; None where the recording has none, or a placeholder of 0 or less beside a solution's text."""
    found = number(value, name)
    if found is None or found < 0 or (found == 0 and solution.strip()):
        return None
    if found != int(found):
        raise ValueError(f"field {name!r} holds {found:g}, which is no number of tokens")
    return int(found)


def verdict(value: Any, name: str) -> bool | None:
    """True or false, also as 1 or 0."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float | Decimal) and value in (0, 1):
        return bool(value)
    raise ValueError(f"field {name!r} holds {value!r}, which is neither true nor false")


def answer_text(value: Any, name: str) -> str:
    """An answer that was read in a solution; "" where none was."""
    if value is None:
        return ""
    try:
        return text_of(value) or ""
    except ValueError as error:
        raise ValueError(f"field {name!r} {error}") from None


def cut(value: Any) -> bool:
    """Whether a finish reason says that a solution was cut by a limit of tokens."""
    return value in ("length", "max_tokens", "clipped")


def any_of(record: Record, names: Iterable[str]) -> bool:
    return any(name in record for name in names)
