"""`tts-jobs doctor`: is this installation well, and if not, what to do."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict
from typing import Literal

import click

from cli import output
from cli.shadowing import Finding, shadowing

MARKS = {"ok": "[green]ok[/green]", "warning": "[yellow]warning[/yellow]", "problem": "[red]problem[/red]"}


@click.command()
@click.option(
    "--check", "kind", type=click.Choice(["worker", "scheduler"]), help="Only: is this process on this host well?"
)
@output.json_option
def doctor(kind: Literal["worker", "scheduler"] | None, as_json: bool) -> None:
    """Check packages, settings, database, broker, engines and processes, and say what to do. Exit code 1: a problem.

    With --check it is a health check: exit code 0 while a worker or scheduler of this host lives and gets on.

    \b
    Example:
      tts-jobs doctor
      tts-jobs doctor --check worker
    """
    findings = [shadowing()]
    if findings[0].state != "problem":
        # Only now: with a package shadowed, these imports would fail.
        from cli.checks import run_checks

        if kind is not None:
            _health(kind, as_json)
            return
        findings += run_checks()
    _show(findings, as_json)
    sys.exit(any(finding.state == "problem" for finding in findings))


def _show(findings: list[Finding], as_json: bool) -> None:
    if as_json:
        output.print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            padding = " " * (8 - len(finding.state))
            text = f"{MARKS[finding.state]}{padding}{finding.check:<11}{output.safe(finding.message)}"
            output.console.print(text, soft_wrap=True)


def _health(kind: Literal["worker", "scheduler"], as_json: bool) -> None:
    from cli.health import unhealthy
    from models.database import Database
    from models.errors import UserError
    from models.settings import settings

    try:
        with contextlib.closing(Database(settings().database)) as database:
            reason = unhealthy(database, kind)
    except UserError as error:
        reason = str(error)
    if as_json:
        output.print_json({"check": kind, "healthy": reason is None, "reason": reason})
    elif reason is not None:
        output.notes.print(output.safe(reason), soft_wrap=True)
    sys.exit(reason is not None)
