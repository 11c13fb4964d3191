"""Jobs whose samples are given, as if they had been drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.database import Database
from models.transitions import Outcome
from tests.builders import Shelf, add_job, candidate_row, claimed, commit, usage_row


@dataclass(frozen=True, slots=True)
class Drawn:
    """One sample: the class of its answer (-1: none could be read), whether that is right, its step scores, its tokens."""

    answer_class: int
    correct: bool = False
    steps: tuple[float | None, ...] | None = None
    tokens: int | None = 5
    path: str | None = None


RIGHT, WRONG, UNREAD = Drawn(0, True), Drawn(1), Drawn(-1)


def record(
    database: Database,
    problems: Sequence[Sequence[Drawn]],
    *,
    graded: bool = True,
    outcome: dict[str, Any] | None = None,
    **values: Any,
) -> Shelf:
    """A job that has answered each problem with the vote among its samples; `values` as in `tests.builders.add_job`.

    The verifier's score is that of the last step; reading a sample took it 7 tokens, 700 FLOPs and a dollar.
    """
    shelf = add_job(database, len(problems), **values)
    for got, samples in zip(claimed(database, shelf), problems, strict=True):
        voters = [one for one in samples if one.answer_class >= 0]
        votes = [one.answer_class for one in voters]
        led = max(voters, key=lambda one: votes.count(one.answer_class), default=None)
        scored = sum(one.steps is not None for one in samples)
        usage = [usage_row(calls=len(samples), generated_tokens=sum(one.tokens or 0 for one in samples))]
        if scored:
            usage.append(
                usage_row(
                    phase="score", model="judge", calls=scored, prompt_tokens=0, canonical_prompt_tokens=0,
                    generated_tokens=0, scored_tokens=7 * scored, flops=1.0, flops_canonical=700.0 * scored,
                    dollars=1.0 * scored,
                )
            )  # fmt: skip
        result = Outcome(
            got,
            "done",
            answer=None if led is None else str(led.answer_class),
            correct=(led is not None and led.correct) if graded else None,
            votes=0 if led is None else votes.count(led.answer_class),
            voters=len(voters),
            score=led.steps[-1] if led is not None and led.steps else None,
            candidates=[
                candidate_row(
                    one.path or str(number),
                    answer=None if one.answer_class < 0 else str(one.answer_class),
                    answer_class=one.answer_class,
                    correct=one.correct if graded else None,
                    score=one.steps[-1] if one.steps else None,
                    step_scores=None if one.steps is None else list(one.steps),
                    generated_tokens=one.tokens,
                )
                for number, one in enumerate(samples)
            ],
            usage=usage,
        )
        for name, value in (outcome or {}).items():
            setattr(result, name, value)
        commit(database, result)
    return shelf
