"""The policies that are kept: each has a name, versions counted from 1, and the evidence it was measured with."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row, func, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from models import tables
from models.errors import UserError
from models.transitions import table
from scheduler.policy import Policy

POLICY = table(tables.Policy)
# It names files, and what stands behind an @ is a version.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"


def check_name(name: str) -> str:
    """`name`, where it can name a policy.

    Raises:
        UserError: it cannot.
    """
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise UserError(f"--name: {name!r} cannot name a policy; use up to 100 letters, digits, '.', '_' and '-'")
    return name


def save_policy(
    connection: Connection, name: str, policy: Policy, evidence: dict[str, Any] | None, now: datetime
) -> int:
    """Keep a policy as the next version of `name`, and return that; the newest again where it is the same one.

    Raises:
        UserError: `name` cannot name a policy.
        ValueError: the evidence is no JSON.
    """
    check_name(name)
    kept = policy.model_dump(mode="json")
    told = json.loads(json.dumps(evidence, allow_nan=False))
    make = sqlite_insert if connection.dialect.name == "sqlite" else postgres_insert
    while True:
        newest = _row(connection, name, None)
        if newest is not None and newest.table == kept and newest.evidence == told:
            return int(newest.version)
        version = 1 if newest is None else newest.version + 1
        values = {"name": name, "version": version, "table": kept, "evidence": told, "created_at": now}
        # Another process may have taken this number meanwhile.
        made = connection.execute(
            make(POLICY)
            .values(values)
            .on_conflict_do_nothing(index_elements=["name", "version"])
            .returning(POLICY.c.version)
        ).scalar()
        if made is not None:
            return int(made)


def load_policy(connection: Connection, name: str, option: str = "--policy") -> tuple[Policy, str]:
    """The policy that `name` means, NAME (its newest version) or NAME@VERSION, and its whole name, NAME@VERSION.

    Raises:
        UserError: there is none; the message begins with `option` and lists those there are.
    """
    row = _find(connection, name, option)
    whole = f"{row.name}@{row.version}"
    try:
        return Policy.model_validate(row.table), whole
    except ValidationError:
        raise UserError(
            f"{option}: {whole} was kept by another version of tts-jobs that had other policies; calibrate it again"
        ) from None


def load_evidence(connection: Connection, name: str, option: str = "--policy") -> dict[str, Any] | None:
    """What the policy that `name` means was measured with; None for one that was not measured.

    Raises:
        UserError: as `load_policy`.
    """
    found: dict[str, Any] | None = _find(connection, name, option).evidence
    return found


def list_policies(connection: Connection) -> list[dict[str, Any]]:
    """Name, version, policy (as JSON), evidence and time of each version, by name and version."""
    columns = [POLICY.c[name] for name in ("name", "version", "table", "evidence", "created_at")]
    rows = connection.execute(select(*columns).order_by(POLICY.c.name, POLICY.c.version))
    return [dict(row._mapping) for row in rows]


def check_measured_on(
    policy: Policy, generator_identity: str, verifier_identity: str | None, *, forced: bool = False
) -> None:
    """Refuse models that the policy was not measured on, unless `forced`.

    Raises:
        UserError: it was measured on another generator or verifier.
    """
    if forced:
        return
    wrong, measured = None, ""
    if policy.generator_identity != generator_identity:
        wrong, measured = "generator", f"on the generator {policy.generator!r}"
    elif policy.verifier_identity != verifier_identity:
        measured = f"with the verifier {policy.verifier!r}" if policy.verifier else "without a verifier"
        wrong = "verifier"
    if wrong is not None:
        raise UserError(
            f"--policy: it was measured {measured}, and the job's {wrong} is another or has other weights; run "
            "`tts-jobs calibrate` for these models, or add --policy-anyway"
        )


def _find(connection: Connection, wanted: str, option: str) -> Row[Any]:
    name, at, number = wanted.partition("@")
    is_version = number.isdecimal() and len(number) < 10
    row = _row(connection, name, int(number) if at else None) if is_version or not at else None
    if row is not None:
        return row
    known = connection.execute(
        select(POLICY.c.name, func.max(POLICY.c.version)).group_by(POLICY.c.name).order_by(POLICY.c.name)
    ).all()
    if not known:
        raise UserError(f"{option}: there is no policy yet; `tts-jobs calibrate` makes one")
    there_are = ", ".join(name if last == 1 else f"{name} (versions 1 to {last})" for name, last in known)
    raise UserError(f"{option}: no policy {wanted!r}; there are {there_are}")


def _row(connection: Connection, name: str, version: int | None) -> Row[Any] | None:
    """A version, or the newest where it is None."""
    chosen = select(POLICY).where(POLICY.c.name == name).order_by(POLICY.c.version.desc()).limit(1)
    return connection.execute(chosen if version is None else chosen.where(POLICY.c.version == version)).one_or_none()
