"""OpenAI's batch output as the types of its client read it: what is missing there is an error here."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Message(_Strict):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None


class Choice(_Strict):
    index: int
    message: Message
    logprobs: None
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


class Usage(_Strict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletion(_Strict):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None


class Response(_Strict):
    status_code: int
    request_id: str
    body: dict[str, Any]


class Error(_Strict):
    code: str
    message: str


class BatchLine(_Strict):
    id: str
    custom_id: str
    response: Response | None
    error: Error | None

    @property
    def completion(self) -> ChatCompletion:
        assert self.response is not None
        return ChatCompletion.model_validate(self.response.body)
