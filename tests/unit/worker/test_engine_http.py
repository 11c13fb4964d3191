"""How servers that are not llama.cpp are spoken to, and what their failures become."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from models.errors import UserError
from models.settings import ModelEntry
from strategies.protocols import (
    Completion,
    Generator,
    Message,
    Pooled,
    QueryError,
    Sampling,
    TokenUsage,
    TransientError,
)
from tests.unit.worker.scripted import COSTS
from worker.engines import start_engine, start_pooler, start_reader
from worker.engines.http import Unreachable
from worker.prefixes import reader_of
from worker.verifiers import Verifiers

KEY = "sk-never-to-be-seen"
HELLO = [Message("user", "Hello")]
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
Answer = Callable[[dict[str, Any]], tuple[int, Any]]


class Server:
    """A server that answers by path; it keeps what it was sent."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, Any], str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append((self.path, body, self.headers["Authorization"]))
                self.reply(*outer.answers.get(self.path, lambda _: (404, {"error": "no such path"}))(body))

            def do_GET(self) -> None:
                self.reply(*outer.answers.get(self.path, lambda _: (404, {}))({}))

            def reply(self, status: int, content: Any) -> None:
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def chats(self, **choice: Any) -> None:
        """Answer every chat with `choice`."""
        told = {"message": {"content": "Hi."}, "finish_reason": "stop"} | choice
        self.answers["/v1/chat/completions"] = lambda _: (200, {"choices": [told], "usage": USAGE})


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    thread = threading.Thread(target=started.http.serve_forever, args=(0.01,))
    thread.start()
    yield started
    started.http.shutdown()
    thread.join()
    started.http.server_close()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", KEY)


def entry(server: Server, **given: Any) -> ModelEntry:
    fields = {"engine": "openai", "model": "some-model", "url": server.url, "api_key_env": "THE_KEY"}
    return ModelEntry.model_validate(fields | given)


async def ask(server: Server, *, sampling: Sampling | None = None, **given: Any) -> Completion:
    generator = await start_engine("remote", entry(server, **given))
    try:
        return await one(generator, sampling or Sampling())
    finally:
        await generator.close()


async def one(generator: Generator, sampling: Sampling) -> Completion:
    prefix = await generator.encode(HELLO)
    (completion,) = await generator.generate(prefix, n=1, stop=["END"], max_tokens=16, sampling=sampling, seeds=[2**40])
    return completion


async def test_a_chat_server_is_sent_every_setting(server: Server) -> None:
    server.chats()
    sampling = Sampling(temperature=0.3, top_p=0.9, top_k=7, min_p=0.1, repetition_penalty=1.1)
    completion = await ask(server, sampling=sampling, reasoning_effort="low", engine_args={"user": "me"})
    path, body, authorization = server.asked[-1]
    assert path == "/v1/chat/completions"
    assert authorization == f"Bearer {KEY}"
    expected = {"temperature": 0.3, "top_p": 0.9, "top_k": 7, "min_p": 0.1, "repetition_penalty": 1.1, "n": 1}
    assert expected.items() <= body.items()
    assert {"max_tokens": 16, "stop": ["END"], "reasoning_effort": "low", "user": "me"}.items() <= body.items()
    assert 0 <= body["seed"] < 2**32
    assert completion.text == "Hi."
    assert completion.finish_reason == "stop"
    assert (completion.tokens, completion.logprobs, completion.stop_string) == (None, None, None)
    assert completion.usage.prompt_tokens == 9
    assert completion.usage.cached_tokens == 4


async def test_a_chat_prefix_has_no_token_count(server: Server) -> None:
    generator = await start_engine("remote", entry(server))
    prefix = await generator.encode(HELLO)
    assert prefix.messages == tuple(HELLO)
    assert prefix.token_count is None
    await generator.close()


async def test_separate_reasoning_is_put_back_in_think_tags(server: Server) -> None:
    pieces = [{"token": "4", "logprob": -0.5}, {"token": "2", "logprob": -0.25}]
    server.chats(message={"content": "42", "reasoning_content": "Hm"}, logprobs={"content": pieces})
    completion = await ask(server)
    assert completion.text == "<think>\nHm\n</think>\n\n42"
    assert completion.logprobs == (-0.5, -0.25)
    assert completion.token_ends == (len(completion.text) - 1, len(completion.text))


@pytest.mark.parametrize("field", ["stop_reason", "matched_stop"])
async def test_the_stop_string_is_named_where_the_server_names_it(server: Server, field: str) -> None:
    server.chats(**{field: "END"})
    assert (await ask(server)).stop_string == "END"


async def test_a_cut_text_is_not_taken_for_a_finished_one(server: Server) -> None:
    server.chats(finish_reason="length")
    assert (await ask(server)).finish_reason == "length"


@pytest.mark.parametrize(
    ("reason", "error"), [("content_filter", QueryError), ("abort", TransientError), (None, TransientError)]
)
async def test_a_broken_off_text_is_no_completion(server: Server, reason: str | None, error: type[Exception]) -> None:
    server.chats(finish_reason=reason)
    with pytest.raises(error):
        await ask(server)


async def test_a_field_that_is_off_is_left_out_for_a_server_that_does_not_know_it(server: Server) -> None:
    def picky(body: dict[str, Any]) -> tuple[int, Any]:
        for name in ("top_k", "min_p", "repetition_penalty"):
            if name in body:
                return 400, {"error": {"message": f"Unrecognized request argument supplied: {name}"}}
        if "max_tokens" in body:
            return 400, {"error": {"message": "Unsupported 'max_tokens'; use 'max_completion_tokens' instead"}}
        return 200, {"choices": [{"message": {"content": "Hi."}, "finish_reason": "stop"}], "usage": USAGE}

    server.answers["/v1/chat/completions"] = picky
    generator = await start_engine("remote", entry(server))
    assert (await one(generator, Sampling())).text == "Hi."
    asked = len(server.asked)
    await one(generator, Sampling())
    assert len(server.asked) == asked + 1
    assert server.asked[-1][1]["max_completion_tokens"] == 16
    await generator.close()
    with pytest.raises(QueryError, match="top_k"):
        await ask(server, sampling=Sampling(top_k=5))


async def test_missing_token_counts_are_not_guessed(server: Server) -> None:
    told = {"message": {"content": "Hi."}, "finish_reason": "stop"}
    server.answers["/v1/chat/completions"] = lambda _: (200, {"choices": [told]})
    with pytest.raises(TransientError, match="usage"):
        await ask(server)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, QueryError),
        (413, QueryError),
        (422, QueryError),
        (401, TransientError),
        (403, TransientError),
        (404, TransientError),
        (429, TransientError),
        (500, TransientError),
        (503, TransientError),
    ],
)
async def test_what_a_status_means(server: Server, status: int, error: type[Exception]) -> None:
    server.answers["/v1/chat/completions"] = lambda _: (status, {"error": {"message": f"wrong key {KEY}"}})
    with pytest.raises(error, match=server.url) as caught:
        await ask(server)
    assert KEY not in str(caught.value)
    assert str(status) in str(caught.value)


@pytest.mark.parametrize("reply", [b"<html>", [1], {"choices": []}, {"choices": [{"message": None}]}])
async def test_nonsense_is_an_error_of_the_server(server: Server, reply: Any) -> None:
    server.answers["/v1/chat/completions"] = lambda _: (200, reply)
    with pytest.raises(TransientError):
        await ask(server)


async def test_vllm_is_sent_token_ids(server: Server) -> None:
    server.answers["/tokenize"] = lambda _: (200, {"tokens": [5, 6, 7], "count": 3, "max_model_len": 64})
    drawn = {"text_offset": [10, 12, 14], "token_logprobs": [-0.5, -1.5, 0.0]}
    choice = {
        "text": "abc",
        "token_ids": [1, 2, 3],
        "logprobs": drawn,
        "finish_reason": "stop",
        "stop_reason": "END",
    }
    server.answers["/v1/completions"] = lambda _: (200, {"choices": [choice], "usage": USAGE})
    completion = await ask(server)
    body = server.asked[-1][1]
    assert body["prompt"] == [5, 6, 7]
    assert body["return_token_ids"] is True
    assert body["max_tokens"] == 16
    assert completion.tokens == (1, 2, 3)
    assert completion.logprobs == (-0.5, -1.5, 0.0)
    assert completion.token_ends == (2, 3, 3)
    assert completion.stop_string == "END"


def tokenizes(server: Server, context: int = 64) -> None:
    """Answer as vLLM does where a prompt is to be tokenised: a token a letter."""
    server.answers["/tokenize"] = lambda body: (
        200,
        {"tokens": list(map(ord, body.get("prompt") or "chat")), "max_model_len": context},
    )


async def test_vllm_is_asked_for_tokens_by_their_ids(server: Server) -> None:
    tokenizes(server)
    likely = {"token_id:43": -0.5, "token_id:45": -1.5, "token_id:7": -0.25}
    choice = {"text": "!", "logprobs": {"top_logprobs": [likely]}, "finish_reason": "length"}
    server.answers["/v1/completions"] = lambda _: (200, {"choices": [choice], "usage": USAGE})
    reader = await start_reader("prm", entry(server))
    try:
        (seen,) = await reader.next_logprobs([await reader.tokenize("12")], (45, 43))
        with pytest.raises(QueryError, match=r"64 tokens and the model's context holds 64"):
            await reader.next_logprobs([[1], [1] * 64], (45, 43))
        with pytest.raises(TransientError, match="lacks 'token_id:9'; update the server"):
            await reader.next_logprobs([[1]], (9,))
    finally:
        await reader.close()
    assert (seen.logprobs, seen.usage) == ((-1.5, -0.5), TokenUsage(9, 4, 0))
    _, body, *_ = [body for path, body, _ in server.asked if path == "/v1/completions"]
    assert body["prompt"] == [49, 50]
    assert (body["logprob_token_ids"], body["max_tokens"]) == ([45, 43], 1)


async def test_a_chat_server_cannot_be_read_from(server: Server) -> None:
    server.chats()
    with pytest.raises(UserError, match=r"tells no token ids of some-model; serve it with `vllm serve` or llama\.cpp"):
        await start_reader("prm", entry(server))


async def test_a_pooling_server_cannot_be_read_from(server: Server) -> None:
    tokenizes(server)
    with pytest.raises(UserError, match="completes nothing; start `vllm serve some-model` without --runner pooling"):
        await start_reader("prm", entry(server))


@pytest.mark.parametrize(("data", "rows"), [([[0.5, 1.5], [2, 3]], ((0.5, 1.5), (2.0, 3.0))), ([-4.0], ((-4.0,),))])
async def test_a_pooling_server_gives_rows_of_logits(server: Server, data: Any, rows: tuple[Any, ...]) -> None:
    tokenizes(server)
    server.answers["/pooling"] = lambda _: (200, {"data": [{"data": data}], "usage": {"prompt_tokens": 2}})
    server.answers["/tokenizer_info"] = lambda _: (200, {"bos_token": "^"})
    pooler = await start_pooler("prm", entry(server))
    try:
        pooled = await pooler.pool(await pooler.tokenize("12"))
        with pytest.raises(QueryError, match=r"65 tokens and the model's context holds 64"):
            await pooler.pool([1] * 65)
        server.answers["/pooling"] = lambda _: (200, {"data": []})
        with pytest.raises(TransientError, match="update the server"):
            await pooler.pool([1])
    finally:
        await pooler.close()
    assert pooled == Pooled(rows, TokenUsage(2, 0, 0))
    assert pooler.beginning == "^"
    sent = [body for path, body, _ in server.asked if path == "/pooling"]
    assert (sent[1]["input"], sent[1]["use_activation"]) == ([49, 50], False)
    assert len({body["cache_salt"] for body in sent}) == len(sent), "nothing may come out of the server's cache"


async def test_a_server_that_does_not_pool_is_told_how_it_would(server: Server) -> None:
    tokenizes(server)
    with pytest.raises(UserError, match="does not pool; start it as `vllm serve some-model --runner pooling`"):
        await start_pooler("prm", entry(server))


async def test_the_shorter_context_counts(server: Server) -> None:
    server.answers["/tokenize"] = lambda _: (200, {"tokens": [5] * 70, "max_model_len": 64})
    with pytest.raises(QueryError, match=r"70.*64"):
        await ask(server, context_length=100)


async def test_an_entry_without_a_model_takes_the_first_that_is_served(server: Server) -> None:
    server.chats()
    server.answers["/v1/models"] = lambda _: (200, {"data": [{"id": "the-first"}, {"id": "another"}]})
    await ask(server, model="")
    assert server.asked[-1][1]["model"] == "the-first"


async def test_nobody_there_is_told_with_the_address(server: Server) -> None:
    generator = await start_engine("remote", entry(server))
    server.http.server_close()
    server.http.shutdown()
    with pytest.raises(Unreachable, match=server.url):
        await one(generator, Sampling())
    await generator.close()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"url": None}, "needs url"),
        ({"url": "localhost:8000"}, "http://"),
        ({"api_key_env": "NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE"),
        ({"model": ""}, "lists no models"),
    ],
)
async def test_a_wrong_entry_is_explained(server: Server, given: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        await start_engine("remote", entry(server, **given))


async def test_a_chat_server_can_neither_judge_nor_hold_a_thought(server: Server) -> None:
    server.chats()
    generator = await start_engine("remote", entry(server))
    try:
        with pytest.raises(QueryError, match="remote: this engine gives no ids of a text to be put in"):
            reader_of(generator)
        with pytest.raises(QueryError, match="judge: this engine gives no probabilities of labels or answers"):
            await Verifiers().find("judge", None, _never, (generator, COSTS))
    finally:
        await generator.close()


async def _never(answer: str, reference: str) -> bool:
    raise AssertionError("nothing is graded")
