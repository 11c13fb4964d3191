"""What every generator promises. A suite that subclasses these gives a fixture `generator` (or `model`)
with a context of `CONTEXT` tokens, on the session's event loop."""

from __future__ import annotations

import asyncio
import time

import pytest

from strategies.protocols import Generator, Message, Prefix, QueryError, Sampling

CONTEXT = 512
SUM = [Message("user", "What is 12 + 30? Answer in one sentence.")]
STORY = [Message("user", "Tell me a long story about the sea.")]
GREEDY = Sampling(temperature=0.0)
PLAIN = Sampling(temperature=1.0)


class AnyGenerator:
    """Promises of any generator."""

    async def test_it_tells_its_limits(self, generator: Generator) -> None:
        assert isinstance(generator, Generator)
        assert generator.capacity >= 1
        assert generator.context_length == CONTEXT

    async def test_encode_gives_tokens(self, generator: Generator) -> None:
        prefix = await generator.encode(SUM)
        assert prefix.messages is None
        assert prefix.token_count
        longer = await generator.encode([*SUM, Message("assistant", "42."), Message("user", "And again?")])
        assert longer.token_count is not None
        assert longer.token_count > prefix.token_count

    async def test_the_usage_is_exact(self, generator: Generator) -> None:
        prefix = await generator.encode(SUM)
        (completion,) = await generator.generate(prefix, n=1, stop=[], max_tokens=20, sampling=PLAIN, seeds=[1])
        assert completion.usage.prompt_tokens == prefix.token_count
        assert completion.tokens is not None
        assert completion.usage.generated_tokens == len(completion.tokens)
        assert completion.usage.cached_tokens is not None
        assert 0 <= completion.usage.cached_tokens <= completion.usage.prompt_tokens

    async def test_greedy_needs_no_seed(self, generator: Generator) -> None:
        prefix = await generator.encode(SUM)
        texts = {
            (await generator.generate(prefix, n=1, stop=[], max_tokens=24, sampling=GREEDY, seeds=[seed]))[0].text
            for seed in (1, 2)
        }
        assert len(texts) == 1

    async def test_one_seed_gives_one_text(self, generator: Generator) -> None:
        prefix = await generator.encode(STORY)
        # The first call fills the prompt cache, so that the two compared ones compute the same thing.
        first, *again = [
            (await generator.generate(prefix, n=1, stop=[], max_tokens=16, sampling=PLAIN, seeds=[7]))[0]
            for _ in range(3)
        ]
        assert first.usage.prompt_tokens == again[0].usage.prompt_tokens
        assert again[0].text == again[1].text

    async def test_seeds_differ(self, generator: Generator) -> None:
        prefix = await generator.encode(STORY)
        drawn = await generator.generate(prefix, n=4, stop=[], max_tokens=16, sampling=PLAIN, seeds=[0, 1, 2, 3])
        assert len({completion.text for completion in drawn}) > 1

    async def test_a_seed_of_any_size_is_taken(self, generator: Generator) -> None:
        prefix = await generator.encode(SUM)
        (completion,) = await generator.generate(prefix, n=1, stop=[], max_tokens=2, sampling=PLAIN, seeds=[2**63 - 1])
        assert completion.text

    async def test_max_tokens_cuts_and_says_so(self, generator: Generator) -> None:
        prefix = await generator.encode(STORY)
        (completion,) = await generator.generate(prefix, n=1, stop=[], max_tokens=2, sampling=GREEDY, seeds=[1])
        assert completion.finish_reason == "length"
        assert completion.stop_string is None
        assert completion.usage.generated_tokens == 2

    async def test_a_stop_string_is_named_and_left_out(self, generator: Generator) -> None:
        prefix = await generator.encode(SUM)
        (whole,) = await generator.generate(prefix, n=1, stop=[], max_tokens=40, sampling=GREEDY, seeds=[1])
        stop = whole.text.split()[2]
        (cut,) = await generator.generate(prefix, n=1, stop=[stop], max_tokens=40, sampling=GREEDY, seeds=[1])
        assert cut.finish_reason == "stop"
        assert cut.stop_string == stop
        assert cut.text == whole.text[: whole.text.index(stop)]

    async def test_logprobs_belong_to_the_text(self, generator: Generator) -> None:
        prefix = await generator.encode(STORY)
        (completion,) = await generator.generate(prefix, n=1, stop=[], max_tokens=3, sampling=GREEDY, seeds=[1])
        assert completion.logprobs is not None
        assert completion.token_ends is not None
        assert len(completion.logprobs) == len(completion.token_ends) == completion.usage.generated_tokens
        assert all(value <= 0 for value in completion.logprobs)
        assert list(completion.token_ends) == sorted(completion.token_ends)
        assert completion.token_ends[-1] == len(completion.text)

    async def test_a_long_prompt_is_the_querys_error(self, generator: Generator) -> None:
        prefix = await generator.encode([Message("user", "word " * 600)])
        with pytest.raises(QueryError, match=rf"{prefix.token_count}.*{CONTEXT}"):
            await generator.generate(prefix, n=1, stop=[], max_tokens=8, sampling=GREEDY, seeds=[1])

    async def test_the_context_is_never_overrun(self, generator: Generator) -> None:
        tokens = (await generator.encode([Message("user", "word " * 400)])).tokens
        assert tokens is not None
        prefix = Prefix(tokens=(tokens * 2)[: CONTEXT - 2])
        (completion,) = await generator.generate(prefix, n=1, stop=[], max_tokens=100, sampling=GREEDY, seeds=[1])
        assert completion.usage.generated_tokens <= 2

    async def test_as_many_seeds_as_completions(self, generator: Generator) -> None:
        prefix = await generator.encode(SUM)
        with pytest.raises(ValueError, match="seeds"):
            await generator.generate(prefix, n=2, stop=[], max_tokens=8, sampling=GREEDY, seeds=[1])

    async def test_all_of_many_requests_come_back(self, generator: Generator) -> None:
        prefix = await generator.encode(SUM)
        drawn = await asyncio.gather(
            *(
                generator.generate(prefix, n=2, stop=[], max_tokens=4, sampling=PLAIN, seeds=[seed, seed + 100])
                for seed in range(16)
            )
        )
        assert [len(completions) for completions in drawn] == [2] * 16
        assert all(completion.usage.generated_tokens >= 1 for pair in drawn for completion in pair)

    async def test_each_prompt_gets_its_own_reply(self, generator: Generator) -> None:
        """Prompts of different lengths and completions of different lengths at once: replies arrive in any order."""
        prefixes = [await generator.encode([Message("user", "word " * count)]) for count in range(1, 13)]
        drawn = await asyncio.gather(
            *(
                generator.generate(prefix, n=1, stop=[], max_tokens=1 + 7 * place % 5, sampling=PLAIN, seeds=[place])
                for place, prefix in enumerate(prefixes)
            )
        )
        counted = [completion.usage.prompt_tokens for (completion,) in drawn]
        assert counted == [prefix.token_count for prefix in prefixes]
        assert len(set(counted)) == len(prefixes)


class LanguageModel:
    """Promises of a generator behind which there is a language model with a template and a tokenizer."""

    async def test_logprobs_do_not_depend_on_the_sampling(self, model: Generator) -> None:
        prefix = await model.encode(SUM)
        (greedy,) = await model.generate(prefix, n=1, stop=[], max_tokens=1, sampling=GREEDY, seeds=[1])
        narrow = Sampling(temperature=0.2, top_k=1)
        (cold,) = await model.generate(prefix, n=1, stop=[], max_tokens=1, sampling=narrow, seeds=[1])
        assert cold.tokens == greedy.tokens
        assert cold.logprobs == pytest.approx(greedy.logprobs, abs=0.2)

    async def test_the_tail_of_the_distribution_is_sampled(self, model: Generator) -> None:
        """llama.cpp's own defaults (top_k 40) would allow 40 tokens at most."""
        prefix = await model.encode([Message("user", "Write any word at random.")])
        hot = Sampling(temperature=2.0)
        drawn = await model.generate(prefix, n=120, stop=[], max_tokens=1, sampling=hot, seeds=range(120))
        assert len({completion.tokens for completion in drawn}) > 60

    async def test_filters_act_after_the_temperature(self, model: Generator) -> None:
        """At a high temperature no token stands out, so the same top_p lets far more of them through."""
        prefix = await model.encode([Message("user", "Write any word at random.")])

        async def distinct(temperature: float) -> int:
            sampling = Sampling(temperature=temperature, top_p=0.5)
            drawn = await model.generate(prefix, n=30, stop=[], max_tokens=1, sampling=sampling, seeds=range(30))
            return len({completion.tokens for completion in drawn})

        assert await distinct(2.0) > 2 * await distinct(0.5)

    async def test_a_repetition_penalty_changes_the_text(self, model: Generator) -> None:
        prefix = await model.encode([Message("user", "Say: ha ha ha ha ha ha ha ha ha ha")])
        penalised = Sampling(temperature=0.0, repetition_penalty=1.8)
        (plain,) = await model.generate(prefix, n=1, stop=[], max_tokens=16, sampling=GREEDY, seeds=[1])
        (varied,) = await model.generate(prefix, n=1, stop=[], max_tokens=16, sampling=penalised, seeds=[1])
        assert varied.text != plain.text

    async def test_an_ended_text_is_told_from_a_cut_one(self, model: Generator) -> None:
        prefix = await model.encode([Message("user", "Say hello.")])
        (ended,) = await model.generate(prefix, n=1, stop=[], max_tokens=300, sampling=GREEDY, seeds=[1])
        assert ended.finish_reason == "stop"
        assert ended.stop_string is None
        assert ended.usage.generated_tokens < 300

    async def test_the_end_of_a_text_is_its_last_token(self, model: Generator) -> None:
        prefix = await model.encode([Message("user", "Say hello.")])
        (ended,) = await model.generate(prefix, n=1, stop=[], max_tokens=300, sampling=GREEDY, seeds=[1])
        assert prefix.tokens is not None
        assert ended.tokens is not None
        before = Prefix(tokens=prefix.tokens + ended.tokens[:-1])
        (end,) = await model.generate(before, n=1, stop=[], max_tokens=9, sampling=GREEDY, seeds=[1])
        assert (end.text, end.finish_reason, end.tokens) == ("", "stop", ended.tokens[-1:])

    async def test_tokens_continue_where_they_ended(self, model: Generator) -> None:
        prefix = await model.encode(SUM)
        (whole,) = await model.generate(prefix, n=1, stop=[], max_tokens=12, sampling=GREEDY, seeds=[1])
        (head,) = await model.generate(prefix, n=1, stop=[], max_tokens=5, sampling=GREEDY, seeds=[1])
        assert prefix.tokens is not None
        assert head.tokens is not None
        (tail,) = await model.generate(
            Prefix(tokens=prefix.tokens + head.tokens), n=1, stop=[], max_tokens=7, sampling=GREEDY, seeds=[1]
        )
        assert head.text + tail.text == whole.text

    async def test_a_step_is_continued_behind_the_string_that_ended_it(self, model: Generator) -> None:
        prefix = await model.encode(STORY)
        (whole,) = await model.generate(prefix, n=1, stop=[], max_tokens=16, sampling=GREEDY, seeds=[1])
        stop = whole.text.split()[3]
        (step,) = await model.generate(prefix, n=1, stop=[stop], max_tokens=16, sampling=GREEDY, seeds=[1])
        assert prefix.tokens is not None
        assert step.tokens is not None
        left = 16 - step.usage.generated_tokens
        (rest,) = await model.generate(
            Prefix(tokens=prefix.tokens + step.tokens), n=1, stop=[], max_tokens=left, sampling=GREEDY, seeds=[1]
        )
        assert step.text + stop + rest.text == whole.text

    async def test_a_repeated_prompt_is_cached(self, model: Generator) -> None:
        prefix = await model.encode([Message("user", "A prompt that comes twice, word for word, is read once. " * 24)])
        for _ in range(2):
            (completion,) = await model.generate(prefix, n=1, stop=[], max_tokens=1, sampling=GREEDY, seeds=[1])
        assert completion.usage.cached_tokens is not None
        assert completion.usage.cached_tokens > completion.usage.prompt_tokens // 2

    async def test_cancelling_frees_the_engine(self, model: Generator) -> None:
        prefix = await model.encode(STORY)
        long = asyncio.create_task(
            model.generate(
                prefix,
                n=model.capacity,
                stop=[],
                max_tokens=400,
                sampling=Sampling(temperature=1.5),
                seeds=range(model.capacity),
            )
        )
        await asyncio.wait([long], timeout=1.0)
        cancelled = time.monotonic()
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        assert time.monotonic() - cancelled < 1.0
        async with asyncio.timeout(30):
            await model.generate(prefix, n=1, stop=[], max_tokens=2, sampling=GREEDY, seeds=[1])
