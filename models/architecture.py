"""The shape of a decoder, as far as its FLOPs depend on it, read from a config.json or a GGUF header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models.errors import UserError
from models.gguf_header import MAGIC, as_config, read_header

_GATED = {
    *(
        "llama",
        "mistral",
        "qwen2",
        "qwen3",
        "phi3",
        "gemma",
        "gemma2",
        "gemma3_text",
        "cohere",
        "cohere2",
        "olmo",
        "olmo2",
    ),
    *("granite", "smollm3", "stablelm", "internlm2", "glm", "glm4", "seed_oss"),
    *("mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "granitemoe", "phimoe", "glm4_moe", "gpt_oss"),
}
_PLAIN = {"gpt2", "gptj", "gpt_neox", "gpt_bigcode", "bloom", "opt", "phi", "starcoder2", "nemotron", "arcee"}
"""`model_type`s whose feed-forward block is up and down only; those of `_GATED` have a gate as well."""

_SWITCHED_WINDOW = {"qwen2", "qwen3", "qwen2_moe", "qwen3_moe"}
"""Families that name a window and use it only where `use_sliding_window` says so."""

_FULL_EVERY = {"gemma2": 2, "gpt_oss": 2, "cohere2": 4, "gemma3_text": 6}
"""Families in which every k-th layer attends to everything and the others to a window."""

_FAMILY_DEFAULTS: dict[str, dict[str, Any]] = {
    # Published Gemma 3 files leave out what equals the family's default.
    "gemma3_text": {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 4096,
        "vocab_size": 262208,
    },
    "gemma2": {"sliding_window": 4096},
    "gpt_oss": {"sliding_window": 128},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The sizes of one decoder.

    `head_dim` is the width of one attention head; `mlp_width` that of a dense layer's feed-forward block and
    `expert_width` that of one expert. `expert_layers` of the `layers` are mixtures: a router over `experts`, of which
    a token passes `active_experts`, and shared experts of `shared_width` altogether. `sliding_layers` of the `layers`
    attend to the last `sliding_window` tokens only. `logits`: the model ends in a projection onto `vocabulary`.
    `head_parameters`: weights of a scoring head that every token passes (a PRM's, an ORM's).
    """

    family: str
    layers: int
    hidden: int
    query_heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    gated: bool
    vocabulary: int
    sliding_window: int | None = None
    sliding_layers: int = 0
    experts: int = 0
    active_experts: int = 0
    expert_width: int = 0
    shared_width: int = 0
    expert_layers: int = 0
    logits: bool = True
    head_parameters: int = 0
    source: str = field(default="", compare=False)

    @property
    def parameters(self) -> int:
        """Weights of the layers that one token is multiplied with (of a mixture: router, active and shared experts).

        Embeddings, the projection onto the vocabulary, heads, norms and biases are left out: the N of 2*N*T in Kaplan
        et al. 2020 (arXiv:2001.08361, section 2.1).
        """
        attention = self.hidden * (self.query_heads + 2 * self.kv_heads) * self.head_dim
        attention += self.query_heads * self.head_dim * self.hidden
        matrices = 3 if self.gated else 2
        dense = matrices * self.hidden * self.mlp_width
        mixture = self.hidden * self.experts
        mixture += matrices * self.hidden * (self.active_experts * self.expert_width + self.shared_width)
        return self.layers * attention + (self.layers - self.expert_layers) * dense + self.expert_layers * mixture

    def to_dict(self) -> dict[str, Any]:
        """Every field, in JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Architecture:
        """The inverse of `to_dict`."""
        return cls(**value)


def read_architecture(path: Path) -> Architecture | None:
    """The architecture of a model directory (its config.json), a config.json or a GGUF file.

    None where the FLOP formula does not know the architecture (state-space and recurrent layers, latent attention,
    layers that differ among themselves, an unfamiliar `model_type`): its FLOPs are unknown.

    Raises:
        UserError: the file is missing, unreadable or malformed.
    """
    file = path / "config.json" if path.is_dir() else path
    try:
        with file.open("rb") as stream:
            is_gguf = stream.read(len(MAGIC)) == MAGIC
    except FileNotFoundError:
        cure = "name a model directory with a config.json, a config.json or a GGUF file"
        raise UserError(f"{file}: no such file; {cure}") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror or error}); check the path") from None
    if file.suffix == ".gguf" and not is_gguf:
        raise UserError(f"{file}: not a GGUF file; correct the path or fetch it again")
    config = as_config(read_header(file)) if is_gguf else _read_config(file)
    return None if config is None else _from_config(config, file)


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        at = f"line {error.lineno}: " if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(f"{file}: {at}not valid JSON; correct the file or fetch it again") from None
    if not isinstance(config, dict):
        raise UserError(f"{file}: a JSON object is expected; name a model's config.json")
    return config


def _from_config(config: dict[str, Any], file: Path) -> Architecture | None:
    ending = config.get("architectures")
    if isinstance(config.get("text_config"), dict):  # an image and text model, given text alone
        config = config["text_config"]
    family = config.get("model_type")
    if not isinstance(family, str) or family not in _GATED | _PLAIN:
        return None
    read = _Reader({**_FAMILY_DEFAULTS.get(family, {}), **config}, file)
    gated = family in _GATED
    layers = read.size("num_hidden_layers", "n_layer", "num_layers")
    hidden = read.size("hidden_size", "n_embd", "d_model")
    heads = read.size("num_attention_heads", "n_head", "num_heads")
    vocabulary = read.size("vocab_size")
    if not (layers and hidden and heads and vocabulary) or read.differs(hidden):
        return None
    kv_heads = 1 if read.values.get("multi_query") is True else read.size("num_key_value_heads") or heads
    width = read.size("intermediate_size", "n_inner", "ffn_dim") or (0 if gated else 4 * hidden)
    head = _head(ending, hidden, read)
    windowed = read.windowed(family, layers)
    if head is None or windowed is None:
        return None
    mixture = read.mixture(layers, width)
    if not (width or mixture.get("expert_layers") == layers):
        return None
    return Architecture(
        family=family,
        layers=layers,
        hidden=hidden,
        query_heads=heads,
        kv_heads=kv_heads,
        head_dim=read.size("head_dim") or hidden // heads,
        mlp_width=width,
        gated=gated,
        vocabulary=vocabulary,
        sliding_window=read.size("sliding_window") if windowed else None,
        sliding_layers=windowed,
        logits=head == 0,
        head_parameters=head,
        source=str(file),
        **mixture,
    )


def _head(architectures: Any, hidden: int, read: _Reader) -> int | None:
    """Weights of the scoring head named by `architectures`: 0 for a language model, None where it is not known."""
    name = architectures[0] if isinstance(architectures, list) and architectures else "ForCausalLM"
    if not isinstance(name, str):
        return None
    if name.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")):
        return 0
    labels = read.values.get("id2label")
    outputs = read.size("num_labels") or (len(labels) if isinstance(labels, dict) else 2)
    if name.endswith("ForProcessRewardModel"):
        return hidden * hidden + 2 * hidden
    if name == "Qwen2ForRewardModel":
        return hidden * hidden + hidden
    if name.endswith(("ForRewardModel", "ForPrmModel")):
        return hidden
    if name.endswith(("ForSequenceClassification", "ForTokenClassification")):
        return hidden * outputs
    return None


class _Reader:
    """Looks values up in a config, and names the file and the key where one is malformed."""

    def __init__(self, values: dict[str, Any], file: Path) -> None:
        self.values = values
        self.file = file

    def size(self, *names: str) -> int:
        """The first of the keys that is set, as a whole number; 0 where none is."""
        for name in names:
            value = self.values.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise UserError(f"{self.file}: {name} must be a whole number; correct the file or fetch it again")
            return value
        return 0

    def differs(self, hidden: int) -> bool:
        """Whether the layers hold something the formula does not describe."""
        latent = self.values.get("kv_lora_rank") is not None or self.values.get("q_lora_rank") is not None
        pruned = self.values.get("block_configs") is not None
        return latent or pruned or self.size("word_embed_proj_dim") not in (0, hidden)

    def windowed(self, family: str, layers: int) -> int | None:
        """How many layers attend to a sliding window only; None where a layer is neither windowed nor full."""
        kinds = self.values.get("layer_types")
        if isinstance(kinds, list):
            if not set(map(str, kinds)) <= {"full_attention", "sliding_attention"}:
                return None
            return kinds[:layers].count("sliding_attention") if self.size("sliding_window") else 0
        if not (self.size("sliding_window") and self.values.get("use_sliding_window", family not in _SWITCHED_WINDOW)):
            return 0
        if family in _SWITCHED_WINDOW:
            return max(0, layers - self.size("max_window_layers"))
        every = self.size("sliding_window_pattern", "_sliding_window_pattern") or _FULL_EVERY.get(family, 0)
        return layers - layers // every if every else layers

    def mixture(self, layers: int, width: int) -> dict[str, int]:
        """The fields of a mixture of experts; empty for a dense model."""
        experts = self.size("num_local_experts", "num_experts", "n_routed_experts")
        if not experts:
            return {}
        expert_width = self.size("moe_intermediate_size") or width
        shared = self.size("shared_expert_intermediate_size") or self.size("n_shared_experts") * expert_width
        dense = set(range(self.size("first_k_dense_replace")))
        listed = self.values.get("mlp_only_layers")
        dense |= {layer for layer in listed if isinstance(layer, int)} if isinstance(listed, list) else set()
        sparse_step = self.size("decoder_sparse_step") or 1
        mixed = [layer for layer in range(layers) if layer not in dense and (layer + 1) % sparse_step == 0]
        return {
            "experts": experts,
            "active_experts": self.size("num_experts_per_tok", "experts_per_token") or 1,
            "expert_width": expert_width,
            "shared_width": shared,
            "expert_layers": len(mixed),
        }
