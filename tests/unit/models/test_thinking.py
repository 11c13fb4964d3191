"""Whether a model thinks: what its entry says, or else its chat template."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import gguf
import pytest

from models.catalogue import Model, find_generator
from models.settings import ModelEntry
from models.thinking import chat_template, thinks

END = "</think>"
TEMPLATE = "{{ messages[0].content }}<think>\n{# ends with </think> #}"


def gguf_file(folder: Path) -> Path:
    writer = gguf.GGUFWriter(folder / "model.gguf", "llama")
    writer.add_chat_template(TEMPLATE)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return folder / "model.gguf"


def jinja(folder: Path) -> Path:
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def configuration(folder: Path) -> Path:
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    return folder


def named(folder: Path) -> Path:
    listed = [{"name": "default", "template": TEMPLATE}]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": listed}))
    return folder


def of(path: Path | None, thinking: bool | None = None) -> Model:
    entry = ModelEntry(engine="vllm", model="m", thinking=thinking)
    return replace(find_generator("tiny"), entry=entry, path=path)


@pytest.mark.parametrize("make", [gguf_file, jinja, configuration, named])
def test_a_template_with_the_tag_tells(tmp_path: Path, make: object) -> None:
    path = make(tmp_path)  # type: ignore[operator]
    assert "<think>" in chat_template(path)
    assert thinks(of(path), END)
    assert not thinks(of(path, thinking=False), END)


def test_another_does_not(tmp_path: Path) -> None:
    assert not thinks(find_generator("tiny"), END)
    (tmp_path / "tokenizer_config.json").write_text("{")
    assert not thinks(of(tmp_path), END)


def test_the_entry_tells_of_weights_that_are_not_here() -> None:
    assert not thinks(of(None), END)
    assert thinks(of(None, thinking=True), END)
