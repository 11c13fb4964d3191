"""Solutions drawn from a model in large batches: what verifiers and revisions are trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import cross_entropy
from transformers import DynamicCache, LlamaForCausalLM
from transformers.cache_utils import DynamicLayer

from lab.precision import fast
from lab.text import END, decode, encode
from lab.training import IGNORED, next_token

ROWS = 1024
"""Sequences drawn at once."""

STILL_GOING = 0.9
"""Below this share of unfinished rows the others are taken out: copying the cache for each would cost more."""

ROOM = 64
"""Tokens that a cache grows by."""


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values with room for the next tokens: the library's own are copied as a whole at every token."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: torch.Tensor
        self.values: torch.Tensor
        self._rooms: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        key_states = key_states.to(value_states.dtype)  # rotation leaves them in single precision
        used, more = self.get_seq_length(), key_states.shape[-2]
        if not self._rooms or used + more > self._rooms[0].shape[-2]:
            rows, heads, _, width = key_states.shape
            self._rooms = [new.new_empty(rows, heads, used + more + ROOM, width) for new in (key_states, value_states)]
            for room, old in zip(self._rooms, (self.keys, self.values), strict=True):
                room[:, :, :used] = old if used else 0
        for room, new in zip(self._rooms, (key_states, value_states), strict=True):
            room[:, :, used : used + more] = new
        self.keys, self.values = (room[:, :, : used + more] for room in self._rooms)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        super().batch_select_indices(indices)
        self._rooms = []


@torch.inference_mode()
def draw(
    model: LlamaForCausalLM,
    prompts: Sequence[list[int]],
    *,
    n: int,
    temperature: float,
    seed: int,
    stop: int = END,
    longest: int = 600,
) -> list[list[str]]:
    """n completions for every prompt; temperature 0 is greedy.

    A completion ends with the model's end, with the token `stop` (which stays in its text), or after `longest` tokens.
    """
    torch.manual_seed(seed)
    rows = sorted((index for index in range(len(prompts)) for _ in range(n)), key=lambda index: len(prompts[index]))
    found: list[list[str]] = [[] for _ in prompts]
    for start in range(0, len(rows), ROWS):
        chunk = rows[start : start + ROWS]
        texts = _complete(model, [prompts[index] for index in chunk], temperature, stop, longest)
        for index, text in zip(chunk, texts, strict=True):
            found[index].append(text)
    return found


def _complete(
    model: LlamaForCausalLM, prompts: list[list[int]], temperature: float, stop: int, longest: int
) -> list[str]:
    """One completion for each prompt. Rows that have ended leave the batch from time to time."""
    cache = DynamicCache(config=model.config)
    cache.layers = [_RoomyLayer() for _ in cache.layers]
    widest = max(map(len, prompts))
    read = torch.tensor([[END] * (widest - len(tokens)) + tokens for tokens in prompts], device=model.device)
    seen = torch.tensor([[0] * (widest - len(tokens)) + [1] * len(tokens) for tokens in prompts], device=model.device)
    written: list[list[int]] = [[] for _ in prompts]
    rows = torch.arange(len(prompts), device=model.device)
    going = torch.ones_like(rows, dtype=torch.bool)
    for _ in range(longest):
        places = (seen.cumsum(1) - 1).clamp(min=0)[:, -read.shape[1] :]
        with fast(model.device.type):
            logits = model(
                input_ids=read,
                attention_mask=seen,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
        if temperature:
            chosen = torch.multinomial(torch.softmax(logits.float() / temperature, -1), 1)[:, 0]
        else:
            chosen = logits.argmax(-1)
        for row, token in zip(rows[going].tolist(), chosen[going].tolist(), strict=True):
            written[row].append(token)
        going &= (chosen != END) & (chosen != stop)
        if not going.any():
            break
        if going.float().mean() < STILL_GOING:
            cache.batch_select_indices(going.nonzero()[:, 0])
            rows, chosen, seen, going = rows[going], chosen[going], seen[going], going[going]
        read = chosen[:, None]
        seen = torch.cat([seen, torch.ones_like(read)], 1)
    return [decode(tokens) for tokens in written]


@torch.inference_mode()
def mean_logprobs(model: LlamaForCausalLM, pairs: Sequence[tuple[list[int], str]]) -> list[float]:
    """For each (prompt, completion) the mean log-probability of the completion's tokens, in nats."""
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
    found = [0.0] * len(pairs)
    for start in range(0, len(order), ROWS):
        chunk = order[start : start + ROWS]
        rows = [next_token(pairs[i][0], [*encode(pairs[i][1]), END]) for i in chunk]
        longest = max(len(tokens) for tokens, _ in rows)
        read = torch.tensor([tokens + [END] * (longest - len(tokens)) for tokens, _ in rows], device=model.device)
        goal = torch.tensor([goals + [IGNORED] * (longest - len(goals)) for _, goals in rows], device=model.device)
        with fast(model.device.type):
            logits = model(input_ids=read, use_cache=False).logits.float()
        losses = cross_entropy(logits.transpose(1, 2), goal, ignore_index=IGNORED, reduction="none")
        means = -losses.sum(1) / (goal != IGNORED).sum(1)
        for index, value in zip(chunk, means.tolist(), strict=True):
            found[index] = value
    return found
