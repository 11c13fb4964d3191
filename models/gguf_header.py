"""The metadata at the head of a GGUF file, read by itself.

The `gguf` package decodes every token of the vocabulary while it opens a file, which takes seconds, and belongs to an
extra; the FLOP count needs a dozen numbers. Format: the GGUF specification, versions 2 and 3, little-endian
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from models.errors import UserError

T = TypeVar("T")
MAGIC = b"GGUF"
ALIGNMENT = 32
"""Bytes; where the metadata name no other."""
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_KEPT_ARRAY = 1024
"""Longest array whose values are kept: one value per layer is wanted, a vocabulary is not."""

_FAMILIES = {
    "arcee": "arcee",
    "bloom": "bloom",
    "cohere2": "cohere2",
    "command-r": "cohere",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
    "glm4": "glm4",
    "gpt-oss": "gpt_oss",
    "gpt2": "gpt2",
    "gptj": "gptj",
    "gptneox": "gpt_neox",
    "granite": "granite",
    "granitemoe": "granitemoe",
    "internlm2": "internlm2",
    "llama": "llama",
    "mistral3": "mistral",
    "nemotron": "nemotron",
    "olmo": "olmo",
    "olmo2": "olmo2",
    "olmoe": "olmoe",
    "phi2": "phi",
    "phi3": "phi3",
    "qwen2": "qwen2",
    "qwen2moe": "qwen2_moe",
    "qwen3": "qwen3",
    "qwen3moe": "qwen3_moe",
    "seed_oss": "seed_oss",
    "smollm3": "smollm3",
    "stablelm": "stablelm",
    "starcoder2": "starcoder2",
}
"""`general.architecture` -> `model_type` of the same model's config.json."""

_KEYS = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "leading_dense_block_count": "first_k_dense_replace",
    "vocab_size": "vocab_size",
}


def read_header(path: Path) -> dict[str, Any]:
    """The key-value metadata of a GGUF file: numbers, booleans, strings and short arrays as lists.

    An array of strings, or one of more than 1,024 values, is represented by its length (an int).

    Raises:
        UserError: the file cannot be read, is not a GGUF file, or is cut short.
    """
    return _walked(path, lambda cursor: cursor.metadata())


def tensors_end(path: Path) -> int:
    """The byte at which the last tensor of a GGUF file begins: a whole file is longer.

    Raises:
        UserError: as `read_header`.
    """
    return _walked(path, lambda cursor: cursor.last_tensor())


def _walked(path: Path, walk: Callable[[_Cursor], T]) -> T:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] != MAGIC:
                raise UserError(f"{path}: not a GGUF file; name a GGUF file, a config.json or a model directory")
            return walk(_Cursor(data))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
    except (struct.error, ValueError, KeyError):
        raise UserError(
            f"{path}: the GGUF header is damaged, cut short or of an unknown version; fetch it again"
        ) from None


def as_config(header: Mapping[str, Any]) -> dict[str, Any] | None:
    """A GGUF header in the words of a config.json, or None where the formula does not know the model.

    Layers that differ among themselves, and values of another size than keys, are not known.
    """
    name = header.get("general.architecture")
    family = _FAMILIES.get(name) if isinstance(name, str) else None
    if family is None:
        return None
    config: dict[str, Any] = {"model_type": family}
    for key, word in _KEYS.items():
        value = header.get(f"{name}.{key}")
        if isinstance(value, list):
            if len(set(value)) != 1:
                return None
            value = value[0]
        if value is not None:
            config[word] = value
    if header.get(f"{name}.attention.value_length", config.get("head_dim")) != config.get("head_dim"):
        return None
    config.setdefault("vocab_size", header.get("tokenizer.ggml.tokens"))
    if family == "llama" and config.get("num_experts"):
        config["model_type"] = "mixtral"
    return config


class _Cursor:
    """Walks the bytes of a header."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = len(MAGIC)
        self.tensors = 0

    def metadata(self) -> dict[str, Any]:
        if self.number("I") not in (2, 3):
            raise ValueError("version")
        self.tensors = self.number("Q")
        return {self.string(): self.value(self.number("I")) for _ in range(self.number("Q"))}

    def last_tensor(self) -> int:
        alignment = int(self.metadata().get("general.alignment", ALIGNMENT))
        offset = 0
        for _ in range(self.tensors):
            self.string()
            self.skip(8 * self.number("I"))  # its dimensions
            self.number("I")  # its type
            offset = max(offset, self.number("Q"))
        return -(-self.at // alignment) * alignment + offset

    def number(self, code: str) -> Any:
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def string(self) -> str:
        return self.skip(self.number("Q")).decode("utf-8", "replace")

    def skip(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise ValueError("cut short")
        self.at += size
        return self.data[self.at - size : self.at]

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self.array(self.number("I"), self.number("Q"))
        return self.number(_SCALARS[kind])

    def array(self, kind: int, length: int) -> list[Any] | int:
        if kind == _STRING:
            for _ in range(length):
                self.skip(self.number("Q"))
            return length
        code = _SCALARS[kind]  # an array of arrays is no value of any known model: KeyError
        if length <= _KEPT_ARRAY:
            return [self.number(code) for _ in range(length)]
        self.skip(length * struct.calcsize("<" + code))
        return length
