"""Packages installed for a test: a module and its metadata in a folder of their own, read by the real importlib.metadata."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

PAGE = (Path(__file__).parent.parent / "docs" / "library.md").read_text("utf-8")


def install(
    site: Path, name: str, module: str, source: str, entry_points: Mapping[str, Mapping[str, str]], version: str = "0.1"
) -> None:
    """Put a package of one module into `site`, as an installer would; `entry_points` by group."""
    site.mkdir(exist_ok=True)
    (site / f"{module}.py").write_text(source)
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [
        line
        for group, points in entry_points.items()
        for line in (f"[{group}]", *(f"{point} = {target}" for point, target in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def blocks(language: str) -> list[str]:
    """The code of docs/library.md, block by block."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def install_the_pages_package(site: Path, version: str | None = None) -> None:
    """The package that docs/library.md writes, block by block."""
    (declared,) = map(tomllib.loads, blocks("toml"))
    project = declared["project"]
    source = "\n".join(block for block in blocks("python") if block.startswith("# brief.py"))
    install(site, project["name"], "brief", source, project["entry-points"], version or project["version"])
