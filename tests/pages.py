"""A report document with every part that a page can have, small enough to check by eye."""

from __future__ import annotations

from typing import Any

HOSTILE = '</script><img src=x onerror="alert(1)"><b>&amp;\u2028\u2029\u0000\ud800 \u202eevil\u202c {{style}} $x^2$'
"""Whatever a dataset or a model may write: an end of the block, line ends of JavaScript, NUL, half a surrogate pair,
a turn of direction, a place of the template, a formula."""


def job(
    number: int, strategy: str, budget: str, accuracy: float | None, flops: float | None, **changed: Any
) -> dict[str, Any]:
    return {
        "job_id": number, "name": f"job {number}", "dataset": "sums", "dataset_id": 1, "dataset_label": "sums",
        "generator": "tiny", "verifier": None, "strategy": strategy, "budget": budget, "oracle": False, "state": "done",
        "series": strategy, "label": f"{strategy} {budget}", "imported_from": None, "created_at": "2026-01-01T12:00:00+00:00",
        "ended_at": None, "queries": 100, "done": 100, "failed": 0, "answered": 100, "graded": 100,
        "correct": round(100 * accuracy) if accuracy is not None else None, "accuracy": accuracy,
        "accuracy_low": accuracy and round(accuracy - 0.08, 2), "accuracy_high": accuracy and round(accuracy + 0.08, 2),
        "samples": 100, "reused_samples": 0, "truncated_rate": 0.01, "unparsed_rate": 0.02, "dollars": None,
        "per_query": {"flops": flops, "tokens": flops and flops / 1e6, "dollars": None, "gpu_seconds": 0.25},
        "specification": {"strategy": strategy, "template": {"user": "{{ problem }}", "step_separator": "\n"}, "seed": 0},
        "versions": {"tts-jobs": "0.1.0"}, **changed,
    }  # fmt: skip


def group(value: str, accuracy: float) -> dict[str, Any]:
    return {
        "value": value, "queries": 50, "accuracy": accuracy, "low": round(accuracy - 0.1, 2), "high": round(accuracy + 0.1, 2), "samples": 200,
        "total_tokens": 12_000, "flops_canonical": 3e9, "dollars": None, "pass_at_1": 0.4, "pass_at_n": 0.8,
        "selection_efficiency": 0.5, "truncated_rate": 0.0, "unparsed_rate": 0.0,
    }  # fmt: skip


def candidate(path: str, text: str, **changed: Any) -> dict[str, Any]:
    return {"path": path, "text": text, "answer_class": 0, "finish_reason": "stop", "disposition": "kept", **changed}


def query(job_id: int, key: str, **changed: Any) -> dict[str, Any]:
    return {
        "job_id": job_id, "key": key, "prompt": f"What is {key}?", "reference": "4", "answer": "4", "correct": True,
        "votes": 2, "voters": 2, "score": 0.9, "state": "done", "error": None, "stopped": "complete", "samples": 2,
        "tokens": 120, "flops_canonical": 1e8, "gpu_seconds": 0.1, "dollars": None, "wasted_tokens": 0, "reason": "sample",
        "candidates": [candidate("0", "2+2=4\n####4", answer="4", correct=True, score=0.9, step_scores=[0.8, 0.9])],
        **changed,
    }  # fmt: skip


SEARCH = [
    candidate("s0", "2+2=4\n", finish_reason="step", score=0.9),
    candidate("s0.0", "4+1=5\n", parent="s0", finish_reason="step", score=0.2, disposition="discarded"),
    candidate("s0.1", "####4", parent="s0", answer="4", correct=True, score=0.8),
]
"""One branch of two steps that was kept, and one that was given up."""


def document() -> dict[str, Any]:
    """Three series of jobs and an oracle, a replayed curve, and answers of which one is hostile."""
    jobs = [
        job(1, "greedy", "1", 0.5, 1e8),
        job(2, "majority_vote", "4", 0.55, 4e8, breakdown={"level": [group("1", 0.8), group("2", 0.3)]}),
        job(3, "majority_vote", "16", 0.6, 1.6e9),
        job(4, "beam_search", "16", 0.64, 5e9, name=HOSTILE),
        job(5, "best_of_n (oracle)", "16", 0.8, 2e9, oracle=True),
        job(6, "majority_vote", "64", None, 9e9, state="open", done=10),
    ]
    sizes = (1, 2, 4, 8, 16)
    points = [
        {"n": n, "accuracy": 0.5 + n / 200, "low": 0.45, "high": 0.65, "flops": 1e8 * n, "tokens": 100.0 * n, "dollars": None}
        for n in sizes
    ]  # fmt: skip
    return {
        "made_at": "2026-01-02T03:04:05+00:00",
        "version": "0.1.0",
        "title": "tiny on sums",
        "conclusion": "beam_search 16 does best, 64.0 % (56.0 to 72.0) of 100 problems right.",
        "jobs": jobs,
        "pairs": [
            {"a": 1, "b": 4, "problems": 100, "gain": 0.14, "low": 0.05, "high": 0.23, "p": 0.004, "cost_ratio": 50.0, "sentence": "beam_search 16 over greedy 1: +14.0 points."},
            {"a": 1, "b": 2, "problems": 100, "gain": 0.05, "low": -0.02, "high": 0.12, "p": 0.2, "cost_ratio": None, "sentence": "majority_vote 4 over greedy 1: +5.0 points."},
        ],
        "curves": [{"job_id": 3, "name": "job 3", "strategy": "majority_vote", "aggregation": None, "estimator": "subsets", "points": points}],
        "not_replayable": [{"job_id": 4, "reason": "a beam search chooses as it goes"}],
        "frontier": [{"job_id": one["job_id"], "cost": one["per_query"]["flops"], "unit": "flops", "accuracy": one["accuracy"], "low": 0.4, "high": 0.7} for one in jobs[:4]],
        "decisions": [{"question": "What is the cheapest way to 60 %?", "answer": "majority_vote 16.", "details": {"chosen on": 50, "confirmed on": 50}}],
        "queries": [
            query(4, "k1", candidates=SEARCH, reason="jobs disagree"),
            query(2, "k2", correct=False, answer="5", reason="wrong", score=None),
            query(1, "k10", prompt=HOSTILE, answer=HOSTILE, reference=None, correct=None, candidates=[candidate(HOSTILE, HOSTILE)]),
            query(1, "k3", tokens=None),
        ],
    }  # fmt: skip
