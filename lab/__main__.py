"""`python -m lab train`, then `python -m lab measure`: the tiny models from nothing, and what they can do."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from lab.family import Plan, Workshop
from lab.measure import collect, summary
from lab.problems import MIXES, SETS, problem_set


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/lab"), help="where the stages are kept")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="make what is not there yet")
    train.add_argument("models", nargs="*", default=["tiny", "tiny-large", "tiny-prm"])
    measure = commands.add_parser("measure", help="accuracy by level, votes and best-of-N, with 95 %% intervals")
    measure.add_argument("--generator", default="tiny")
    measure.add_argument("--verifier", choices=["mean_logprob", "tiny-prm"], default="tiny-prm")
    measure.add_argument("--set", choices=SETS, default="development")
    measure.add_argument("--mix", choices=MIXES, default="uniform")
    measure.add_argument("--problems", type=int, default=400)
    measure.add_argument("--samples", type=int, default=128)
    measure.add_argument("--temperature", type=float, default=1.0)
    given = parser.parse_args()
    shop = Workshop(given.folder, Plan(), given.device)
    make = {"tiny-base": shop.base, "tiny": shop.tiny, "tiny-large": shop.large, "tiny-prm": shop.prm}
    if given.command == "train":
        for name in given.models:
            make[name]()
        return
    prm = make["tiny-prm"]() if given.verifier == "tiny-prm" else None
    problems = problem_set(given.set, given.mix)[: given.problems]
    print(summary(collect(make[given.generator](), prm, problems, n=given.samples, temperature=given.temperature)))


if __name__ == "__main__":
    main()
