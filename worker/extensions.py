"""What a worker loads of installed packages: the verifiers and graders that its jobs name."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from strategies.extensions import Group, find_extension
from strategies.protocols import QueryError


def check_packages(packages: Mapping[str, str]) -> None:
    """Raises QueryError where one of a job's packages (name -> version) is not here, or is another version."""
    for name, version in packages.items():
        if (here := _version(name)) != version:
            raise QueryError(
                f"this worker has {name} {here or 'not installed'} and the job needs {version}; install it"
            )


def load_extension(group: Group, name: str) -> Any:
    """An instance of what the package provides, made without arguments; None where no package has that name.

    Raises:
        QueryError: it cannot be loaded.
    """
    made = _class(group, name)
    return made() if made is not None else None


@functools.cache
def _class(group: Group, name: str) -> Any:
    try:
        found = find_extension(group, name)
        return found.load() if found is not None else None
    except ValueError as error:
        raise QueryError(str(error)) from None


@functools.cache
def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
