"""`tts-jobs show`: one query's candidates as a tree."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import click
from rich.tree import Tree

from cli import output
from models import reports
from models.database import open_database

LONGEST = 100
"""Characters of a step that are drawn; --json has all of them."""


@click.command()
@click.argument("job")
@click.argument("key")
@output.json_option
def show(job: str, key: str, as_json: bool) -> None:
    """Draw how the problem KEY was answered in JOB (a number, a name or `last`): every candidate, and for a search
    every step with its score; an x marks what was given up.

    \b
    Example:
      tts-jobs show last word-03
      tts-jobs show 2 word-03 --json | jq .candidates
    """
    database = open_database()
    with database.reading() as connection:
        job_id = reports.find_job(connection, job)
        query = reports.query_of(connection, job_id, key)
        candidates = reports.candidates_of(connection, query["query_id"])
    children = defaultdict(list)
    for candidate in candidates:
        children[candidate["parent"]].append(candidate)
    if as_json:
        output.print_json({**query, "candidates": _nested(children, None)})
        return
    output.console.print(_tree(query, children), soft_wrap=True)


def _nested(children: dict[str | None, list[dict[str, Any]]], parent: str | None) -> list[dict[str, Any]]:
    return [{**node, "children": _nested(children, node["path"])} for node in children.get(parent, [])]


def _tree(query: dict[str, Any], children: dict[str | None, list[dict[str, Any]]]) -> Tree:
    ungraded = "no reference answer" if query["state"] == "done" else "not graded"
    verdict = {True: "[green]right[/green]", False: "[red]wrong[/red]", None: ungraded}[query["correct"]]
    answer = "no answer" if query["answer"] is None else f"answer {output.safe(query['answer'])}"
    if query["votes"]:
        answer += f", {query['votes']} of {query['voters']} votes"
    if query["score"] is not None:
        answer += f", verifier score {query['score']:.3f}"
    cost = f"{output.count(query['tokens'])} tokens, {output.count(query['flops_canonical'])} FLOPs"
    root = Tree(
        f"{_line(query['prompt'])}\n{answer}, {verdict} ({query['state']}, {query['stopped'] or 'not ended'}; {cost})",
        guide_style="dim",
    )
    _grow(root, children, None)
    return root


def _grow(branch: Tree, children: dict[str | None, list[dict[str, Any]]], parent: str | None) -> None:
    for node in children.get(parent, []):
        _grow(branch.add(_label(node)), children, node["path"])


def _label(node: dict[str, Any]) -> str:
    score = "" if node["score"] is None else f" [cyan]{node['score']:.3f}[/cyan]"
    text = "[dim](text pruned)[/dim]" if node["disposition"] == "pruned" else _line(node["text"])
    label = f"{output.safe(node['path'])}{score} {text}"
    if node["finish_reason"] in ("length", "clipped"):
        label += " [yellow](cut)[/yellow]"
    if node["answer"] is not None:
        mark = {True: "[green]right[/green]", False: "[red]wrong[/red]", None: ""}[node["correct"]]
        label += f" = {output.safe(node['answer'])} {mark}"
    return f"[dim]x {label}[/dim]" if node["disposition"] == "discarded" else label


def _line(text: str) -> str:
    """The text on one line, cut where it is long."""
    flat = " | ".join(line.strip() for line in text.strip().splitlines() if line.strip())
    return output.safe(flat if len(flat) <= LONGEST else f"{flat[: LONGEST - 1]}\u2026")
