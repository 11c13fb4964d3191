"""`tts-jobs policies`: the policies that are kept, and how they are exchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli import output, policy_plot
from cli.exporters import replacing
from cli.policy_compare import accuracies_of, differing_entries, differing_facts
from cli.policy_view import measured_of, show_policy
from models.database import Database, open_database
from models.errors import UserError
from scheduler.policies import list_policies, load_evidence, load_policy, save_policy
from scheduler.policy import Policy
from scheduler.policy_file import FORMAT, PolicyFile, read_policy_file

_NAME = "NAME[@VERSION]"


@click.group(invoke_without_command=True)
@click.pass_context
def policies(context: click.Context) -> None:
    """List, show, compare, export and import policies; alone, list them. `tts-jobs calibrate` makes them.

    \b
    Example:
      tts-jobs policies
      tts-jobs policies show gsm8k
    """
    if context.invoked_subcommand is None:
        context.invoke(list_kept, as_json=False)


@policies.command("list")
@output.json_option
def list_kept(as_json: bool) -> None:
    """Every version of every policy, and the models that it was measured on.

    \b
    Example:
      tts-jobs policies list --json
    """
    database = open_database()
    with database.reading() as connection:
        rows = [_row(row) for row in list_policies(connection)]
    if as_json:
        output.print_json(rows)
        return
    if not rows:
        output.console.print("there is no policy yet; make one with `tts-jobs calibrate FILE --name NAME`")
        return
    columns = [
        ("policy", "left"), ("generator", "left"), ("verifier", "left"), ("budgets", "left"), ("strategies", "left"), ("problems", "right"),
        ("made", "left"),
    ]  # fmt: skip
    cells = [
        [
            f"{row['name']}@{row['version']}",
            row["generator"],
            row["verifier"],
            ", ".join(map(str, row["budgets"])),
            ", ".join(row["strategies"]),
            row["problems"],
            f"{row['created_at']:%Y-%m-%d %H:%M}",
        ]
        for row in rows
    ]
    output.console.print(output.table(None, columns, cells))


@policies.command()
@click.argument("name", metavar=_NAME)
@click.option("--png", type=click.Path(dir_okay=False, path_type=Path), help="Draw cost, reliability and each bin's accuracy into this file.")  # fmt: skip
@output.json_option
def show(name: str, png: Path | None, as_json: bool) -> None:
    """What a query gets under NAME by its budget and bin, and what that was measured to bring, with 95 % intervals.

    A bin holds the queries whose probability that one more sample is wrong, as their probe foretells it, lies within its
    bounds. `error` is the mean distance of what was foretold and what came true (expected calibration error).

    \b
    Example:
      tts-jobs policies show gsm8k
      tts-jobs policies show gsm8k@2 --png gsm8k.png
    """
    policy, evidence, whole = _load(open_database(), name)
    if as_json:
        output.print_json({"name": whole, "policy": policy.model_dump(mode="json"), "evidence": evidence})
    else:
        show_policy(policy, measured_of(evidence, whole), whole)
    if png is not None:
        measured = measured_of(evidence, whole)
        if measured is None:
            raise UserError(
                f"--png: no evidence is kept with {whole}, so there is nothing to draw; leave the option out"
            )
        if not policy_plot.say_what_is_missing():
            policy_plot.as_png(policy, measured, png, whole)
            output.notes.print(f"plot: {output.safe(str(png))}", soft_wrap=True)


@policies.command()
@click.argument("first", metavar=_NAME)
@click.argument("second", metavar=_NAME)
@output.json_option
def compare(first: str, second: str, as_json: bool) -> None:
    """What differs between two policies, per bin and budget, with the accuracies that were measured.

    Accuracies of two policies are comparable only where both were measured on the same problems.

    \b
    Example:
      tts-jobs policies compare gsm8k@1 gsm8k@2
    """
    database = open_database()
    pair = []
    for name in (first, second):
        policy, evidence, whole = _load(database, name)
        pair.append((policy, measured_of(evidence, whole), whole))
    names = [whole for _, _, whole in pair]
    facts, entries, accuracies = differing_facts(pair), differing_entries(pair), accuracies_of(pair)
    if as_json:
        output.print_json(
            {
                "policies": names,
                "facts": {what: list(said) for what, said in facts},
                "entries": [{"budget": budget, "bin": bin_, "gets": list(said)} for (budget, bin_), said in entries],
                "accuracy": {str(budget): list(said) for budget, said in accuracies},
            }
        )
        return
    if not facts and not entries:
        output.console.print(f"{output.safe(names[0])} and {output.safe(names[1])} are the same policy")
        return
    columns = [("", "left"), *((name, "left") for name in names)]
    output.console.print(output.table(None, columns, [[what, *said] for what, said in facts]))
    rows = [[f"budget {budget}, bin {bin_}", *said] for (budget, bin_), said in entries]
    rows += [[f"budget {budget}, all", *said] for budget, said in accuracies]
    output.console.print(output.table("what a query gets, and how often it is right", columns, rows))


@policies.command("export")
@click.argument("name", metavar=_NAME)
@click.argument("target", metavar="FILE")
def export(name: str, target: str) -> None:
    """Write a policy with its evidence to FILE, as JSON that `import` reads.

    \b
    Example:
      tts-jobs policies export gsm8k@2 gsm8k.json
    """
    policy, evidence, whole = _load(open_database(), name)
    kept, _, version = whole.partition("@")
    text = PolicyFile(format=FORMAT, name=kept, version=int(version), policy=policy, evidence=evidence).to_json()
    with replacing(Path(target)) as stream:
        stream.write(text.encode())
    output.notes.print(f"{whole} written to {output.safe(target)}", soft_wrap=True)


@policies.command("import")
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--name", help="What to call it here; the name in the file by default.")
@output.json_option
def import_(source: Path, name: str | None, as_json: bool) -> None:
    """Keep the policy in FILE as the next version of its name; the same one again stays the version that it is.

    \b
    Example:
      tts-jobs policies import gsm8k.json --name theirs
    """
    found = read_policy_file(source)
    database = open_database()
    with database.transaction() as connection:
        called = name if name is not None else found.name
        version = save_policy(connection, called, found.policy, found.evidence, database.clock.now(connection))
    if as_json:
        output.print_json({"name": called, "version": version})
    else:
        output.console.print(f"kept as {called}@{version}; show it with `tts-jobs policies show {called}@{version}`")


def _load(database: Database, name: str) -> tuple[Policy, dict[str, Any] | None, str]:
    with database.reading() as connection:
        policy, whole = load_policy(connection, name, "NAME")
        return policy, load_evidence(connection, whole, "NAME"), whole


def _row(row: dict[str, Any]) -> dict[str, Any]:
    kept = row["table"]
    return {
        "name": row["name"],
        "version": row["version"],
        "generator": kept.get("generator"),
        "verifier": kept.get("verifier"),
        "budgets": sorted(int(budget) for budget in kept.get("table", ())),
        "strategies": sorted({arm["strategy"] for arm in kept.get("arms", ())}),
        "problems": (row["evidence"] or {}).get("problems"),
        "created_at": row["created_at"],
    }
