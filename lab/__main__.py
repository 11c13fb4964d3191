"""`python -m lab train`, then `ship` and `card`: the tiny models from nothing, and what they can do."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from lab import card
from lab.equal_flops import MIDDLE, compared
from lab.family import USED_AT, Plan, Workshop
from lab.measure import measure, summary
from lab.problems import MIXES, SETS, problem_set

FAMILY = ("tiny", "tiny-large", "tiny-prm")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/lab"), help="where the stages are kept")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="make what is not there yet")
    train.add_argument("models", nargs="*", default=FAMILY)
    commands.add_parser("ship", help=f"write the trained models to {card.WEIGHTS}, in both formats")
    writing = commands.add_parser("card", help="measure what is shipped on held-out problems and write its model card")
    measuring = commands.add_parser("measure", help="accuracy by level, votes and best-of-N, with 95 %% intervals")
    measuring.add_argument("--generator", default="tiny")
    measuring.add_argument("--verifier", choices=["mean_logprob", "tiny-prm"], default="tiny-prm")
    searching = commands.add_parser("search", help="beam searches beside the weighted vote of the same FLOPs")
    drawing = commands.add_parser("problems", help="print a problem set as JSONL")
    for command in (measuring, searching, drawing):
        command.add_argument("--set", choices=SETS, default="development")
    for command in (measuring, drawing):
        command.add_argument("--mix", choices=MIXES, default="uniform")
    for command in (measuring, searching, writing):
        command.add_argument("--samples", type=int, default=128)
        command.add_argument("--temperature", type=float, default=USED_AT)
    for command in (measuring, searching, writing, drawing):
        command.add_argument("--problems", type=int, default=2000 if command is drawing else 400)
    given = parser.parse_args()

    shop = Workshop(given.folder, Plan(), given.device)
    make = {"tiny-base": shop.base, "tiny": shop.tiny, "tiny-large": shop.large, "tiny-prm": shop.prm}
    if given.command == "train":
        for name in given.models:
            make[name]()
    elif given.command == "ship":
        card.ship({name: make[name]() for name in FAMILY})
    elif given.command == "card":
        problems = problem_set("held-out")[: given.problems]
        family = {name: card.shipped(name).to(given.device) for name in FAMILY}
        card.write(family, problems, samples=given.samples, temperature=given.temperature)
    elif given.command == "search":
        problems = [problem for problem in problem_set(given.set) if problem.level in MIDDLE][: given.problems]
        tiny, prm = (card.shipped(name).to(given.device) for name in ("tiny", "tiny-prm"))
        print(compared(tiny, prm, problems, samples=given.samples, temperature=given.temperature))
    elif given.command == "problems":
        for number, problem in enumerate(problem_set(given.set, given.mix)[: given.problems]):
            row = {"id": f"{given.set}-{given.mix}-{number}", "prompt": problem.text}
            print(json.dumps({**row, "answer": str(problem.answer), "level": problem.level}))
    else:
        prm = make["tiny-prm"]() if given.verifier == "tiny-prm" else None
        problems = problem_set(given.set, given.mix)[: given.problems]
        made = measure(make[given.generator](), prm, problems, n=given.samples, temperature=given.temperature)
        print(summary(made.samples))


if __name__ == "__main__":
    main()
