"""vLLM in this process, with a head of labels: its pooling runner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.errors import UserError
from models.settings import ModelEntry
from strategies.protocols import Message, Pooled, TokenUsage
from worker.engines.request import too_long
from worker.engines.vllm import chat_tokens
from worker.engines.vllmcore import Core, start_core


class VllmPooler:
    """Logits as the head gives them. The prefix cache is never read: its tokens would have none."""

    def __init__(self, name: str, core: Core, task: str) -> None:
        self.name = name
        self.context_length = core.context_length
        self.beginning: str | None = core.tokenizer.bos_token
        self._core = core
        self._task = task

    async def encode(self, messages: Sequence[Message]) -> tuple[int, ...]:
        return chat_tokens(self._core.tokenizer, messages, open_turn=False)

    async def tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(self._core.tokenizer(text)["input_ids"])

    async def pool(self, tokens: Sequence[int]) -> Pooled:
        if len(tokens) > self.context_length:
            raise too_long(len(tokens), self.context_length)
        prompt = {"type": "token", "prompt_token_ids": list(tokens)}
        async with self._core.slots:
            output = await self._core.final(
                lambda engine, number: engine.encode(prompt, _parameters(self._task), number)
            )
        found = output.outputs.data.float()
        rows = found.reshape(-1, found.shape[-1]).tolist()
        return Pooled(tuple(map(tuple, rows)), TokenUsage(len(output.prompt_token_ids), output.num_cached_tokens, 0))

    async def close(self) -> None:
        await self._core.close()


def _parameters(task: str) -> Any:
    from vllm import PoolingParams

    return PoolingParams(task=task, use_activation=False, skip_reading_prefix_cache=True)


async def start_pooler(name: str, entry: ModelEntry) -> VllmPooler:
    """Load the model; from seconds to minutes.

    Raises:
        UserError: the model or an engine argument is wrong, does not fit this machine, or has no head of that kind.
    """
    task = "classify" if entry.format == "orm" else "token_classify"
    # All tokens: which are tags is known here, and vLLM's own choice is the published tokenizer's.
    core = await start_core(name, entry, runner="pooling", pooler_config={"task": task, "tok_pooling_type": "ALL"})
    offered = await core.engine.get_supported_tasks()
    if task not in offered:
        await core.close()
        raise UserError(f"{name}: {entry.model} is no {entry.format} model (vLLM offers {', '.join(offered)} of it)")
    return VllmPooler(name, core, task)
