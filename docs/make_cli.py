"""Writes docs/cli.md from the commands' own --help: `python -m docs.make_cli` in the repository's root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from cli.main import cli

PAGE = Path(__file__).parent / "cli.md"
WIDTH = 100
INTRODUCTION = """\
# Commands

This page is made from the commands' own `--help` by `python -m docs.make_cli`.

- A JOB is its number, its name, or `last`.
- `--json` prints what the tables show, for programs; messages go to standard error.
- The exit code is 0 for success, 1 where a job ended otherwise than done, 2 for something you can mend, named in one
  sentence, and 130 after Ctrl-C.
"""


def render() -> str:
    """The whole page."""
    sections = [f"## {path}\n\n```\n{help_}\n```\n" for path, help_ in _helps(cli, "tts-jobs", None)]
    return "\n".join([INTRODUCTION, *sections])


def _helps(command: click.Command, path: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    """(name, help) of a command and all its subcommands."""
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, info_name=path.rpartition(" ")[2], parent=parent, **settings)
    yield path, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _helps(inner, f"{path} {name}", context)


if __name__ == "__main__":
    PAGE.write_text(render())
