"""The process reward model: what it is taught (the Math-Shepherd way: a label behind every step) and how it scores."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import torch
from transformers import LlamaForCausalLM

from lab.derivations import computed, valid_steps
from lab.precision import fast
from lab.text import END, RIGHT, START, STEP_TAG, WRONG, encode, prompt
from lab.training import IGNORED, Example
from strategies.aggregation import Aggregation

ROWS = 256
"""Candidates scored at once."""

AGGREGATION: Aggregation = "min"
"""Behind a wrong step the verifier comes to trust the right ones again, so that a solution is worth its least step."""

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


def labelled(problem: str, lines: Sequence[str]) -> Example:
    """Learn the label of every step, and on the way there of every character whether a right step can begin like that:
    a model that hears only behind a step that a digit of it was wrong does not find out how to compare."""
    return _taught(prompt(problem), lines, [0] * len(lines), valid_steps(problem, lines))


def drilled(lines: Sequence[str]) -> Example:
    """The same of the results of operations that have nothing to do with each other nor with any problem."""
    valid = ([f"{step.left}{step.operator}{step.right}={step.result}"] for step in map(computed, lines) if step)
    return _taught([START], lines, [line.index("=") for line in lines], valid)


def written(problem: str, lines: Sequence[str], lead: str) -> Example:
    """Learn to write the steps between the tags, where `lead` stands in front of the problem: what is not practised is
    forgotten, and who cannot tell what should stand there cannot compare it with what does."""
    asked = prompt(problem)
    tokens, spans = _tagged([asked[0], *encode(lead), *asked[1:]], lines)
    goals = [IGNORED] * len(tokens)
    for start, tag in spans:
        goals[start - 1 : tag - 1] = tokens[start:tag]
    return tokens, goals


def _taught(tokens: list[int], lines: Sequence[str], given: Iterable[int], valid: Iterable[Collection[str]]) -> Example:
    """`given`: how many characters of each line are not judged; `valid`: the lines that would be right in its place."""
    tokens, spans = _tagged(tokens, lines)
    goals = [IGNORED] * len(tokens)
    for (start, tag), line, first, steps in zip(spans, lines, given, valid, strict=True):
        for place in range(first, len(line)):
            begun = line[: place + 1]
            goals[start + place] = _LABELS[any(step.startswith(begun) for step in steps)]
        goals[tag] = _LABELS[line in steps]
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
