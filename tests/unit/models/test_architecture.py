import json
import struct
from pathlib import Path
from typing import Any

import pytest

from models.architecture import Architecture, read_architecture
from models.errors import UserError

SMOLLM2: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
}
QWEN3_MOE: dict[str, Any] = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "decoder_sparse_step": 1,
    "head_dim": 128,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "max_window_layers": 48,
    "mlp_only_layers": [],
    "moe_intermediate_size": 768,
    "num_attention_heads": 32,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 48,
    "num_key_value_heads": 4,
    "sliding_window": None,
    "use_sliding_window": False,
    "vocab_size": 151936,
}
GEMMA3_4B: dict[str, Any] = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "model_type": "gemma3",
    "text_config": {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "sliding_window": 1024,
    },
    "vision_config": {"hidden_size": 1152, "num_hidden_layers": 27},
}


def read(folder: Path, config: dict[str, Any]) -> Architecture | None:
    (folder / "config.json").write_text(json.dumps(config))
    return read_architecture(folder)


def known(folder: Path, config: dict[str, Any]) -> Architecture:
    arch = read(folder, config)
    assert arch is not None
    return arch


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf(values: dict[str, Any], version: int = 3) -> bytes:
    """The head of a GGUF file that holds these values."""
    data = b"GGUF" + struct.pack("<IQQ", version, 0, len(values))
    for key, value in values.items():
        data += string(key)
        if isinstance(value, str):
            data += struct.pack("<I", 8) + string(value)
        elif isinstance(value, float):
            data += struct.pack("<If", 6, value)
        elif isinstance(value, int):
            data += struct.pack("<II", 4, value)
        elif isinstance(value[0], str):
            data += struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(string, value))
        else:
            data += struct.pack("<IIQ", 9, 4, len(value)) + struct.pack(f"<{len(value)}I", *value)
    return data


SMOLLM2_GGUF: dict[str, Any] = {
    "general.architecture": "llama",
    "tokenizer.ggml.tokens": [f"token {i} ü" for i in range(49152)],
    "tokenizer.ggml.token_type": [1] * 49152,
    "llama.block_count": 30,
    "llama.embedding_length": 576,
    "llama.feed_forward_length": [1536] * 30,
    "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3,
    "llama.rope.freq_base": 1e5,
}


def test_a_llama_config_gives_its_sizes(tmp_path: Path) -> None:
    arch = known(tmp_path, SMOLLM2)
    assert (arch.layers, arch.hidden, arch.query_heads, arch.kv_heads, arch.head_dim) == (30, 576, 9, 3, 64)
    assert (arch.mlp_width, arch.gated, arch.vocabulary, arch.logits) == (1536, True, 49152, True)
    assert arch.parameters == 106_168_320
    assert arch.source == str(tmp_path / "config.json")
    assert read_architecture(tmp_path / "config.json") == arch


def test_json_storage_round_trips(tmp_path: Path) -> None:
    arch = known(tmp_path, QWEN3_MOE)
    again = Architecture.from_dict(json.loads(json.dumps(arch.to_dict())))
    assert again == arch
    assert again.source == arch.source


def test_a_mixture_counts_the_router_and_the_active_experts(tmp_path: Path) -> None:
    arch = known(tmp_path, QWEN3_MOE)
    assert (arch.experts, arch.active_experts, arch.expert_width, arch.expert_layers) == (128, 8, 768, 48)
    attention = 2048 * (32 + 8) * 128 + 32 * 128 * 2048
    assert arch.parameters == 48 * (attention + 2048 * 128 + 3 * 2048 * 8 * 768)


def test_a_mixture_with_dense_layers_and_shared_experts(tmp_path: Path) -> None:
    changes = {"mlp_only_layers": [0], "decoder_sparse_step": 2, "shared_expert_intermediate_size": 3072}
    arch = known(tmp_path, QWEN3_MOE | changes | {"model_type": "qwen2_moe"})
    assert (arch.expert_layers, arch.shared_width) == (24, 3072)
    attention = 2048 * (32 + 8) * 128 + 32 * 128 * 2048
    mixture = 2048 * 128 + 3 * 2048 * (8 * 768 + 3072)
    assert arch.parameters == 48 * attention + 24 * mixture + 24 * 3 * 2048 * 6144


def test_mixtral_experts_have_the_width_of_the_block(tmp_path: Path) -> None:
    config = {**SMOLLM2, "model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
    arch = known(tmp_path, config)
    assert (arch.experts, arch.active_experts, arch.expert_width, arch.expert_layers) == (8, 2, 1536, 30)


def test_gpt2_has_its_own_keys_and_no_gate(tmp_path: Path) -> None:
    config = {"model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12, "vocab_size": 50257, "n_inner": None}
    arch = known(tmp_path, config)
    assert (arch.gated, arch.mlp_width, arch.kv_heads, arch.head_dim) == (False, 3072, 12, 64)
    assert arch.parameters == 12 * 12 * 768 * 768


@pytest.mark.parametrize(
    ("changes", "window", "layers"),
    [
        ({"model_type": "mistral", "sliding_window": 4096}, 4096, 30),
        ({"model_type": "mistral", "sliding_window": None}, None, 0),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}, None, 0),
        ({"model_type": "qwen2", "sliding_window": 4096}, None, 0),
        ({"model_type": "qwen2", "sliding_window": 99, "use_sliding_window": True, "max_window_layers": 21}, 99, 9),
        ({"model_type": "gemma2"}, 4096, 15),
        ({"model_type": "gemma3_text", "sliding_window": 512, "sliding_window_pattern": 6}, 512, 25),
        ({"model_type": "gemma3_text", "layer_types": ["sliding_attention", "full_attention"] * 15}, 4096, 15),
        ({"model_type": "smollm3", "sliding_window": 4096, "use_sliding_window": False}, None, 0),
    ],
)
def test_sliding_windows_are_counted_by_layer(
    tmp_path: Path, changes: dict[str, Any], window: int | None, layers: int
) -> None:
    arch = known(tmp_path, SMOLLM2 | changes)
    assert (arch.sliding_window, arch.sliding_layers) == (window, layers)


def test_the_text_part_of_a_multimodal_config_is_read(tmp_path: Path) -> None:
    arch = known(tmp_path, GEMMA3_4B)
    assert (arch.family, arch.layers, arch.query_heads, arch.kv_heads, arch.head_dim) == ("gemma3_text", 34, 8, 4, 256)
    assert (arch.vocabulary, arch.sliding_window, arch.sliding_layers, arch.logits) == (262208, 1024, 29, True)


@pytest.mark.parametrize(
    ("architecture", "extra", "weights"),
    [
        ("Qwen2ForProcessRewardModel", {}, 576 * 576 + 2 * 576),
        ("Qwen2ForRewardModel", {}, 576 * 576 + 576),
        ("Qwen2ForPrmModel", {}, 576),
        ("LlamaForSequenceClassification", {"id2label": {"0": "LABEL_0"}}, 576),
        ("LlamaForTokenClassification", {}, 2 * 576),
        ("InternLM2ForRewardModel", {}, 576),
    ],
)
def test_a_scoring_head_replaces_the_vocabulary(
    tmp_path: Path, architecture: str, extra: dict[str, Any], weights: int
) -> None:
    arch = known(tmp_path, {**SMOLLM2, "architectures": [architecture], **extra})
    assert (arch.logits, arch.head_parameters) == (False, weights)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "mamba", "hidden_size": 768, "num_hidden_layers": 32, "vocab_size": 50280},
        {"model_type": "rwkv", "hidden_size": 768, "num_hidden_layers": 32, "vocab_size": 50277},
        SMOLLM2 | {"model_type": "deepseek_v3", "kv_lora_rank": 512},
        SMOLLM2 | {"kv_lora_rank": 512},
        SMOLLM2 | {"block_configs": [{}]},
        SMOLLM2 | {"layer_types": ["linear_attention", "full_attention"]},
        SMOLLM2 | {"architectures": ["LlamaForSomethingElse"]},
        SMOLLM2 | {"hidden_size": None},
        SMOLLM2 | {"intermediate_size": None},
        {},
    ],
)
def test_what_the_formula_does_not_describe_is_unknown(tmp_path: Path, config: dict[str, Any]) -> None:
    assert read(tmp_path, config) is None


@pytest.mark.parametrize("version", [2, 3])
def test_a_gguf_header_gives_the_same_sizes_as_the_config(tmp_path: Path, version: int) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(gguf(SMOLLM2_GGUF, version) + b"\0" * 64)
    assert read_architecture(file) == known(tmp_path, SMOLLM2)


def test_a_gguf_mixture_of_the_llama_family(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(gguf(SMOLLM2_GGUF | {"llama.expert_count": 8, "llama.expert_used_count": 2}))
    config = {**SMOLLM2, "model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
    assert read_architecture(file) == known(tmp_path, config)


@pytest.mark.parametrize(
    "changes",
    [
        {"general.architecture": "mamba"},
        {"llama.attention.head_count_kv": [3] * 29 + [1]},
        {"llama.attention.key_length": 192, "llama.attention.value_length": 128},
    ],
)
def test_a_gguf_model_of_unequal_layers_is_unknown(tmp_path: Path, changes: dict[str, Any]) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(gguf(SMOLLM2_GGUF | changes))
    assert read_architecture(file) is None


@pytest.mark.parametrize("version", [1, 99])
def test_a_gguf_file_of_another_version_is_refused(tmp_path: Path, version: int) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(gguf({"general.architecture": "llama"}, version))
    with pytest.raises(UserError, match=r"model\.gguf: the GGUF header"):
        read_architecture(file)


def test_a_gguf_header_cut_anywhere_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    whole = gguf({"general.architecture": "llama", "a": ["x", "yy"], "b": [1, 2, 3], "llama.block_count": 30})
    for size in range(4, len(whole)):
        file.write_bytes(whole[:size])
        with pytest.raises(UserError, match="cut short"):
            read_architecture(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: not valid JSON"),
        ("[1]", "a JSON object is expected"),
        ("\x00\xff", "not valid JSON"),
        ("", "not valid JSON"),
        (json.dumps(SMOLLM2 | {"hidden_size": "576"}), "hidden_size must be a whole number"),
        (json.dumps(SMOLLM2 | {"num_hidden_layers": -1}), "num_hidden_layers must be a whole number"),
        (json.dumps(SMOLLM2 | {"vocab_size": True}), "vocab_size must be a whole number"),
    ],
)
def test_a_malformed_config_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=rf"config\.json: .*{message}"):
        read_architecture(tmp_path)


def test_a_directory_without_a_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json: no such file; name a model directory"):
        read_architecture(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        read_architecture(tmp_path / "absent.gguf")
