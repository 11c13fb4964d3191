"""Policies made by hand: one to follow, and any that can be written down."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from scheduler.policy import Arm, Logistic, Policy, Rung
from strategies.evidence import FEATURES

ARMS = (
    Arm(strategy="weighted_vote", samples=4, parameters={"aggregation": "min"}),
    Arm(strategy="weighted_vote", samples=16, parameters={"aggregation": "min"}),
    Arm(strategy="beam_search", samples=16, parameters={"beam_width": 4}),
)


def calibrator(intercept: float = 0.0, share: float = -1.0) -> Logistic:
    """A logistic regression of the vote share alone."""
    return Logistic(weights=(share, *(0.0 for _ in FEATURES[1:])), intercept=intercept)


def policy(**changes: Any) -> Policy:
    """A calibrated policy for the generator `fast` without a verifier, for budgets of 4 and 16 samples."""
    rungs = tuple(
        Rung(drawn=drawn, scored=False, fails=calibrator(), right=calibrator(1.0), arms={0: calibrator(0.5)})
        for drawn in (1, 2, 4)
    )
    return Policy(
        **{
            "generator": "fast",
            "generator_identity": "instant::instant",
            "verifier": None,
            "verifier_identity": None,
            "arms": ARMS,
            "costs": (4.0, 16.0, 14.5),
            "table": {4: (None, 0, 0, None), 16: (None, 0, 1, 2)},
            "rungs": rungs,
            **changes,
        }
    )


_finite = st.floats(allow_nan=False, allow_infinity=False)
_words = st.text(st.characters(codec="utf-8"), max_size=20)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _finite | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=8,
)
evidences = st.none() | st.dictionaries(_words, _json, max_size=4)
_logistics = st.builds(Logistic, weights=st.tuples(*(_finite for _ in FEATURES)), intercept=_finite)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Any policy that fits together, with text from anywhere in it."""
    inside = st.floats(0, 1, exclude_min=True, exclude_max=True)
    thresholds = tuple(sorted(draw(st.sets(inside, max_size=4))))
    arms = tuple(draw(st.lists(st.sampled_from([*ARMS, Arm(strategy="rebase", samples=8)]), min_size=1, max_size=4)))
    number = st.sampled_from(range(len(arms)))
    row = st.tuples(*(st.none() | number for _ in range(len(thresholds) + 1)))
    rungs = st.builds(
        Rung,
        drawn=st.integers(1, 64),
        scored=st.booleans(),
        fails=_logistics,
        right=_logistics,
        arms=st.dictionaries(number, _logistics, max_size=2),
    )
    return Policy(
        generator=draw(_words),
        generator_identity=draw(_words),
        verifier=draw(st.none() | _words),
        verifier_identity=draw(st.none() | _words),
        thresholds=thresholds,
        probe=tuple(sorted(draw(st.sets(st.integers(1, 64), min_size=1, max_size=4)))),
        arms=arms,
        costs=draw(st.just(()) | st.tuples(*(_finite for _ in arms))),
        scoring=draw(_finite),
        table=draw(st.dictionaries(st.integers(1, 512), row, min_size=1, max_size=3)),
        rungs=tuple(draw(st.lists(rungs, max_size=2))),
    )
