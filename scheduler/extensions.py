"""Verifiers and graders of installed packages, as a submission finds and checks them."""

from __future__ import annotations

from typing import Literal

from models.catalogue import MODEL_FREE_VERIFIERS, verifier_entries
from models.errors import UserError
from models.templates import ANSWER_KINDS
from strategies.extensions import Extension, find_extension

_OPTIONS = {"verifiers": "--verifier", "graders": "--answer"}
_NEEDED = {"verifiers": ("name", "oracle", "score"), "graders": ("extract", "equivalent")}


def find_added(group: Literal["verifiers", "graders"], name: str) -> Extension | None:
    """The verifier or grader of that name that an installed package adds to ours, None where it is ours or nobody's.

    Raises:
        UserError: it cannot be used; the message names the package.
    """
    if name in (ANSWER_KINDS if group == "graders" else (*MODEL_FREE_VERIFIERS, *verifier_entries())):
        return None
    try:
        found = find_extension(group, name)
        made = found.load() if found is not None else None
    except ValueError as error:
        raise UserError(f"{_OPTIONS[group]}: {error}") from None
    if found is not None and not all(hasattr(made, part) for part in _NEEDED[group]):
        raise UserError(
            f"{_OPTIONS[group]}: {name}: what the package {found.source} provides cannot be used; "
            f"it must be a class with {', '.join(_NEEDED[group])}"
        )
    return found


def is_oracle(verifier: str | None) -> bool:
    """Whether it reads the reference answers."""
    if verifier is None or verifier in MODEL_FREE_VERIFIERS:
        return MODEL_FREE_VERIFIERS.get(verifier or "", False)
    added = find_added("verifiers", verifier)
    return added is not None and bool(added.load().oracle)
