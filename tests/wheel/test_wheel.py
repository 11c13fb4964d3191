"""The wheel, installed into a clean environment and used from a folder that tries to shadow its packages."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ["cli", "models", "scheduler", "strategies", "worker"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment that holds the wheel and its base dependencies, no extra."""
    directory = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(directory, with_pip=True)
    # pip takes hashes for all or for nothing, and a wheel built a moment ago has none in the lock.
    constraints = directory / "constraints.txt"
    lock = (ROOT / "requirements" / "dev.lock").read_text().splitlines()
    constraints.write_text("\n".join(line.removesuffix(" \\") for line in lock if not line.startswith(" ")))
    install = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", "-c", str(constraints), str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A working directory with packages of the same names as ours, each of which raises when it is imported."""
    for room in ROOMS:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text(f"raise RuntimeError('the wrong {room} was imported')\n")
    return tmp_path


def run(environment: Path, cwd: Path, *command: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TTS_", "PYTHON"))}
    program = [str(environment / "bin" / command[0]), *command[1:]]
    done = subprocess.run(program, cwd=cwd, env=clean, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_rooms_with_all_their_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        licenses = [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
        assert [archive.read(name) for name in licenses] == [(ROOT / "LICENSE").read_bytes()]
    shipped = {name for name in names if ".dist-info/" not in name}
    files = {path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()}
    assert shipped == {path.as_posix() for path in files if "__pycache__" not in path.parts}


def test_the_command_answers_from_a_folder_that_shadows_its_packages(environment: Path, trap: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert "submit" in run(environment, trap, "tts-jobs", "--help")
    assert version in run(environment, trap, "tts-jobs", "--version")


def test_the_base_installation_alone_migrates_and_lists(environment: Path, trap: Path) -> None:
    """Every command must at least load without an extra, and the migrations must be in the wheel."""
    run(environment, trap, "tts-jobs", "db", "upgrade")
    assert (trap / ".tts-jobs" / "tts-jobs.db").exists()
    assert run(environment, trap, "tts-jobs", "jobs", "--json").strip() == "[]"


def test_every_room_is_the_installed_one(environment: Path, trap: Path) -> None:
    code = f"import {', '.join(ROOMS)}; print(*(room.__file__ for room in ({', '.join(ROOMS)})))"
    # -P keeps the working directory off the path, as it is for the console script.
    paths = run(environment, trap, "python", "-P", "-c", code).split()
    assert all(Path(path).is_relative_to(environment) for path in paths)
