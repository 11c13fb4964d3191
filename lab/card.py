"""The shipped weights and their model card: what the family can do on held-out problems, and which files it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import pstdev

import torch
from transformers import LlamaForCausalLM

from lab import costs, formats
from lab.measure import GAINS, SIZES, Measured, by_level, gain, greedy, judge, measure, missteps, right
from lab.problems import Problem
from lab.replay import Figure, explained_by_length, figure

WEIGHTS = Path("models/weights")
CARD = "MODEL_CARD.md"
LARGEST = "tiny-large"
"""Its GGUF has eight bits a weight, or all files together would exceed the 25 MB that a package may well carry."""
TYPICAL = 60
"""Tokens behind which a solution's middle stands, its prompt's included."""


def ship(family: Mapping[str, LlamaForCausalLM], folder: Path = WEIGHTS) -> None:
    """Write every model in both formats."""
    for name, model in family.items():
        formats.save(model, name, folder / name, eight_bits=name == LARGEST)


def shipped(name: str, folder: Path = WEIGHTS) -> LlamaForCausalLM:
    """A model as it is shipped."""
    model: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(folder / name, dtype=torch.float32)
    model.set_attn_implementation("eager")
    return model.eval()


def checksums(folder: Path = WEIGHTS) -> list[str]:
    """One line a file, as `sha256sum` prints them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != CARD)
    return [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}" for path in files]


def write(
    family: Mapping[str, LlamaForCausalLM],
    problems: Sequence[Problem],
    *,
    samples: int,
    temperature: float,
    folder: Path = WEIGHTS,
) -> None:
    """Measure the family on `problems` and write the card beside the weights."""
    tiny, prm = family["tiny"], family["tiny-prm"]
    measured = measure(tiny, prm, problems, n=samples, temperature=temperature)
    larger = greedy(family["tiny-large"], problems)
    large = [float(right(problem, text)) for problem, text in zip(problems, larger, strict=True)]
    gains = figure([a - float(one.greedy) for a, one in zip(large, measured.samples, strict=True)])
    rows = by_level(measured.samples)
    sections = [
        ["# Model card: tiny, tiny-large, tiny-prm"],
        [
            "Arithmetic models trained from nothing by `make lab`; docs/tiny-models.md tells what they read and write.",
            f"Written by `python -m lab card`: {len(problems)} held-out problems, {samples} samples each at temperature",
            f"{temperature:g}; means over problems with 95 % intervals (bootstrap over problems). A candidate's score is that of its",
            "least step.",
        ],
        _sizes(family),
        _levels(rows, missteps(problems, measured.greedy), _spread(measured)),
        [
            f"Prompt length explains {explained_by_length(measured.samples):.2f} of the variance of pass@1 (R^2 of a cubic).",
            f"tiny-large, greedily: {figure(large)}; above tiny, greedily: {gains}.",
        ],
        _curve(rows),
        table(
            ("difference, problem by problem", ""), [(name, rows["all"][name]) for name in (gain(*p) for p in GAINS)]
        ),
        _verifier(rows["all"], prm, problems, measured),
        ["## Files"],
        [f"    {line}" for line in checksums(folder)],
    ]
    (folder / CARD).write_text("\n\n".join("\n".join(lines) for lines in sections) + "\n")


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(map(str, cells))} |" for cells in lines]


def _sizes(family: Mapping[str, LlamaForCausalLM]) -> list[str]:
    found = []
    for name, model in family.items():
        shape, weights = costs.architecture(model), sum(matrix.numel() for matrix in model.parameters())
        found.append(
            (name, f"{shape.layers} x {shape.hidden}", f"{weights:,}", f"{costs.writing(shape, 1, TYPICAL):,.0f}")
        )
    return table(("model", "layers x width", "parameters", f"FLOPs of token {TYPICAL}"), found)


def _levels(
    rows: Mapping[str, Mapping[str, Figure]], wrong: Mapping[int, float], spread: Mapping[int, float]
) -> list[str]:
    cells = ("greedy", "pass@1", "pass@64", "majority@64", "weighted@64", "best@64", "derivations")
    found = [
        (
            name,
            *(row.get(cell, "-") for cell in cells),
            f"{spread[int(name)]:.2f}" if name.isdigit() else "",
            f"{wrong[int(name)]:.2f}" if name.isdigit() else "",
        )
        for name, row in rows.items()
    ]
    return [
        *table(("level", *cells, "spread", "wrong steps"), found),
        "",
        "derivations: how many differ among the first 8 right answers to a problem; spread: standard deviation of pass@1",
        "within the level; wrong steps: share of the steps that greedy decoding takes behind right ones alone.",
    ]


def _spread(measured: Measured) -> dict[int, float]:
    return {
        level: pstdev(sum(one.right) / len(one.right) for one in measured.samples if one.level == level)
        for level in sorted({one.level for one in measured.samples})
    }


def _curve(rows: Mapping[str, Mapping[str, Figure]]) -> list[str]:
    kinds = ("pass", "majority", "weighted", "best")
    return table(("N", *kinds), [(n, *(rows["all"][f"{kind}@{n}"] for kind in kinds)) for n in SIZES])


def _verifier(
    row: Mapping[str, Figure], prm: LlamaForCausalLM, problems: Sequence[Problem], measured: Measured
) -> list[str]:
    judged = judge(prm, problems, measured.texts)
    found = [
        ("AUC of the candidate's score within problems", row["auc"]),
        ("the same of the generator's own mean log-probability", row["auc logprob"]),
        ("AUC of the candidate's score, pooled", f"{judged.pooled_auc:.3f}"),
        ("AUC of the steps' scores, pooled", f"{judged.step_auc:.3f}"),
        ("F1 of the first error (as ProcessBench, 2412.06559, section 4)", f"{judged.first_error_f1:.3f}"),
    ]
    return table(("tiny-prm on these candidates", ""), found)
