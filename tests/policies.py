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


def evidence(**changes: Any) -> dict[str, Any]:
    """What a calibration tells of `policy()`: made-up numbers in the form of `scheduler.calibration.calibrate`."""
    return {
        "problems": 40,
        "samples": 32,
        "cost": {"flops": 4e12, "gpu_seconds": 12.5},
        "budgets": {"4": _at(0.5, 2e9), "16": _at(0.625, 8e9)},
        "adaptive": [{"accuracy": 0.5, "low": 0.4, "high": 0.6, "flops": 1e9}],
        "uniform": {
            "strategy": "weighted_vote",
            "curve": [{"accuracy": 0.375, "low": 0.25, "high": 0.5, "flops": n * 1e9} for n in (1, 2)],
        },
        "efficiency": {
            "policy": {"0.8": {"factor": 1.75, "low": None, "high": 2.5, "at_least": True}},
            "adaptive": {"0.8": {"factor": None, "low": None, "high": None, "at_least": False}},
        },
        "break_even": {"policy": 1234.4, "adaptive": None},
        "reliability": {
            name: {str(drawn): {"stripes": [[0.25, 0.2, 0.5], [0.75, 0.8, 0.5]], "ece": 0.05, "brier": 0.125}}
            for name, drawn in (("fails", 4), ("right", 4))
        },
        "source": {"dataset": "sums", "template": "plain", "sampling": {"temperature": 0.6}},
        **changes,
    }


def _at(accuracy: float, flops: float) -> dict[str, Any]:
    bins = [
        {"bin": n, "arm": None, "share": 0.25, "problems": 10, "accuracy": 0.9 - n / 5, "low": 0.05, "high": 0.95}
        for n in range(3)
    ]
    empty = {"bin": 3, "arm": None, "share": 0.0, "problems": 0, "accuracy": 0.0, "low": 0.0, "high": 0.0}
    around = {"accuracy": accuracy, "low": accuracy - 0.125, "high": accuracy + 0.125}
    return {**around, "flops": flops, "gpu_seconds": 0.5, "bins": [*bins, empty]}


_finite = st.floats(allow_nan=False, allow_infinity=False)
_words = st.text(st.characters(codec="utf-8"), max_size=20)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _finite | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=8,
)
evidences = st.none() | st.dictionaries(_words, _json, max_size=4).map(lambda more: {**more, **evidence()})
"""Of what else a version may tell, too."""
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
