"""What installed packages add: strategies, verifiers and graders of their own, found by entry points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Group = Literal["strategies", "verifiers", "graders"]


@dataclass(frozen=True, slots=True)
class Extension:
    """One entry point of the group `tts_jobs.strategies`, `tts_jobs.verifiers` or `tts_jobs.graders`."""

    name: str
    package: str
    version: str
    point: EntryPoint

    @property
    def source(self) -> str:
        return f"{self.package} {self.version}"

    def load(self) -> Any:
        """The class that the package provides.

        Raises:
            ValueError: it cannot be imported; one sentence that names the package.
        """
        try:
            return self.point.load()
        except Exception as error:  # a package can fail in any way
            reason = (str(error).splitlines() or [""])[0]
            raise ValueError(
                f"{self.name}: the package {self.source} cannot be loaded ({type(error).__name__}: {reason}); "
                "repair or uninstall it"
            ) from None


def extensions(group: Group) -> list[Extension]:
    """What the installed packages declare, by name; nothing of theirs is imported."""
    # Here and not at the top: a command that needs no extension does not pay for the search.
    from importlib.metadata import entry_points

    found = [
        Extension(
            point.name.replace("-", "_") if group == "strategies" else point.name, owner.name, owner.version, point
        )
        for point in entry_points(group=f"tts_jobs.{group}")
        if (owner := point.dist) is not None
    ]
    return sorted(found, key=lambda one: (one.name, one.package))


def find_extension(group: Group, name: str) -> Extension | None:
    """The extension called `name`, None where no package has one.

    Raises:
        ValueError: several packages have one.
    """
    found = [one for one in extensions(group) if one.name == name]
    if len(found) > 1:
        packages = " and ".join(one.source for one in found)
        raise ValueError(f"{name}: the packages {packages} both provide it; uninstall one")
    return found[0] if found else None
