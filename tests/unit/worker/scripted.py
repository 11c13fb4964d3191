"""An engine whose completions are written down, and the little that a query on it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from models.architecture import Architecture
from models.costs import CostModel
from models.settings import Price
from models.templates import Template, load_template
from strategies.protocols import Completion, Message, Prefix, Sampling, TokenUsage
from strategies.task import Budget
from worker.ledger import Ledger
from worker.meter import Meter, SharedEngine

ARCHITECTURE = Architecture(
    family="llama",
    layers=2,
    hidden=8,
    query_heads=2,
    kv_heads=1,
    head_dim=4,
    mlp_width=16,
    gated=True,
    vocabulary=32,
)
PRICE = Price(prompt=2.0, cached=1.0, generated=8.0)
COSTS = CostModel("scripted", ARCHITECTURE, PRICE)
SAMPLING = Sampling(max_tokens=20)

Reply = tuple[int, int, str] | Exception
"""(tokens the model would write, event-loop turns it takes, text), or what the call raises."""


class ScriptedEngine:
    """Replies in the order in which calls arrive; `tells` is whether the prompt's length is known beforehand."""

    name = "scripted"
    context_length = 4096

    def __init__(
        self,
        reply: Callable[[int], Reply],
        *,
        prompt: int = 7,
        cached: int | None = 0,
        tells: bool = True,
        capacity: int = 64,
    ):
        self.capacity = capacity
        self.reply = reply
        self.prompt, self.cached, self.tells = prompt, cached, tells
        self.asked: list[int] = []
        self.seeds: list[int] = []
        self.running = self.most_running = self.cancelled = 0

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        return Prefix(tokens=(1,) * self.prompt) if self.tells else Prefix(messages=tuple(messages))

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
        reply = self.reply(len(self.asked))
        self.asked.append(max_tokens)
        self.seeds += seeds
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            for _ in range(1 if isinstance(reply, Exception) else reply[1]):
                await asyncio.sleep(0)
            if isinstance(reply, Exception):
                raise reply
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        tokens, _, text = reply
        usage = TokenUsage(self.prompt, self.cached, min(tokens, max_tokens))
        return [Completion(text, "stop" if tokens <= max_tokens else "length", usage)]

    async def close(self) -> None:
        return None


def says(*lengths: int, turns: int = 1) -> Callable[[int], Reply]:
    """Completions of these lengths, over and over."""
    return lambda call: (lengths[call % len(lengths)], turns, "The answer is 4.")


async def make_meter(
    engine: ScriptedEngine,
    budget: Budget,
    *,
    ledger: Ledger | None = None,
    costs: CostModel = COSTS,
    sampling: Sampling = SAMPLING,
    template: Template | None = None,
    shared: SharedEngine | None = None,
) -> tuple[Meter, Ledger]:
    ledger = ledger or Ledger(costs)
    messages = [Message("user", "2 + 2?")]
    meter = Meter(
        shared or SharedEngine.around(engine),
        ledger,
        prefix=await engine.encode(messages),
        messages=messages,
        template=template or load_template("plain"),
        sampling=sampling,
        budget=budget,
        job_seed=3,
        problem_key="p",
    )
    return meter, ledger
