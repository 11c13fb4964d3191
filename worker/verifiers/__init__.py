"""The verifiers by name: those that need no model, and those that are one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from models.catalogue import find_verifier, is_judge
from models.costs import CostModel
from models.errors import UserError
from models.judging import JUDGE
from strategies.protocols import Generator, QueryError, Reader, TransientError, Verifier
from worker.engines import start_engine
from worker.verifiers.exact import Exact
from worker.verifiers.judge import Judge, Talker
from worker.verifiers.label_token import TINY_PRM, LabelFormat, LabelToken
from worker.verifiers.mean_logprob import MeanLogprob

FORMATS: dict[str, LabelFormat] = {"tiny-prm": TINY_PRM}

Own = tuple[Generator, CostModel]
"""A job's own generator and its costs."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A verifier that is a model, started."""

    verifier: LabelToken | Judge
    reader: Reader
    identity: str
    costs: CostModel


class Verifiers:
    """The verifiers of one process. One that is a model is started when the first query asks for it, then shared."""

    def __init__(self) -> None:
        self._loaded: dict[str, Loaded] = {}
        self._loading = asyncio.Lock()

    async def find(
        self, name: str, identity: str | None, grade: Exact.Grade, own: Own | None = None
    ) -> tuple[Verifier, CostModel | None]:
        """The verifier called `name`, and its costs if it is a model; `grade(text, reference)` is for the oracle, `own`
        for the generator that judges itself.

        Raises:
            QueryError: no such verifier, or its weights here are not those of `identity`.
            TransientError: it could not be started.
        """
        if name == "mean_logprob":
            return MeanLogprob(), None
        if name == "exact":
            return Exact(grade), None
        if name == JUDGE and own is not None:
            generator, costs = own
            return Judge(name, _read_from(name, generator)), replace(costs, model=name)
        async with self._loading:
            if name not in self._loaded:
                self._loaded[name] = await _load(name)
        loaded = self._loaded[name]
        if identity is not None and loaded.identity != identity:
            raise QueryError(
                f"{name}: this worker's weights or settings are not the job's; use the same on both machines"
            )
        return loaded.verifier, loaded.costs

    async def close(self) -> None:
        for loaded in self._loaded.values():
            await loaded.reader.close()


async def _load(name: str) -> Loaded:
    try:
        model = await asyncio.to_thread(find_verifier, name)
    except UserError as error:
        raise QueryError(str(error)) from None
    assert model is not None, "those without a model are found before"
    try:
        engine = await start_engine(name, model.entry)
    except UserError as error:
        raise TransientError(str(error)) from None
    try:
        reader = _read_from(name, engine)
    except QueryError:
        await engine.close()
        raise
    verifier = Judge(name, reader) if is_judge(name) else LabelToken(name, reader, FORMATS[name])
    return Loaded(verifier, reader, model.identity, model.costs)


def _read_from(name: str, engine: Generator) -> Talker:
    """The engine, if it tells how likely single tokens are."""
    if not isinstance(engine, Reader):
        raise QueryError(f"{name}: this engine gives no probabilities of labels or answers; use llamacpp or vllm")
    return engine
