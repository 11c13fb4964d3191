"""Trials: what a calibration tries, and the jobs that it takes to see what comes of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.catalogue import find_generator
from models.errors import UserError
from scheduler.extensions import is_oracle
from scheduler.policy import SEARCHES, SEED_PROBE, Arm
from scheduler.submission import Request
from strategies import registry

REPLAYED = ("greedy", "majority_vote", "weighted_vote", "best_of_n", "adaptive_consistency")
"""Strategies whose outcome follows from stored samples."""

FIRST = {"greedy_first": True}
"""Of every vote: its samples are those of the probe, and more."""


@dataclass(frozen=True, slots=True)
class Trials:
    """The arms, the job that draws all samples, and one for each arm that cannot be replayed, by the arm's number."""

    arms: tuple[Arm, ...]
    votes: Request
    searches: Mapping[int, Request]

    @property
    def requests(self) -> list[Request]:
        """In the order in which they are to be answered."""
        return [self.votes, *self.searches.values()]


def plan_trials(
    question: Mapping[str, Any],
    name: str,
    samples: int,
    budgets: Sequence[int],
    searches: Sequence[str],
    parameters: Mapping[str, Any],
) -> Trials:
    """Every vote at every budget, and every search at each that is larger than the probe.

    Args:
        question: the fields of a `Request` that say what is asked of which models.
        name: the policy's, after which the jobs are called.
        samples: drawn for each problem.
        budgets: rising, none above `samples`.
        searches: strategies besides votes; the usual ones where there are none and the models can search.
        parameters: each for those votes and searches that have it.

    Raises:
        UserError: a strategy or parameter that does not fit, named by its option.
    """
    verifier = question["verifier"]
    if is_oracle(verifier):
        raise UserError(
            f"--verifier: {verifier} reads the reference answers, which no job to come has; choose another, or none"
        )
    usual = SEARCHES if verifier is not None and find_generator(question["generator"]).entry.engine != "openai" else ()
    beyond = [budget for budget in budgets if budget > SEED_PROBE[-1]]
    if searches and not beyond:
        raise UserError(
            f"--search: it gets what a probe of {SEED_PROBE[-1]} samples leaves; give a larger one of --budgets, or leave it out"
        )
    votes = ("majority_vote",) if verifier is None else ("majority_vote", "weighted_vote", "best_of_n")
    vote = "majority_vote" if verifier is None else "weighted_vote"
    told = _having(vote, {key: value for key, value in parameters.items() if key not in FIRST})
    shared = {**told, **FIRST}
    drawn = Request(
        **question,
        strategy=vote,
        parameters=shared,
        budget=(float(samples), "samples"),
        name=f"calibrate {name}: samples",
    )
    arms = [
        Arm(strategy=vote, samples=budget, parameters=_having(vote, shared))
        for budget in budgets
        for vote in (*votes, "adaptive_consistency")
    ]
    found: dict[int, Request] = {}
    for search, given in _searches(searches or usual, parameters, known=told.keys()):
        for budget in beyond:
            found[len(arms)] = _behind_the_probe(drawn, search, given, budget, name)
            arms.append(Arm(strategy=search, samples=budget, parameters=given))
    return Trials(tuple(arms), drawn, found)


def _behind_the_probe(drawn: Request, search: str, given: Mapping[str, Any], budget: int, name: str) -> Request:
    # In a job with a policy a verifier is handed only to who wants one.
    verified = registry.find(search).wants_verifier(given)
    return replace(
        drawn,
        strategy=search,
        parameters=given,
        budget=(float(budget - SEED_PROBE[-1]), "samples"),
        verifier=drawn.verifier if verified else None,
        name=f"calibrate {name}: {search} {budget}",
    )


def _having(strategy: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the parameters that a strategy has."""
    fields = registry.find(strategy).make.model_fields
    return {key: value for key, value in parameters.items() if key in fields}


def _searches(
    searches: Sequence[str], parameters: Mapping[str, Any], *, known: Collection[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each with those of the parameters that it has; one that nothing has is an error, `known` are those of the votes."""
    unknown = set(parameters) - set(known)
    seen = set()
    for search in searches:
        try:
            entry = registry.find(search)
            if entry.scheduled:
                raise ValueError(f"{entry.name} follows a policy and cannot be a part of one")
            if entry.name in REPLAYED:
                raise ValueError(f"{entry.name} needs no job of its own, for it follows from the samples")
            given = _having(entry.name, parameters)
            registry.build(entry.name, given)
        except ValueError as error:
            raise UserError(f"--search: {error}") from None
        unknown -= given.keys()
        if entry.name not in seen:
            seen.add(entry.name)
            yield entry.name, given
    if unknown:
        raise UserError(f"--param {min(unknown)}: nothing that is tried has it; `tts-jobs strategies` lists parameters")
