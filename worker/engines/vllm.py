"""vLLM in this process, sampled and read from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from models.errors import UserError
from models.settings import ModelEntry
from strategies.protocols import Completion, Message, NextTokens, Prefix, QueryError, Sampling, TokenUsage
from worker.engines.reply import finish_of
from worker.engines.request import check_request, draw, room
from worker.engines.vllmcore import Core, start_core
from worker.engines.vocabulary import Vocabulary


class VllmGenerator:
    """Log-probabilities are the model's own: at temperature 1, before any filter."""

    def __init__(self, name: str, core: Core, *, effort: str | None) -> None:
        self.name = name
        self.core = core
        self.capacity = core.capacity
        self.context_length = core.context_length
        self.cache_tokens = core.cache_tokens
        self._template = {"reasoning_effort": effort} if effort else {}

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.core.tokenizer)

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        return Prefix(tokens=chat_tokens(self.core.tokenizer, messages, open_turn=True, **self._template))

    async def generate(
        self,
        prefix: Prefix,
        *,
        n: int,
        stop: Sequence[str],
        max_tokens: int,
        sampling: Sampling,
        seeds: Sequence[int],
    ) -> list[Completion]:
        check_request(n, seeds, max_tokens)
        limit = room(prefix, self.context_length, max_tokens)
        return await draw(
            self._complete, self.core.slots, prefix, stop=stop, max_tokens=limit, sampling=sampling, seeds=seeds
        )

    async def tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(self.core.tokenizer(text)["input_ids"])

    async def next_logprobs(self, prefixes: Sequence[Sequence[int]], wanted: Sequence[int]) -> list[NextTokens]:
        for tokens in prefixes:
            room(Prefix(tokens=tuple(tokens)), self.context_length, 1)
        async with self.core.slots:
            return [await self._next(Prefix(tokens=tuple(tokens)), wanted) for tokens in prefixes]

    async def close(self) -> None:
        await self.core.close()

    async def _next(self, prefix: Prefix, wanted: Sequence[int]) -> NextTokens:
        output = await self._final(prefix, lambda: _label_parameters(wanted))
        at = output.outputs[0].logprobs[0]
        usage = TokenUsage(len(output.prompt_token_ids), output.num_cached_tokens, 0)
        return NextTokens(tuple(min(at[token].logprob, 0.0) for token in wanted), usage)

    async def _complete(
        self, prefix: Prefix, stop: Sequence[str], max_tokens: int, sampling: Sampling, seed: int
    ) -> Completion:
        containing = self._vocabulary.containing
        ends = list({token for text in stop for token in containing(text)})
        return self._completion(
            prefix, await self._final(prefix, lambda: _parameters(stop, ends, max_tokens, sampling, seed))
        )

    async def _final(self, prefix: Prefix, parameters: Callable[[], Any]) -> Any:
        prompt = {"type": "token", "prompt_token_ids": list(prefix.tokens or ())}
        return await self.core.final(lambda engine, number: engine.generate(prompt, parameters(), number))

    def _completion(self, prefix: Prefix, output: Any) -> Completion:
        drawn = output.outputs[0]
        tokens = tuple(drawn.token_ids)
        stop_string = drawn.stop_reason if isinstance(drawn.stop_reason, str) else None
        text = drawn.text.removesuffix(stop_string or "")
        return Completion(
            text=text,
            finish_reason=finish_of(drawn.finish_reason),
            usage=TokenUsage(len(output.prompt_token_ids), output.num_cached_tokens, len(tokens)),
            tokens=tokens,
            stop_string=stop_string,
            logprobs=tuple(min(logprob, 0.0) for logprob in drawn.logprobs.logprobs),
            token_ends=self._token_ends(prefix, tokens, text),
        )

    def _token_ends(self, prefix: Prefix, tokens: Sequence[int], text: str) -> tuple[int, ...]:
        """Where each token's text ends, decoded after the prompt just as vLLM decodes it."""
        from tokenizers.decoders import DecodeStream  # type: ignore[import-not-found, unused-ignore]

        stream = DecodeStream(ids=list(prefix.tokens or ()), skip_special_tokens=True)
        ends, end = [], 0
        for token in tokens:
            try:
                piece = stream.step(self.core.tokenizer.backend_tokenizer, token)
            except Exception:
                # The stream refuses to go on after bytes that are no UTF-8; vLLM starts a new one, too.
                stream = DecodeStream(skip_special_tokens=True)
                piece = stream.step(self.core.tokenizer.backend_tokenizer, token)
            end = min(end + len(piece or ""), len(text))
            ends.append(end)
        return tuple(ends)


def chat_tokens(tokenizer: Any, messages: Sequence[Message], *, open_turn: bool, **template: Any) -> tuple[int, ...]:
    """The ids of a chat by the model's own template, ending where the assistant's turn begins if `open_turn`.

    Raises:
        QueryError: the model has no chat template.
    """
    chat = [{"role": message.role, "content": message.content} for message in messages]
    if getattr(tokenizer, "chat_template", None) is None:
        raise QueryError("this model has no chat template, and its format is a chat; give the verifier's own weights")
    tokens = tokenizer.apply_chat_template(
        chat, add_generation_prompt=open_turn, tokenize=True, return_dict=False, **template
    )
    return tuple(tokens)


def _parameters(stop: Sequence[str], ends: list[int], max_tokens: int, sampling: Sampling, seed: int) -> Any:
    """vLLM's SamplingParams; raises its validation errors, such as for a temperature above 2.

    `ends` are tokens that contain one of `stop`. At one of them the engine itself ends; what is spelled in several is
    found in the text, beside the engine, which meanwhile draws on.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        n=1,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        presence_penalty=0.0,
        frequency_penalty=0.0,
        seed=seed,
        stop=list(stop),
        stop_token_ids=ends,
        max_tokens=max_tokens,
        min_tokens=0,
        ignore_eos=False,
        logprobs=0,
        flat_logprobs=True,
        skip_special_tokens=True,
        # The text of the token that ends it would be left out as a whole.
        include_stop_str_in_output=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
        # Made for one request; a copy of its lists takes longer than the rest of handing it over.
        skip_clone=True,
    )


def _label_parameters(wanted: Sequence[int]) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=0.0, max_tokens=1, logprob_token_ids=list(wanted), output_kind=RequestOutputKind.FINAL_ONLY
    )


async def start(name: str, entry: ModelEntry) -> VllmGenerator:
    """Load the model; from seconds to minutes.

    Raises:
        UserError: the model or an engine argument is wrong, or does not fit this machine.
    """
    generator = await start_reader(name, entry)
    tokenizer = generator.core.tokenizer
    if getattr(tokenizer, "chat_template", None) is None or not hasattr(tokenizer, "backend_tokenizer"):
        await generator.close()
        raise UserError(f"{name}: {entry.model} lacks a chat template or a tokenizer.json; take its instruct version")
    return generator


async def start_reader(name: str, entry: ModelEntry) -> VllmGenerator:
    """As `start`, for a model that is read from; one without a chat template reads plain text alone."""
    return VllmGenerator(name, await start_core(name, entry), effort=entry.reasoning_effort)
