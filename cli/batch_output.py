"""Batch output: a job's answers in the shape of an output file of OpenAI's batch API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from cli.rows import candidate_rows, query_rows
from models import reports
from models.database import Database


def batch_rows(database: Database, job_id: int, left_out: Counter[str]) -> Iterator[dict[str, Any]]:
    """One line for each query that has ended, in the order of the dataset; the others are counted in `left_out`, by
    their state.

    A done query is a chat completion whose first choice is the solution that was chosen; the rest of its choices are
    its other solutions. A failed one has an error with status 500, a cancelled one an error alone.
    """
    with database.reading() as connection:
        (job,) = reports.job_summaries(connection, [job_id])
    drawn = groupby(candidate_rows(database, job_id), key=lambda row: row["query_id"])
    ahead = next(drawn, None)
    for query in query_rows(database, job_id):
        while ahead is not None and ahead[0] < query["id"]:
            ahead = next(drawn, None)
        candidates = list(ahead[1]) if ahead is not None and ahead[0] == query["id"] else []
        if query["state"] == "done":
            yield _line(query, _answered(query, _body(query, job, candidates)), None)
        elif query["state"] == "failed":
            told = {"message": query["error"], "type": "server_error", "param": None, "code": "query_failed"}
            error = {"code": told["code"], "message": told["message"]}
            yield _line(query, _answered(query, {"error": told}, 500), error)
        elif query["state"] == "cancelled":
            error = {"code": "batch_cancelled", "message": "its job was cancelled before it was answered"}
            yield _line(query, None, error)
        else:
            left_out[query["state"]] += 1


def _line(query: dict[str, Any], response: dict[str, Any] | None, error: dict[str, Any] | None) -> dict[str, Any]:
    return {"id": f"batch_req_{query['id']}", "custom_id": query["key"], "response": response, "error": error}


def _answered(query: dict[str, Any], body: dict[str, Any], status: int = 200) -> dict[str, Any]:
    return {"status_code": status, "request_id": f"req_{query['id']}", "body": body}


def _body(query: dict[str, Any], job: dict[str, Any], candidates: list[dict[str, Any]]) -> dict[str, Any]:
    by_path = {one["path"]: one for one in candidates}
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": _solution(one, by_path), "refusal": None},
            "logprobs": None,
            # The API knows no other word for what was cut.
            "finish_reason": "stop" if one["finish_reason"] == "stop" else "length",
        }
        for index, one in enumerate(_chosen_first(query, candidates))
    ]
    return {
        "id": f"chatcmpl-{query['id']}",
        "object": "chat.completion",
        "created": int((query["ended_at"] or job["created_at"]).timestamp()),
        "model": job["generator"],
        "choices": choices,
        "usage": _usage(query["tokens"], query["generated_tokens"], query["scored_tokens"]),
    }


def _usage(total: int | None, generated: int | None, scored: int | None) -> dict[str, int] | None:
    """The generator's tokens, the prompt once, all that was sampled; None where a part is unknown."""
    if total is None or generated is None or scored is None:
        return None
    total -= scored
    return {"prompt_tokens": total - generated, "completion_tokens": generated, "total_tokens": total}


def _chosen_first(query: dict[str, Any], candidates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The whole solutions: the one that stands for the answer, then the others in the order in which they were drawn."""
    whole = [one for one in candidates if one["finish_reason"] != "step" and one["disposition"] == "kept"]
    whole.sort(key=lambda one: (one["path"] != "greedy", len(one["path"]), one["path"]))

    def rank(one: dict[str, Any]) -> tuple[bool, bool, float]:
        score = one["score"]
        return (one["answer"] != query["answer"], score != query["score"], 0.0 if score is None else -score)

    chosen = min(whole, key=rank, default=None)
    return [] if chosen is None else [chosen, *(one for one in whole if one is not chosen)]


def _solution(one: dict[str, Any], by_path: dict[str, dict[str, Any]]) -> str:
    """Its text from the first step on."""
    texts = [one["text"]]
    while one["parent"] in by_path:
        one = by_path[one["parent"]]
        texts.append(one["text"])
    return "".join(reversed(texts))
