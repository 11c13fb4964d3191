"""What is shipped is what the model card describes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from models import hub
from models.architecture import read_architecture

WEIGHTS = Path(hub.__file__).parent / "weights"
CARD = WEIGHTS / "MODEL_CARD.md"


def listed() -> dict[str, str]:
    found = re.findall(r"^    ([0-9a-f]{64})  (\S+)$", CARD.read_text(), flags=re.MULTILINE)
    return {path: digest for digest, path in found}


def test_every_file_is_on_the_card_with_its_checksum() -> None:
    files = {path.relative_to(WEIGHTS).as_posix(): path for path in WEIGHTS.rglob("*") if path.is_file()}
    del files["MODEL_CARD.md"]
    assert listed().keys() == files.keys()
    for name, path in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == listed()[name], name


@pytest.mark.parametrize("name", hub.SHIPPED)
def test_both_formats_have_the_same_shape(name: str) -> None:
    directory, gguf = (read_architecture(WEIGHTS / name / part) for part in ("", hub.GGUF))
    assert directory == gguf
    assert directory is not None
    assert f"{name}/model.safetensors" in listed()


def test_all_files_together_are_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*")) < 25_000_000
