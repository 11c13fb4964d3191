"""The plain string match that many published figures rest on: the last box, a few spellings evened out, equal or not."""

from __future__ import annotations

import re


def read_plainly(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` of a text as `plain` writes it, None where there is none."""
    begin = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if begin < 0:
        return None
    depth, start = 0, text.index("{", begin)
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return plain(text[start + 1 : place])
    return None


def plain(answer: str | None) -> str | None:
    """An answer without white space, delimiters, sizes, degree and percent signs; nothing is computed."""
    if answer is None:
        return None
    for written, instead in (
        ("\\dfrac", "\\frac"), ("\\tfrac", "\\frac"), ("\\left", ""), ("\\right", ""), ("$", ""), ("^\\circ", ""),
        ("^{\\circ}", ""), ("\\%", ""), ("%", ""),
    ):  # fmt: skip
        answer = answer.replace(written, instead)
    return re.sub(r"\\[!,;: ]|\s+", "", answer)
