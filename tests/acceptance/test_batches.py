"""A file for OpenAI's batch API goes in, and one that its client reads comes out."""

from __future__ import annotations

import json
from typing import Any

from tests.batches import BatchLine
from tests.commands import Shop


def request(key: str, **body: Any) -> str:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"What is {key}?"}]
    asked = {"model": "gpt-4o-mini", "messages": messages, "temperature": 0.5, "max_tokens": 64, **body}
    return json.dumps({"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": asked})


def test_a_batch_goes_in_and_a_batch_comes_out(shop: Shop) -> None:
    lines = [request(f"{n} + 1", metadata={"answer": str(n + 1), "level": str(n % 2)}) for n in range(6)]
    (shop.directory / "batch.jsonl").write_text("\n".join(lines))
    ran = shop.tts("run", "batch.jsonl", "-g", "fast", "-s", "majority_vote", "-b", "3")
    assert "as the file asks: temperature 0.5, max_tokens 64" in ran.stderr
    said = shop.tts("results", "last", "--format", "openai-batch", "--output", "output.jsonl")
    assert said.stderr == "6 rows written to output.jsonl\n"
    found = [BatchLine.model_validate_json(line) for line in (shop.directory / "output.jsonl").read_text().splitlines()]
    assert [line.custom_id for line in found] == [f"{n} + 1" for n in range(6)]
    for line, row in zip(found, map(json.loads, shop.tts("results", "last").stdout.splitlines()), strict=True):
        completion = line.completion
        assert completion.model == "fast"
        assert len(completion.choices) == 3
        content, usage = completion.choices[0].message.content, completion.usage
        assert content is not None
        assert usage is not None
        assert f"boxed{{{row['answer']}}}" in content
        assert row["prompt"].startswith("Be brief.\n\nWhat is ")
        assert (row["reference"], row["level"]) == (str(int(row["key"][0]) + 1), str(int(row["key"][0]) % 2))
        assert usage.completion_tokens == row["generated_tokens"]
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens == row["tokens"]
    ((specification,),) = shop.query("SELECT specification FROM job")
    sampling = json.loads(specification)["sampling"]
    assert (sampling["temperature"], sampling["max_tokens"]) == (0.5, 64)


def test_options_come_before_what_the_file_asks(shop: Shop) -> None:
    (shop.directory / "batch.jsonl").write_text(request("a", temperature=0))
    ran = shop.tts("submit", "batch.jsonl", "-g", "fast", "--temperature", "0.9", "--json")
    assert ran.stderr.startswith("as the file asks: max_tokens 64; options of the command come first\n")
    assert json.loads(shop.scalar("SELECT specification FROM job"))["sampling"]["temperature"] == 0.9
    alike = shop.tts("estimate", "batch.jsonl", "-g", "fast")
    assert "at temperature 0 all samples of a query are alike" in alike.stderr


def test_what_a_batch_asks_and_a_job_cannot_do_is_one_sentence_with_its_line(shop: Shop) -> None:
    (shop.directory / "batch.jsonl").write_text("\n".join([request("a"), request("b", tools=[{"type": "function"}])]))
    for command in ("run", "submit", "estimate"):
        refused = shop.tts(command, "batch.jsonl", "-g", "fast", check=False)
        assert refused.returncode == 2
        assert "batch.jsonl line 2: asks for 'tools', which a job cannot do for single queries" in refused.stderr
        assert len(refused.stderr.splitlines()) == 2, "what is taken over from the file, and the sentence"
    assert shop.scalar("SELECT COUNT(*) FROM problem") == 0
    assert shop.tts("run", "batch.jsonl", "-g", "fast", "--skip-bad").returncode == 0
    assert shop.scalar("SELECT COUNT(*) FROM query") == 1
