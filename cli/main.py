"""The entry point: finds the command, and turns what a user can mend into one sentence and exit code 2."""

from __future__ import annotations

import importlib
import os
import sys
from typing import NoReturn

import click

COMMANDS = {
    "demo": ("cli.demo", "see test-time scaling on this machine, in two minutes"),
    "run": ("cli.run", "answer a dataset here and now, without any server"),
    "submit": ("cli.submit", "queue a dataset for the workers"),
    "estimate": ("cli.estimate", "what a job would cost, before it runs"),
    "import": ("cli.importing", "bring recorded generations in, as a job like any other"),
    "jobs": ("cli.jobs", "list the jobs"),
    "status": ("cli.status", "how far a job is, and what stands in its way"),
    "watch": ("cli.watch", "follow a job live"),
    "results": ("cli.results", "write a job's answers to JSONL, CSV or Parquet"),
    "show": ("cli.show", "how one answer came about: the tree of its candidates"),
    "explain": ("cli.explain", "why one query got its strategy and budget"),
    "report": ("cli.report", "accuracy against cost: of many jobs in a table, of one or two in full"),
    "decide": ("cli.decide", "what to run next, from what has been run"),
    "curves": ("cli.curves", "what fewer samples would have brought, from those that are stored"),
    "review": ("cli.review", "which answers to trust where there is no reference, and which to look at"),
    "calibrate": ("cli.calibrate", "measure which strategy pays where, and keep it as a policy"),
    "policies": ("cli.policies", "list, show, compare and exchange policies"),
    "pause": ("cli.control", "stop giving out a job's queries"),
    "resume": ("cli.control", "go on with a paused or exhausted job"),
    "cancel": ("cli.control", "end a job now"),
    "retry": ("cli.control", "try a job's failed queries again"),
    "prune": ("cli.prune", "take away what old jobs need not keep"),
    "up": ("cli.up", "start Redis, scheduler, workers and Flower on this machine"),
    "worker": ("cli.worker", "serve a model"),
    "scheduler": ("cli.scheduler", "plan and dispatch the open jobs"),
    "metrics": ("cli.metrics", "serve metrics for Prometheus"),
    "flower": ("cli.flower", "the web page that shows the work"),
    "strategies": ("cli.strategies", "list the strategies and their parameters"),
    "models": ("cli.models", "list, add and pull models"),
    "db": ("cli.db", "migrate the database"),
    "doctor": ("cli.doctor", "check this installation and say what to do"),
}


class LazyGroup(click.Group):
    """Imports a command's module when it is called; `--help` needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, "import_" if cmd_name == "import" else cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(package_name="tts-jobs")
def cli() -> None:
    """Answer whole datasets with test-time compute, and know what every answer cost.

    \b
    Example:
      tts-jobs run problems.jsonl --strategy majority_vote --budget 4
      tts-jobs report

    Shell completion: eval "$(_TTS_JOBS_COMPLETE=bash_source tts-jobs)"
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave; never shows a traceback unless TTS_DEBUG is set."""
    try:
        status = cli.main(args=arguments, prog_name="tts-jobs", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(0)
    except click.UsageError as error:
        asked = f" (see `{error.ctx.command_path} --help`)" if error.ctx is not None else ""
        _fail(f"{error.format_message().rstrip('.')}{asked}", 2)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("TTS_DEBUG"):
            raise
        from models.errors import UserError

        if isinstance(error, UserError):
            _fail(str(error), 2)
        first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        _fail(f"{type(error).__name__}: {first} (TTS_DEBUG=1 shows where; please report this)", 1)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> NoReturn:
    click.echo(f"Error: {' '.join(message.split())}", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
