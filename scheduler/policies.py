"""The policies that are kept: each has a name and versions counted from 1."""

from __future__ import annotations

from sqlalchemy import Connection, select

from models import tables
from models.errors import UserError
from models.transitions import table
from scheduler.policy import Policy

POLICY = table(tables.Policy)


def load_policy(connection: Connection, name: str) -> tuple[Policy, str]:
    """The policy that `name` means, NAME (its newest version) or NAME@VERSION, and its whole name, NAME@VERSION.

    Raises:
        UserError: there is none.
    """
    wanted, at, version = name.partition("@")
    chosen = select(POLICY).where(POLICY.c.name == wanted).order_by(POLICY.c.version.desc()).limit(1)
    if at:
        chosen = chosen.where(POLICY.c.version == int(version))
    row = connection.execute(chosen).one_or_none()
    if row is None:
        raise UserError(f"--policy: no policy {name!r}")
    return Policy.model_validate(row.table), f"{row.name}@{row.version}"


def check_measured_on(
    policy: Policy, generator_identity: str, verifier_identity: str | None, *, forced: bool = False
) -> None:
    """Refuse models that the policy was not measured on, unless `forced`.

    Raises:
        UserError: it was measured on another generator or verifier.
    """
    if not forced and (policy.generator_identity, policy.verifier_identity) != (generator_identity, verifier_identity):
        raise UserError("--policy: it was measured on other models; calibrate for these, or add --policy-anyway")
