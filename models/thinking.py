"""Whether a model thinks before it answers: its chat template knows the tag that ends the thinking."""

from __future__ import annotations

import json
from pathlib import Path

from models.catalogue import Model
from models.gguf_header import read_header


def thinks(model: Model, end: str) -> bool:
    """Whether the model's entry says so or, where it says nothing, its chat template holds the tag `end`.

    False for a model whose weights are not here, unless its entry tells.
    """
    if model.entry.thinking is not None:
        return model.entry.thinking
    return model.path is not None and end in chat_template(model.path)


def chat_template(path: Path) -> str:
    """The chat template in a GGUF file or a model directory, empty where there is none that can be read."""
    if path.is_file():
        return str(read_header(path).get("tokenizer.chat_template", ""))
    try:
        if (path / "chat_template.jinja").is_file():
            return (path / "chat_template.jinja").read_text("utf-8")
        configuration = json.loads((path / "tokenizer_config.json").read_text("utf-8"))
        # One template, or a list of named ones.
        return str(configuration.get("chat_template", ""))
    except (OSError, ValueError, AttributeError):
        return ""
