"""FLOPs of a model that vLLM downloads by its Hub name: its config.json is in the Hub's own cache afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models import hub
from models.catalogue import find_generator

pytestmark = pytest.mark.vllm


def test_the_architecture_of_a_downloaded_model_is_known(
    vllm_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert hub.cached_config("owner/model") is None
    assert find_generator("owner/model").architecture is None
    snapshot = tmp_path / "models--owner--model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--owner--model" / "refs").mkdir()
    (tmp_path / "models--owner--model" / "refs" / "main").write_text("abc")
    shutil.copy(vllm_model / "config.json", snapshot)
    known = find_generator("owner/model").architecture
    assert known is not None
    assert (known.layers, known.hidden) == (30, 576)
