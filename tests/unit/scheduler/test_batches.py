"""Files written for OpenAI's batch API, read as datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.errors import UserError
from scheduler.readers import BadRow, DatasetReader, FieldMap, Row, open_dataset


def request(key: str = "a", text: Any = "How many?", url: str = "/v1/chat/completions", **body: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"custom_id": key, "method": "POST", "url": url, "body": {"model": "m", "messages": messages, **body}}


def opened(folder: Path, *records: Any, **options: Any) -> DatasetReader:
    path = folder / "batch.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return open_dataset(str(path), **options)


def test_a_batch_is_recognised_and_its_ids_are_the_keys(tmp_path: Path) -> None:
    reader = opened(tmp_path, request("a"), request("b", "How many more?"))
    assert list(reader.rows()) == [
        Row(1, "a", "How many?", None, None, None), Row(2, "b", "How many more?", None, None, None),
    ]  # fmt: skip
    assert "preset openai-batch: prompt from messages, key from custom_id, no reference answers" in reader.describe()
    (row,) = opened(tmp_path, request("a"), preset="openai-batch").rows()
    assert row == Row(1, "a", "How many?", *[None] * 3)


def test_what_the_system_says_comes_before_the_prompt(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Count"}, {"type": "text", "text": "twice."}]},
        {"role": "user", "content": "How many?"},
    ]
    (row,) = opened(tmp_path, request(messages=messages)).rows()
    assert isinstance(row, Row)
    assert row.prompt == "Be brief.\n\nCount\ntwice.\n\nHow many?"


def test_metadata_may_hold_what_answers_are_graded_against(tmp_path: Path) -> None:
    told = {"answer": "7", "subject": "sums", "level": "2", "gold": "8"}
    record = request(metadata=told)
    assert list(opened(tmp_path, record).rows()) == [Row(1, "a", "How many?", "7", "sums", "2")]
    assert list(opened(tmp_path, {**request(), "answer": 7}).rows()) == [Row(1, "a", "How many?", "7", None, None)]
    (row,) = opened(tmp_path, record, fields=FieldMap(answer="gold")).rows()
    assert isinstance(row, Row)
    assert row.answer == "8"


def test_what_all_requests_ask_of_the_sampling_is_told(tmp_path: Path) -> None:
    asked = {"temperature": 0.25, "top_p": 1, "max_tokens": 9, "max_completion_tokens": 100}
    reader = opened(tmp_path, request("a", **asked), request("b", **asked))
    assert reader.sampling == {"temperature": 0.25, "top_p": 1.0, "max_tokens": 100}
    assert isinstance(reader.sampling["max_tokens"], int)
    assert [type(row) for row in reader.rows()] == [Row, Row]
    assert opened(tmp_path, request()).sampling == {}


def test_what_only_says_how_to_serve_is_passed_over(tmp_path: Path) -> None:
    served = {"model": "other", "n": 8, "seed": 3, "user": "u", "store": True, "logprobs": True, "service_tier": "flex"}
    neutral = {"tools": [], "tool_choice": "none", "response_format": {"type": "text"}, "presence_penalty": 0.0}
    (row,) = opened(tmp_path, request(**served, **neutral)).rows()
    assert isinstance(row, Row)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (request(temperature=0.5), "asks for temperature 0.5 where the first request asks for no temperature"),
        (request(temperature=9), "asks for temperature 9, which is no number from 0 to 5"),
        (request(temperature=True), "asks for temperature True, which is no number"),
        (request(max_tokens=1.5), "asks for max_tokens 1.5, which is no whole number"),
        (request(tools=[{"type": "function"}]), "asks for 'tools', which a job cannot do"),
        (request(response_format={"type": "json_object"}), "asks for 'response_format', which a job cannot do"),
        (request(stop=["\n"]), "asks for 'stop', which a job cannot do"),
        (request(url="/v1/embeddings"), "is for '/v1/embeddings', and only requests to /v1/chat/completions"),
        ({**request(), "method": "GET"}, "has the method 'GET'"),
        ({**request(), "custom_id": ""}, "has no 'custom_id'"),
        ({"custom_id": "b"}, "has no 'body' with the request"),
        (request(text="  "), "has an empty user message, but it is the prompt"),
        (request(text=None), "has a message without text"),
        (request(messages=[]), "has no 'messages' in its body"),
        (request(messages=["How many?"]), "has a message that is no object"),
        (request(text=[{"type": "image_url", "image_url": {}}]), "a part of type 'image_url', and only text can be asked"),
        (
            request(messages=[{"role": role, "content": "?"} for role in ("user", "assistant", "user")]),
            "is a conversation (user, assistant, user), and a query is one user message behind system messages",
        ),
        ([1], "is a list, not an object"),
    ],
)  # fmt: skip
def test_what_a_job_cannot_do_is_a_bad_row(tmp_path: Path, record: Any, reason: str) -> None:
    good, bad = opened(tmp_path, request("first"), record).rows()
    assert isinstance(good, Row)
    assert isinstance(bad, BadRow)
    assert reason in bad.reason
    assert "\n" not in bad.reason


def test_the_request_in_the_documentation_is_read_as_it_says(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text("utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith('    {"custom_id"')]
    reader = opened(tmp_path, json.loads(line))
    assert list(reader.rows()) == [Row(1, "q1", "Be brief.\n\nWhat is 2 + 3?", "5", None, None)]
    assert reader.sampling == {"temperature": 0.7, "max_tokens": 256}


def test_a_bad_first_request_hides_neither_layout_nor_sampling(tmp_path: Path) -> None:
    reader = opened(tmp_path, request(tools=[1], temperature=1), request("b", temperature=0.5))
    assert reader.sampling == {"temperature": 0.5}
    assert [type(row) for row in reader.rows()] == [BadRow, Row]


def test_a_file_without_a_usable_request_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"batch.jsonl line 1: asks for 'tools'.* no row among the first 100"):
        opened(tmp_path, request(tools=[1]))


def test_a_file_of_another_layout_is_not_a_batch(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--preset openai-batch: it reads the prompt from 'messages', but"):
        opened(tmp_path, {"problem": "1 + 1?"}, preset="openai-batch")
    reader = opened(tmp_path, {"custom_id": "a", "body": {"x": 1}, "q": "?"}, fields=FieldMap(prompt="q"))
    assert list(reader.rows()) == [Row(1, "1", "?", None, None, None)]
