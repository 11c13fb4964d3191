"""Revisions, taught as in Snell et al. (2408.03314, section 6): wrong attempts, then a right one close to the last."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from lab.derivations import derive, is_right
from lab.text import END, LONGEST, encode, prompt
from lab.training import Example, next_token

MOST_ATTEMPTS = 4
KEPT = 0.25
"""Share of the examples in which the last attempt is right already and is to be written again."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """What a model wrote for one problem, told apart by the checker."""

    problem: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]


def sort(problem: str, texts: Sequence[str]) -> Attempts:
    known = {text: is_right(problem, text.split("\n")) for text in texts}
    return Attempts(
        problem,
        tuple(text for text, right in known.items() if right),
        tuple(text for text, right in known.items() if not right),
    )


def examples(pool: Sequence[Attempts], seed: str) -> Iterator[Example]:
    """Training examples without end: 0 to 4 wrong attempts and a right solution near the last of them."""
    rng = random.Random(seed)
    while True:
        made = rng.choice(pool)
        goal = rng.choice(made.right or ("\n".join(derive(made.problem, rng)),))
        earlier = rng.sample(made.wrong, min(rng.randint(0, MOST_ATTEMPTS), len(made.wrong)))
        if made.right and rng.random() < KEPT:
            earlier = [*earlier[:-1], goal]
        elif earlier:
            nearest = min(made.wrong, key=lambda text: Levenshtein.distance(text, goal))
            earlier = [*[text for text in earlier if text != nearest][: MOST_ATTEMPTS - 1], nearest]
        tokens = prompt(made.problem, earlier)
        if len(tokens) + len(goal) < LONGEST:
            yield next_token(tokens, [*encode(goal), END])
