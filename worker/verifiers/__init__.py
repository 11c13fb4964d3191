"""The verifiers by name."""

from __future__ import annotations

from models.errors import UserError
from strategies.protocols import Verifier
from worker.verifiers.exact import Exact
from worker.verifiers.mean_logprob import MeanLogprob

VERIFIERS = ("mean_logprob", "exact")


def make_verifier(name: str, grade: Exact.Grade) -> Verifier:
    """The verifier called `name`; `grade(text, reference)` tells `exact` whether a solution is right.

    Raises:
        UserError: no such verifier.
    """
    if name == "mean_logprob":
        return MeanLogprob()
    if name == "exact":
        return Exact(grade)
    raise UserError(f"--verifier: unknown verifier {name!r}; choose one of {', '.join(VERIFIERS)}")
