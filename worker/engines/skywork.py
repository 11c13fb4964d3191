"""Skywork's process reward models for vLLM: Qwen2 with a value head, under the names of the published weights.

vLLM does not know the class that their config.json names, and the code that came with them is never run. This one is
told to each of vLLM's processes by the entry point `vllm.general_plugins`, so that `vllm serve` knows it as well where
this package is installed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

ARCHITECTURE = "Qwen2ForPrmModel"


def register() -> None:
    """Make the class known to vLLM, which imports it when a model asks for it."""
    from vllm import ModelRegistry

    ModelRegistry.register_model(ARCHITECTURE, f"{__name__}:{ARCHITECTURE}")


def __getattr__(name: str) -> Any:
    if name == ARCHITECTURE:
        return _architecture()
    raise AttributeError(name)


@functools.cache
def _architecture() -> Any:
    import torch
    from vllm.model_executor.layers.pooler.tokwise import pooler_for_token_classify
    from vllm.model_executor.models.interfaces_base import default_pooling_type
    from vllm.model_executor.models.qwen2_rm import Qwen2RewardBaseModel

    @default_pooling_type(tok_pooling_type="ALL")
    class Qwen2ForPrmModel(Qwen2RewardBaseModel):  # type: ignore[misc, unused-ignore]
        """One value (a logit) at every token: a linear layer with a bias on the last hidden state."""

        def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
            model = vllm_config.model_config
            model.hf_config.num_labels = 1
            super().__init__(vllm_config=vllm_config, prefix=prefix)
            self.score = torch.nn.Linear(model.hf_config.hidden_size, 1, dtype=self.head_dtype)
            self.pooler = pooler_for_token_classify(model.pooler_config)

        def load_weights(self, weights: Iterable[tuple[str, Any]]) -> Any:
            return super().load_weights((name.replace("v_head.summary.", "score."), one) for name, one in weights)

    return Qwen2ForPrmModel
