"""Reward models as small as they can be, with random weights, in the architectures of the published ones.

One tokenizer of bytes for them all, in which every tag and label is one token; beside each folder's path there is a plain
transformers forward pass over token ids: one row of logits a token.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Model,
)

SPECIAL = ["<|begin|>", "<|end|>", "<extra_0>"]
CHAT = (
    "{% for message in messages %}{{ '<|begin|>' + message['role'] + '\n' + message['content'] + '<|end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|begin|>assistant\n' }}{% endif %}"
)
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": False,
    "initializer_range": 0.2,
}

Forward = Callable[[Sequence[int]], torch.Tensor]


@dataclass(frozen=True, slots=True)
class RewardModel:
    folder: Path
    tokenizer: PreTrainedTokenizerFast
    forward: Forward
    """(token ids) -> logits [tokens, labels or vocabulary]"""


def byte_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Bytes, as Qwen and Llama 3 have them, unmerged."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: place for place, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    return _saved(
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|begin|>", chat_template=CHAT), folder
    )


def mistral_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Characters, a word's first with the space before it, and " ки" as one token: no chat template."""
    letters = [chr(code) for code in range(33, 127)] + ["\n", "▁", "к", "и", "▁к"]
    merges = [("▁", "к"), ("▁к", "и"), ("▁", "+"), ("▁", "-")]
    tokens = ["<unk>", "<s>", *letters, "▁ки", "▁+", "▁-"]
    tokenizer = Tokenizer(models.BPE({text: place for place, text in enumerate(tokens)}, merges, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(Regex(" "), "▁")])
    tokenizer.decoder = decoders.Metaspace()
    return _saved(PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>"), folder)


def _saved(tokenizer: PreTrainedTokenizerFast, folder: Path) -> PreTrainedTokenizerFast:
    tokenizer.save_pretrained(folder)
    return tokenizer


def math_shepherd(folder: Path) -> RewardModel:
    tokenizer = mistral_tokenizer(folder)
    torch.manual_seed(1)
    model = MistralForCausalLM(MistralConfig(vocab_size=len(tokenizer), sliding_window=None, **SHAPE)).eval()
    model.save_pretrained(folder)
    return RewardModel(folder, tokenizer, lambda tokens: model(torch.tensor([tokens])).logits[0])


def rlhflow(folder: Path) -> RewardModel:
    tokenizer = byte_tokenizer(folder)
    torch.manual_seed(2)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **SHAPE)).eval()
    model.save_pretrained(folder)
    return RewardModel(folder, tokenizer, lambda tokens: model(torch.tensor([tokens])).logits[0])


def orm(folder: Path) -> RewardModel:
    tokenizer = byte_tokenizer(folder)
    torch.manual_seed(3)
    config = LlamaConfig(vocab_size=len(tokenizer), num_labels=1, pad_token_id=0, **SHAPE)
    model = LlamaForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    return RewardModel(folder, tokenizer, lambda tokens: model(torch.tensor([tokens])).logits)


def qwen_prm(folder: Path) -> RewardModel:
    """Qwen2.5-Math-PRM: two layers on the last hidden state; its class came with the weights."""
    tokenizer = byte_tokenizer(folder)
    torch.manual_seed(4)
    config = Qwen2Config(vocab_size=len(tokenizer), architectures=["Qwen2ForProcessRewardModel"], **SHAPE)
    model, width = Qwen2Model(config).eval(), config.hidden_size
    head = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, 2))
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    _save(folder, config, weights | {f"score.{name}": value for name, value in head.state_dict().items()})
    return RewardModel(folder, tokenizer, lambda tokens: head(model(torch.tensor([tokens])).last_hidden_state[0]))


def skywork(folder: Path) -> RewardModel:
    """Skywork-o1-Open-PRM: a causal model with its head left in, and a value head beside it."""
    tokenizer = byte_tokenizer(folder)
    torch.manual_seed(5)
    config = Qwen2Config(vocab_size=len(tokenizer), architectures=["Qwen2ForPrmModel"], **SHAPE)
    model, value = Qwen2ForCausalLM(config).eval(), torch.nn.Linear(config.hidden_size, 1)
    weights = {**model.state_dict(), "v_head.summary.weight": value.weight, "v_head.summary.bias": value.bias}
    _save(folder, config, weights)
    return RewardModel(
        folder, tokenizer, lambda tokens: value(model.model(torch.tensor([tokens])).last_hidden_state[0])
    )


def _save(folder: Path, config: Qwen2Config, weights: dict[str, torch.Tensor]) -> None:
    save_file({name: value.detach().contiguous() for name, value in weights.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({**config.to_dict(), "dtype": "float32"}))
