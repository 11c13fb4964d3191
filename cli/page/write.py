"""From the report document to one HTML file.

The document goes in as JSON alone, in a block that no browser runs; the page's own script puts every text of it into
text nodes. The content security policy lets nothing else run or load.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from cli.exporters import replacing
from models.errors import UserError

LIMIT = 10_000_000
"""Bytes of a page."""

LONGEST = 20_000
"""Characters of one text."""

SCRIPTS = ("elements.js", "tables.js", "plot.js", "tree.js", "queries.js", "page.js")

# What could end the block or a line of JavaScript, and half surrogate pairs, which no UTF-8 can hold.
_ESCAPED = {code: f"\\u{code:04x}" for code in (*map(ord, "<>&\u2028\u2029"), *range(0xD800, 0xE000))}


def write_page(document: dict[str, Any], target: Path) -> None:
    """Write the page to `target`, which appears, or replaces the file before it, only when it is whole.

    Raises:
        UserError: it cannot be written, or would be too large even without any answer shown in full.
    """
    made = page(document)
    with replacing(target) as stream:
        stream.write(made)


def page(document: dict[str, Any], limit: int = LIMIT) -> bytes:
    """The page as UTF-8, of at most `limit` bytes: the queries at the end that do not fit are left out and counted."""
    style = _asset("page.css")
    script = "\n".join(map(_asset, SCRIPTS))
    parts = {
        "style": style,
        "style_hash": _hash(style),
        "script": script,
        "script_hash": _hash(script),
    }
    template = _asset("page.html")
    frame = len(_filled(template, {**parts, "document": ""}).encode())
    queries = [embedded(query) for query in document.get("queries", [])]
    rest = {name: part for name, part in document.items() if name != "queries"}
    room = limit - frame - len(embedded({**rest, "queries_left_out": len(queries)}).encode()) - len(',"queries":[]')
    if room < 0:
        raise UserError(f"--html: the page would be larger than {limit / 1e6:g} MB; name fewer jobs")
    kept = 0
    for query in queries:
        room -= len(query.encode()) + 1
        if room < 0:
            break
        kept += 1
    if kept < len(queries):
        rest["queries_left_out"] = len(queries) - kept
    data = embedded(rest)
    if kept:
        data = f'{data[:-1]},"queries":[{",".join(queries[:kept])}]}}'
    return _filled(template, {**parts, "document": data}).encode()


def embedded(value: Any) -> str:
    """JSON that is safe inside `<script type="application/json">`; what is no finite number becomes null."""
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPED)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        if len(value) <= LONGEST:
            return value
        return f"{value[:LONGEST]}\u2026 [cut here: {len(value):,} characters in all]"
    if isinstance(value, float):
        # Six digits are more than anyone reads off a page, and half the file.
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def _filled(template: str, parts: dict[str, str]) -> str:
    # In one pass, so that nothing in a part is taken for a place of the template.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template)


def _asset(name: str) -> str:
    return (resources.files("cli.page") / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
