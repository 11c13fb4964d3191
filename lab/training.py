"""One training loop for every model of the family: Muon for the matrices, AdamW for the rest."""

from __future__ import annotations

import itertools
import math
import random
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from lab.muon import Muon
from lab.precision import fast
from lab.text import END, LONGEST, START, VOCABULARY, encode

IGNORED = -100
POOL = 32
"""Batches that are sorted by length together, so that little is padded."""

WORTH_COMPILING = 100
"""Steps from which on a compiled model, nearly twice as fast, makes up for the minute that compiling takes."""

Example = tuple[list[int], list[int]]
"""Tokens, and for each the token to be predicted behind it (IGNORED: no loss there)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Layers and width of a model; heads are 32 wide, the MLP 8/3 of the width."""

    layers: int
    width: int

    def new(self, seed: int) -> LlamaForCausalLM:
        torch.manual_seed(seed)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=VOCABULARY,
                hidden_size=self.width,
                intermediate_size=round(self.width * 8 / 3 / 32) * 32,
                num_hidden_layers=self.layers,
                num_attention_heads=self.width // 32,
                num_key_value_heads=self.width // 32,
                max_position_embeddings=LONGEST,
                tie_word_embeddings=True,
                bos_token_id=START,
                eos_token_id=END,
                pad_token_id=END,
            )
        )
        # On the CPU the fused attention's backward pass takes twice as long as all the rest together.
        model.set_attn_implementation("eager")
        return model


def next_token(prefix: list[int], rest: list[int]) -> Example:
    """Learn to write `rest` behind `prefix`."""
    tokens = prefix + rest
    return tokens[:-1], [IGNORED] * (len(prefix) - 1) + rest


def results(lines: list[str], lead: str = "") -> Example:
    """Learn to write what stands behind the equals sign of each of some steps that have nothing to do with each other;
    `lead` stands in front of them."""
    tokens, goals = [START, *encode(lead)], [IGNORED] * len(lead)
    for line in lines:
        left_hand, right_hand = line.split("=", 1)
        given, learned = encode(f"{left_hand}="), encode(f"{right_hand}\n")
        goals += [IGNORED] * len(given) + learned
        tokens += given + learned
    return tokens[:-1], goals


def fit(
    model: LlamaForCausalLM, examples: Iterable[Example], *, steps: int, tokens: int, peak: float, name: str
) -> float:
    """Train for `steps` batches of about `tokens` tokens, the learning rate falling from `peak` by a cosine; what needs
    no gradient stays as it is.

    Returns:
        The mean loss of the last twentieth of the steps, in nats per predicted token.
    """
    learned = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    matrices = [p for n, p in learned.items() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in learned.items() if p.ndim != 2 or "embed" in n]
    muon = Muon(matrices, momentum=0.95, weight_decay=0.01)
    adam = torch.optim.AdamW(rest, lr=peak, betas=(0.9, 0.98), weight_decay=0.0)
    model.train()
    decoder = model.model
    if steps >= WORTH_COMPILING and shutil.which("c++"):
        decoder = torch.compile(decoder, dynamic=True)
    losses: list[float] = []
    started = time.monotonic()
    for step, batch in enumerate(itertools.islice(_batches(examples, tokens), steps)):
        rate = peak * min(1.0, (step + 1) / 50) * (0.02 + 0.98 * (1 + math.cos(math.pi * step / steps)) / 2)
        model.zero_grad()
        losses.append(_loss(model, decoder, batch))
        torch.nn.utils.clip_grad_norm_(learned.values(), 1.0)
        muon.step(rate)
        adam.param_groups[0]["lr"] = rate
        adam.step()
        if step % 50 == 49:
            recent = sum(losses[-50:]) / 50
            print(
                f"{name}: step {step + 1} of {steps}, loss {recent:.4f}, {time.monotonic() - started:.0f} s", flush=True
            )
    model.eval()
    last = losses[-max(1, steps // 20) :]
    return sum(last) / len(last)


def _loss(model: LlamaForCausalLM, decoder: Callable[..., Any], batch: list[Example]) -> float:
    longest = max(len(tokens) for tokens, _ in batch)
    read = torch.tensor([tokens + [END] * (longest - len(tokens)) for tokens, _ in batch], device=model.device)
    wanted = torch.tensor([goal + [IGNORED] * (longest - len(goal)) for _, goal in batch], device=model.device)
    with fast(model.device.type):
        # Padding stands behind the text and attention looks back only, so no mask is needed.
        hidden = decoder(input_ids=read, use_cache=False).last_hidden_state
        kept = wanted != IGNORED
        logits = model.lm_head(hidden[kept])
    loss = cross_entropy(logits.float(), wanted[kept])
    loss.backward()
    return float(loss.detach())


def _batches(examples: Iterable[Example], tokens: int) -> Iterator[list[Example]]:
    """Batches of about `tokens` tokens, padding included, of examples of like length, in random order."""
    rng, source = random.Random(0), iter(examples)
    while True:
        pool: list[Example] = []
        size = 0
        while size < POOL * tokens:
            example = next(source)
            pool.append(example)
            size += len(example[0])
        pool.sort(key=lambda example: len(example[0]))
        batches: list[list[Example]] = [[]]
        for example in pool:
            if len(example[0]) * (len(batches[-1]) + 1) > tokens and batches[-1]:
                batches.append([])
            batches[-1].append(example)
        rng.shuffle(batches)
        yield from batches
