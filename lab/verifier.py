"""The process reward model: what it is taught (the Math-Shepherd way: a label behind every step) and how it scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LlamaForCausalLM

from lab.derivations import computed, labels
from lab.precision import fast
from lab.text import END, RIGHT, START, STEP_TAG, WRONG, encode, prompt
from lab.training import IGNORED, Example

ROWS = 256
"""Candidates scored at once."""

_LABELS = (ord(WRONG), ord(RIGHT))


def _tagged(tokens: list[int], lines: Sequence[str]) -> tuple[list[int], list[tuple[int, int]]]:
    """`tokens` and the lines with a tag behind each, and for each line where it starts and where its tag is."""
    spans = []
    for line in lines:
        start = len(tokens)
        tokens += encode(line + STEP_TAG)
        spans.append((start, len(tokens) - 1))
        tokens += encode("\n")
    return tokens, spans


def labelled(problem: str | None, lines: Sequence[str], right: Sequence[bool]) -> Example:
    """Learn the label of every step, and on the way there, of a step that computes an operation, whether all is right
    up to its equals sign and up to each of its result's digits: a model that hears of a wrong digit only behind the
    step does not find out how to compare.

    It does not learn to write the results as well: it would go on computing them up to its last layer, and have none
    left for the comparison. Without a problem the steps have nothing to do with each other.
    """
    tokens, spans = _tagged([START] if problem is None else prompt(problem), lines)
    goals = [IGNORED] * len(tokens)
    for index, ((start, tag), line, label) in enumerate(zip(spans, lines, right, strict=True)):
        goals[tag] = _LABELS[label]
        if step := computed(line):
            corrected = f"{step.left}{step.operator}{step.right}={step.result}"
            begun = (
                label or problem is None or (all(right[:index]) and labels(problem, [*lines[:index], corrected])[-1])
            )
            equals = start + line.index("=")
            for place in range(len(step.written) + 1):
                fits = str(step.result).startswith(step.written[:place])
                goals[equals + place] = _LABELS[begun and fits]
    return tokens, goals


@torch.inference_mode()
def scores(model: LlamaForCausalLM, candidates: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
    """For each (problem, lines) one score in [0, 1] per line: the probability that all up to it is right."""
    order = sorted(range(len(candidates)), key=lambda i: sum(map(len, candidates[i][1])))
    found: list[list[float]] = [[] for _ in candidates]
    for start in range(0, len(order), ROWS):
        chunk = order[start : start + ROWS]
        tagged = [_tagged(prompt(candidates[i][0]), candidates[i][1]) for i in chunk]
        longest = max(len(tokens) for tokens, _ in tagged)
        read = torch.tensor([tokens + [END] * (longest - len(tokens)) for tokens, _ in tagged], device=model.device)
        with fast(model.device.type):
            hidden = model.model(input_ids=read, use_cache=False).last_hidden_state
            rows = [row for row, (_, spans) in enumerate(tagged) for _ in spans]
            tags = [tag for _, spans in tagged for _, tag in spans]
            logits = model.lm_head(hidden[rows, tags])[:, list(_LABELS)]
        flat = iter(torch.softmax(logits.float(), -1)[:, 1].tolist())
        for index, (_, spans) in zip(chunk, tagged, strict=True):
            found[index] = [next(flat) for _ in spans]
    return found
