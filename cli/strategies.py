"""`tts-jobs strategies`: what there is to spend compute with."""

from __future__ import annotations

from typing import Any

import click

from cli import output


@click.command()
@output.json_option
def strategies(as_json: bool) -> None:
    """List the strategies: what each does, its parameters with their defaults, and where it is defined.

    Those of installed packages come last, with the package as their source; docs/library.md says how to write one.

    \b
    Example:
      tts-jobs strategies
      tts-jobs run problems.jsonl --strategy beam_search --param beam_width=2
    """
    from strategies.registry import listed

    entries, problems = listed()
    rows: list[dict[str, Any]] = [
        {
            "name": entry.name,
            "summary": entry.summary,
            "source": entry.source,
            "needs_verifier": entry.needs_verifier,
            "parameters": {
                name: {"default": field.default, "description": field.description}
                for name, field in entry.make.model_fields.items()
            },
        }
        for entry in entries
    ]
    for problem in problems:
        output.notes.print(f"[yellow]{output.safe(problem)}[/yellow]", soft_wrap=True)
    if as_json:
        output.print_json(rows)
        return
    columns = [("strategy", "left"), ("what it does", "left"), ("parameters", "left"), ("source", "left")]
    cells = [
        (
            row["name"],
            row["summary"] + (" Needs a verifier." if row["needs_verifier"] else ""),
            "\n".join(
                f"{name}={about['default']}: {about['description']}" for name, about in row["parameters"].items()
            ),
            row["source"],
        )
        for row in rows
    ]
    table = output.table(None, columns, cells)
    table.show_lines = True
    output.console.print(table)
