"""Results in the shape of OpenAI's batch API: read as its client reads them."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from cli import exporters
from models import reports, transitions
from models.transitions import CANDIDATE, JOB, QUERY, Outcome
from tests.batches import BatchLine
from tests.unit.cli.conftest import Desk


def written(desk: Desk) -> list[BatchLine]:
    said = desk.tts("results", "last", "--format", "openai-batch")
    assert said.code == 0, said.stderr
    return [BatchLine.model_validate_json(line) for line in said.stdout.splitlines()]


def drawn(path: str, answer: str | None, **values: Any) -> dict[str, Any]:
    return {
        "path": path, "parent": None, "text": f"[{path}]", "answer": answer, "answer_class": 0, "correct": None,
        "finish_reason": "stop", "score": None, "step_scores": None, "step_logprobs": None, "prompt_tokens": 3,
        "cached_tokens": 0, "generated_tokens": 5, "gpu_seconds": 0.25, "disposition": "kept", "reused_from": None,
        **values,
    }  # fmt: skip


def contents(desk: Desk, candidates: Sequence[dict[str, Any]], **answer: Any) -> list[str | None]:
    """What the choices of a query say that was answered by these candidates."""
    job_id = desk.submit(1, "--new")
    (claim,) = desk.claim(job_id, 1)
    with desk.database.transaction() as connection:
        outcome = Outcome(claim, "done", candidates=list(candidates), **answer)
        assert transitions.commit(connection, [outcome], datetime.now(UTC))
    (line,) = written(desk)
    return [choice.message.content for choice in line.completion.choices]


def test_a_done_query_is_a_chat_completion(desk: Desk) -> None:
    job_id = desk.submit(2)
    desk.commit(desk.claim(job_id, 2))
    first, second = written(desk)
    assert (first.custom_id, second.custom_id) == ("k0", "k1")
    assert first.id != second.id
    assert (first.error, first.response.status_code) == (None, 200)
    completion = first.completion
    assert (completion.object, completion.model) == ("chat.completion", "fast")
    assert abs(completion.created - datetime.now(UTC).timestamp()) < timedelta(hours=1).total_seconds()
    assert [choice.index for choice in completion.choices] == [0, 1]
    assert {choice.finish_reason for choice in completion.choices} == {"stop"}
    assert completion.choices[0].message.content == "It is 1."
    assert completion.usage is not None
    usage = completion.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 10, 13)


def test_failed_and_cancelled_queries_are_errors_and_others_are_left_out(desk: Desk) -> None:
    job_id = desk.submit(4)
    failed, cancelled = desk.claim(job_id, 2)
    desk.commit([failed], state="failed", reason="too long", answer=None, correct=None)
    desk.commit([cancelled], state="cancelled", answer=None, correct=None)
    said = desk.tts("results", "last", "--format", "openai-batch", "-o", "batch.jsonl")
    assert said.stderr == "left out, not ended yet: 2 pending\n2 rows written to batch.jsonl\n"
    first, second = written(desk)
    assert first.error is not None
    assert (first.error.code, first.error.message) == ("query_failed", "too long")
    assert first.response is not None
    assert first.response.status_code == 500
    assert first.response.body["error"]["message"] == "too long"
    assert second.error is not None
    assert (second.response, second.error.code) == (None, "batch_cancelled")


def test_the_solution_that_was_chosen_comes_first(desk: Desk) -> None:
    made = [drawn("0", "1"), drawn("1", "2", score=0.5), drawn("10", "2", score=0.9), drawn("2", None)]
    assert contents(desk, made, answer="2", score=0.9) == ["[10]", "[0]", "[1]", "[2]"]
    assert contents(desk, made, answer="2", score=0.5) == ["[1]", "[0]", "[2]", "[10]"]
    assert contents(desk, [drawn("0", "1"), drawn("greedy", "1")], answer="1") == ["[greedy]", "[0]"]
    assert contents(desk, [drawn("1", None), drawn("0", None)], answer=None) == ["[0]", "[1]"]
    assert contents(desk, [], answer=None) == []


def test_a_searched_solution_is_whole_and_steps_are_no_choices(desk: Desk) -> None:
    step = {"finish_reason": "step", "answer": None}
    made = [
        drawn("s0", **step), drawn("s0.0", "2", parent="s0"), drawn("s0.1", **step, parent="s0"),
        drawn("s0.1.0", "3", parent="s0.1"), drawn("s1", "4", disposition="discarded"),
    ]  # fmt: skip
    assert contents(desk, made, answer="3") == ["[s0][s0.1][s0.1.0]", "[s0][s0.0]"]


def test_what_was_cut_ends_by_its_length(desk: Desk) -> None:
    job_id = desk.submit(1)
    (claim,) = desk.claim(job_id, 1)
    reasons = ("stop", "length", "clipped", "cancelled")
    with desk.database.transaction() as connection:
        made = [drawn(str(n), "1", finish_reason=reason) for n, reason in enumerate(reasons)]
        transitions.commit(connection, [Outcome(claim, "done", answer="1", candidates=made)], datetime.now(UTC))
    (line,) = written(desk)
    assert [choice.finish_reason for choice in line.completion.choices] == ["stop", "length", "length", "length"]


def test_many_queries_keep_their_own_candidates(desk: Desk) -> None:
    """Also where a query between them ended without any."""
    job_id = desk.submit(5)
    first, second, third, fourth, fifth = desk.claim(job_id, 5)
    desk.commit([first], answer="first")
    desk.commit([second], state="failed", reason="no", answer=None, correct=None)
    desk.commit([third], answer="third")
    with desk.database.transaction() as connection:
        transitions.commit(connection, [Outcome(fourth, "done")], datetime.now(UTC))
    desk.commit([fifth], answer="fifth")
    whole = desk.tts("results", "last", "--format", "openai-batch").stdout
    said = [json.loads(line)["response"]["body"].get("choices") for line in whole.splitlines()]
    assert [choices and choices[0]["message"]["content"] for choices in said] == [
        "It is first.", None, "It is third.", [], "It is fifth.",
    ]  # fmt: skip


def test_what_a_model_says_cannot_break_the_lines(desk: Desk) -> None:
    job_id = desk.submit(1)
    desk.commit(desk.claim(job_id, 1), answer="\u2028\n\x1b[31m")
    with desk.database.transaction() as connection:
        connection.execute(update(JOB).where(JOB.c.id == job_id).values(generator="m\nodel"))
    (line,) = written(desk)
    assert line.completion.model == "m\nodel"
    assert line.completion.choices[0].message.content == "It is \u2028\n\x1b[31m."


@pytest.mark.parametrize("options", [("openai-batch",), ("parquet", "--candidates")])
def test_memory_does_not_grow_with_the_job(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    job_id = desk.submit(200)
    desk.commit(desk.claim(job_id, 200))
    with desk.database.transaction() as connection:
        ids = connection.execute(select(QUERY.c.id).where(QUERY.c.job_id == job_id)).scalars().all()
        rows = [
            {**drawn(f"1{n}", "1", text="y" * 10_000), "job_id": job_id, "query_id": query_id, "attempt": 1}
            for query_id in ids
            for n in range(20)
        ]
        connection.execute(insert(CANDIDATE), rows)
        del rows
    monkeypatch.setattr(reports, "PAGE", 50)
    monkeypatch.setattr(exporters, "_BATCH", 50)
    command = ("results", "last", "-o", "out", "--format", *options)
    assert desk.tts(*command).code == 0
    tracemalloc.start()
    try:
        assert desk.tts(*command).code == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert Path("out").stat().st_size > 100_000
    assert peak < 5 * 2**20, "the job's text is 40 MB"
