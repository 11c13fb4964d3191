"""One set of weights in two formats: a Hugging Face directory and a GGUF file beside it."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from lab.text import AGAIN, END, FILLER, LONGEST, START, VOCABULARY

START_TEXT, END_TEXT = "<s>", "</s>"
_ZERO = bytes_to_unicode()[0]

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'assistant' %}{{ message.content + '\\n" + AGAIN + "\\n' }}"
    "{% elif loop.first %}{{ message.content + '\\n' }}{% endif %}{% endfor %}"
)
"""The first turn is the problem, an assistant's turn is an earlier attempt; what else is said is not read."""

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def save(model: LlamaForCausalLM, name: str, folder: Path, *, eight_bits: bool = False) -> None:
    """Write `folder` (config.json, model.safetensors, the tokenizer's files) and `model.gguf` in it, in half precision,
    or the latter's matrices in eight bits a weight (Q8_0)."""
    half = model.to("cpu", torch.float16)
    half.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    _write_gguf(half, name, folder / "model.gguf", eight_bits)
    (folder / "model.safetensors").chmod(0o644)  # the library lets only its owner read it


def _vocabulary() -> dict[str, int]:
    return {text: byte for byte, text in bytes_to_unicode().items()} | {
        START_TEXT: START,
        END_TEXT: END,
        _ZERO + _ZERO: FILLER,
    }


def _tokenizer() -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE(vocab=_vocabulary(), merges=[(_ZERO, _ZERO)]))
    inner.add_special_tokens([START_TEXT, END_TEXT])
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    inner.post_processor = processors.TemplateProcessing(
        single=f"{START_TEXT} $A", pair=f"{START_TEXT} $A $B", special_tokens=[(START_TEXT, START)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=START_TEXT,
        eos_token=END_TEXT,
        chat_template=CHAT_TEMPLATE,
        model_max_length=LONGEST,
        clean_up_tokenization_spaces=False,
    )


def _write_gguf(model: LlamaForCausalLM, name: str, path: Path, eight_bits: bool) -> None:
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if eight_bits else gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(VOCABULARY)
    writer.add_context_length(LONGEST)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    _add_tokenizer(writer)
    for key, tensor in model.model.state_dict().items():
        values = _gguf_values(key, tensor, config.num_attention_heads)
        if eight_bits and values.ndim > 1:
            packed = gguf.quantize(values.astype(np.float32), gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(gguf_name(key), packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(gguf_name(key), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter) -> None:
    tokens = sorted(_vocabulary(), key=_vocabulary().__getitem__)
    kinds = [gguf.TokenType.NORMAL] * VOCABULARY
    kinds[START] = kinds[END] = gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([f"{_ZERO} {_ZERO}"])
    writer.add_bos_token_id(START)
    writer.add_eos_token_id(END)
    writer.add_add_bos_token(True)
    writer.add_chat_template(CHAT_TEMPLATE)


def gguf_name(key: str) -> str:
    """What llama.cpp calls a tensor that transformers calls `key`."""
    if key.startswith("layers."):
        _, layer, rest = key.split(".", 2)
        return f"blk.{layer}.{_NAMES[rest.removesuffix('.weight')]}.weight"
    return {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}[key]


def _gguf_values(key: str, tensor: torch.Tensor, heads: int) -> np.ndarray:
    values: np.ndarray = tensor.numpy()
    if key.endswith(("q_proj.weight", "k_proj.weight")):
        # llama.cpp rotates neighbouring pairs of rows, transformers the two halves of a head.
        rows, columns = values.shape
        values = values.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    values = np.ascontiguousarray(values) if values.ndim > 1 else values.astype(np.float32)
    return values
