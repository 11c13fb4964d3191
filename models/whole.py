"""Whether a model's files are whole, told from their headers: no weight is read."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from models.errors import UserError
from models.gguf_header import tensors_end


def check_weights(path: Path) -> None:
    """Look at a GGUF file, or at a model directory's config.json and safetensors files.

    Raises:
        UserError: something is missing, cut short or damaged; the message names the file.
    """
    if path.is_file():
        _check_gguf(path)
        return
    config = path / "config.json"
    if not config.is_file():
        raise UserError(f"{path}: no config.json in it; name a model directory or a GGUF file")
    try:
        json.loads(config.read_text())
    except ValueError:
        raise UserError(f"{config}: no JSON; fetch the model again") from None
    for file in sorted(path.glob("*.safetensors")):
        _check_safetensors(file)


def _check_gguf(path: Path) -> None:
    # Where the last tensor begins: its own length depends on how it is quantized.
    if path.stat().st_size <= tensors_end(path):
        raise UserError(f"{path}: cut short, its last tensors are missing; fetch it again")


def _check_safetensors(file: Path) -> None:
    """The file begins with the length of a JSON header, which says where each tensor ends
    (https://github.com/huggingface/safetensors#format)."""
    try:
        with file.open("rb") as data:
            (length,) = struct.unpack("<Q", data.read(8))
            size = file.stat().st_size
            header = json.loads(data.read(min(length, size)))
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError):
        raise UserError(f"{file}: its header is damaged or cut short; fetch the model again") from None
    if size < 8 + length + max(ends, default=0):
        raise UserError(f"{file}: cut short, {size} of {8 + length + max(ends)} bytes; fetch the model again")
