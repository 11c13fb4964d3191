"""The help texts: every command has an example, and docs/cli.md shows them as they are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[3]


def test_the_page_is_what_the_commands_say() -> None:
    # In a process of its own: a command remembers the help option of the first context it was used in.
    code = "import docs.make_cli; print(docs.make_cli.render(), end='')"
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (ROOT / "docs" / "cli.md").read_text() == made.stdout, "run `python -m docs.make_cli`"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    commands = list(command.commands.values()) if isinstance(command, click.Group) else [command]
    shown = "\n".join(one.get_help(click.Context(one, info_name=name)) for one in commands)
    assert re.search(rf"Example:\n(.*\n)* +.*tts-jobs {name}", shown), shown


def test_help_does_not_look_for_packages() -> None:
    code = "import sys\nfrom cli.main import cli\ncli(['--help'], standalone_mode=False)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"importlib.metadata", "strategies.extensions"}.isdisjoint(done.stdout.split())
