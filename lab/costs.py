"""FLOPs of what the lab does, by the service's own formula (models/flops.py): canonical, each prompt read once."""

from __future__ import annotations

from transformers import LlamaForCausalLM

from models import flops
from models.architecture import Architecture


def architecture(model: LlamaForCausalLM) -> Architecture:
    config = model.config
    return Architecture(
        family="llama",
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        query_heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        mlp_width=config.intermediate_size,
        gated=True,
        vocabulary=config.vocab_size,
    )


def reading(shape: Architecture, tokens: int, context: int = 0, *, scored: int = 0) -> float:
    """Of reading `tokens` behind `context` others, with the logits of `scored` of them."""
    return flops.forward_flops(shape, tokens, context, scored)


def writing(shape: Architecture, tokens: int, context: int) -> float:
    """Of writing `tokens` behind `context` others, the last of which has yet to be fed."""
    return flops.forward_flops(shape, tokens, context - 1, tokens)


def weighted(tiny: Architecture, prm: Architecture, problem: str, texts: list[str]) -> float:
    """Of one sample, written and scored once at its end: the mean over `texts`. The prompt is left to the caller."""
    context = len(problem) + 2
    total = 0.0
    for text in texts:
        steps = text.count("\n") + 1
        total += flops.decode_flops(tiny, context, len(text) + 1)
        total += reading(prm, context + len(text) + steps, scored=1)
    return total / len(texts)
