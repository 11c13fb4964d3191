"""`python -m lab train`, then `python -m lab measure`: the tiny models from nothing, and what they can do."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from lab.family import Plan, Workshop
from lab.measure import collect, greedy, summary
from lab.problems import LEVELS, problem_set


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    parser.add_argument("command", choices=["train", "measure"])
    parser.add_argument("models", nargs="*", default=["tiny", "tiny-large", "tiny-prm"])
    parser.add_argument("--folder", type=Path, default=Path("build/lab"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--set", default="development")
    parser.add_argument("--problems", type=int, default=400)
    parser.add_argument("--samples", type=int, default=128)
    given = parser.parse_args()
    shop = Workshop(given.folder, Plan(), given.device)
    make = {"tiny-base": shop.base, "tiny": shop.tiny, "tiny-large": shop.large, "tiny-prm": shop.prm}
    if given.command == "train":
        for name in given.models:
            make[name]()
        return
    problems = problem_set(given.set)[: given.problems]
    for name in ("tiny-base", "tiny", "tiny-large"):
        if name in given.models:
            right = greedy(make[name](), problems)
            by_level = [[r for r, p in zip(right, problems, strict=True) if p.level == level] for level in LEVELS]
            print(name, "greedy", sum(right) / len(right), [round(sum(r) / len(r), 2) for r in by_level if r])
    if "tiny-prm" in given.models:
        print(summary(collect(shop.tiny(), shop.prm(), problems, given.samples)))


if __name__ == "__main__":
    main()
