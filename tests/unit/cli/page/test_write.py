"""The file: what can be in it, how large it gets, and that nothing in it can act."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.page.write import LIMIT, LONGEST, embedded, page, write_page
from models.errors import UserError
from tests.pages import HOSTILE, document, query


def data(made: bytes) -> Any:
    """The document as the browser reads it: up to the first end of a script."""
    text = made.decode()
    start = text.index('id="document">') + len('id="document">')
    return json.loads(text[start : text.index("</script", start)])


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for part in value.values() for text in texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in texts(part)]
    return [value] if isinstance(value, str) else []


def test_the_document_comes_back_as_it_went_in() -> None:
    assert data(page(document())) == document()


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        "</script><script>alert(1)</script>",
        "<!--<script>",
        "]]>",
        "\u2028\u2029",
        "\x00\x1b[31m",
        "\ud800",
        "\udc00\ud800",
        "\u202e\u2066rtl \u05d0",
        "\U0001f600",
        "{{document}} {{script}}",
        "\\u003c \\",
    ],
)
def test_no_text_can_leave_its_block(text: str) -> None:
    shown = embedded({"text": text, text: 1})
    assert json.loads(shown) == {"text": text, text: 1}
    assert not set("<>&\u2028\u2029") & set(shown)
    shown.encode()  # half a surrogate pair would not


def test_everything_from_the_document_is_in_its_block_alone() -> None:
    marked = {**document(), "title": "ZEBRA", "conclusion": "ZEBRA"}
    made = page(marked).decode()
    assert made.count("ZEBRA") == 2
    assert made.index("ZEBRA") > made.index('id="document">')


def test_what_json_does_not_know() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    value = {"nan": math.nan, "inf": [math.inf], "at": moment, "share": 1 / 3, "large": 1.5e21, "pair": (1, None)}
    assert json.loads(embedded(value)) == {
        "nan": None, "inf": [None], "at": "2026-01-02T03:04:05+00:00", "share": 0.333333, "large": 1.5e21, "pair": [1, None],
    }  # fmt: skip


def test_nothing_but_its_own_script_and_style_is_let_run() -> None:
    made = page(document()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', made)
    assert policy
    rules = dict(rule.split(" ", 1) for rule in policy[1].split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy[1]
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", made, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_it_loads_nothing_and_writes_no_markup() -> None:
    made = page({**document(), "queries": [], "jobs": []}).decode()
    assert re.findall(r"https?://[^\s\"'`]+", made) == ["http://www.w3.org/2000/svg"]
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|@import|url\(", made
    )


def test_a_long_text_is_cut_and_says_so() -> None:
    kept = json.loads(embedded("\u00e4" * 1_000_000))
    assert kept == "\u00e4" * LONGEST + "\u2026 [cut here: 1,000,000 characters in all]"


def test_answers_that_do_not_fit_are_left_out_from_the_end_and_counted() -> None:
    many = {**document(), "queries": [query(1, f"k{n}", prompt="<" * 2_000) for n in range(100)]}
    limit = 400_000
    made = page(many, limit)
    shown = data(made)
    assert len(made) <= limit
    assert limit - len(made) < 20_000, "more would have fitted"
    assert 0 < len(shown["queries"]) < 100
    assert shown["queries"] == many["queries"][: len(shown["queries"])]
    assert shown["queries_left_out"] == 100 - len(shown["queries"])
    assert data(page(many))["queries"] == many["queries"]
    assert "queries_left_out" not in data(page(many))


def test_no_page_is_larger_than_ten_megabytes() -> None:
    long = "\u2028" * 1_000_000
    large = {**document(), "queries": [query(1, f"k{n}", prompt=long) for n in range(100)]}
    made = page(large)
    assert len(made) <= LIMIT == 10_000_000
    assert data(made)["queries_left_out"] > 10


def test_what_cannot_fit_at_all_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    huge = {**document(), "jobs": [{"specification": {str(n): "x" * LONGEST for n in range(600)}}]}
    with pytest.raises(UserError, match="the page would be larger than 10 MB; name fewer jobs"):
        write_page(huge, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_page_without_answers_is_small() -> None:
    assert len(page({**document(), "queries": []})) < 100_000


CSS = (Path(__file__).parents[4] / "cli" / "page" / "assets" / "page.css").read_text()


def palettes() -> dict[str, dict[str, str]]:
    """The colours of both modes, by their names."""
    light, dark = (
        dict(re.findall(r"--([a-z0-9]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[:2]
    )
    return {"light": light, "dark": dark}


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio of two colours `#rrggbb`."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_and_marks_can_be_seen(mode: str) -> None:
    colours = palettes()[mode]
    for ground in ("paper", "raised", "lit"):
        for text in ("ink", "soft", "accent", "right", "wrong", "warn"):
            assert contrast(colours[text], colours[ground]) >= 4.5, f"{text} on {ground}"
        for mark in ("edge", *(f"c{n}" for n in range(6))):
            assert contrast(colours[mark], colours[ground]) >= 3, f"{mark} on {ground}"
