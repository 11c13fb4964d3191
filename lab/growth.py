"""Larger models that at first compute exactly what a smaller one does (Net2Net, Chen et al., 1511.05641, section 2)."""

from __future__ import annotations

import torch
from transformers import LlamaForCausalLM

UNLIKE = 0.5
"""Spread of what tells the copies of a unit apart, in standard deviations of the matrix it is added to."""

LOOKS_BACK = 2
"""The layer of `tiny` of whose three heads two look one place back from a digit most of the time, as a new layer has to
that is to compare the digit with what was expected there."""


@torch.no_grad()
def widen(small: LlamaForCausalLM, wide: LlamaForCausalLM) -> None:
    """Fill `wide`, of as many layers and a whole multiple of the width, so that its logits are those of `small`.

    Every unit of the residual stream, every head and every MLP neuron stands there in several copies, and what reads
    them shares its weights among the copies. Random numbers that sum to zero over the copies are added to the shares:
    they change nothing until training moves the copies apart, which equal shares would keep alike for ever.
    """
    times = wide.config.hidden_size // small.config.hidden_size
    target = wide.state_dict()
    for name, weight in small.state_dict().items():
        if weight.ndim == 1:
            # The output's matrix is the embedding's, so its sum over the copies is taken back here.
            grown = weight.repeat(times) / (times if name == "model.norm.weight" else 1)
        elif name in ("model.embed_tokens.weight", "lm_head.weight"):
            grown = weight.repeat(1, times)
        else:
            noise = torch.randn(weight.shape[0] * times, times, weight.shape[1]) * weight.std().cpu() * UNLIKE
            noise -= noise.mean(dim=1, keepdim=True)
            grown = weight.repeat(times, times) / times + noise.flatten(1).to(weight.device)
        target[name].copy_(grown)


@torch.no_grad()
def deepen(small: LlamaForCausalLM, deep: LlamaForCausalLM) -> None:
    """Fill `deep`, of the same width and more layers, so that its logits are those of `small`: the layers on top see
    what its layer `LOOKS_BACK` sees, and add nothing until training makes them."""
    deep.load_state_dict(small.state_dict(), strict=False)
    for layer in deep.model.layers[small.config.num_hidden_layers :]:
        layer.load_state_dict(small.model.layers[LOOKS_BACK].state_dict())
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
