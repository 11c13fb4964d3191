"""The verifiers by name: those that need no model, and those that are one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from models.catalogue import Model, architecture_of, find_verifier, is_judge, verifier_entries
from models.costs import CostModel
from models.errors import UserError
from models.judging import JUDGE
from models.settings import Format
from strategies.protocols import Generator, Pooler, QueryError, Reader, TransientError, Verifier
from worker.engines import start_pooler, start_reader
from worker.extensions import load_extension
from worker.verifiers.exact import Exact
from worker.verifiers.judge import Judge
from worker.verifiers.label_head import PlainLines, SolutionHead, StepFormat, StepHead, TaggedChat
from worker.verifiers.label_token import MATH_SHEPHERD, RLHFLOW, TINY_PRM, LabelFormat, LabelToken
from worker.verifiers.mean_logprob import MeanLogprob

LABEL_TOKENS: dict[Format | None, LabelFormat] = {
    "tiny-prm": TINY_PRM,
    "math-shepherd": MATH_SHEPHERD,
    "rlhflow": RLHFLOW,
}
STEP_HEADS: dict[Format | None, StepFormat] = {"qwen-prm": TaggedChat(), "skywork": PlainLines()}
"""Every other format is `orm`."""

Own = tuple[Generator, CostModel]
"""A job's own generator and its costs."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A verifier that is a model, started."""

    verifier: Verifier
    engine: Reader | Pooler
    identity: str
    costs: CostModel


class Verifiers:
    """The verifiers of one process. One that is a model is started when the first query asks for it, then shared."""

    def __init__(self) -> None:
        self._loaded: dict[str, Loaded] = {}
        self._added: dict[str, Verifier] = {}
        self._own: Judge | None = None
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
            # Kept, for a process has one generator of its own: how it spells Yes and No is asked once.
            self._own = self._own or Judge(name, _read_from(name, generator))
            return self._own, replace(costs, model=name)
        if name not in verifier_entries() and not is_judge(name):
            added = self._added.get(name) or load_extension("verifiers", name)
            if added is not None:
                self._added[name] = added
                return added, None
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
            await loaded.engine.close()


async def _load(name: str) -> Loaded:
    try:
        model = await asyncio.to_thread(find_verifier, name)
    except UserError as error:
        raise QueryError(str(error)) from None
    assert model is not None, "those without a model are found before"
    try:
        verifier, engine = await _start(model)
    except UserError as error:
        raise TransientError(str(error)) from None
    if model.architecture is None:  # the engine may have downloaded the model only now
        model = replace(model, architecture=await asyncio.to_thread(architecture_of, model.entry, model.path))
    return Loaded(verifier, engine, model.identity, model.costs)


async def _start(model: Model) -> tuple[Verifier, Reader | Pooler]:
    name, entry = model.name, model.entry
    if is_judge(name):
        reader = await start_reader(name, entry)
        return Judge(name, reader), reader
    if entry.format in LABEL_TOKENS:
        reader = await start_reader(name, entry)
        return LabelToken(name, reader, LABEL_TOKENS[entry.format]), reader
    pooler = await start_pooler(name, entry)
    if entry.format in STEP_HEADS:
        return StepHead(name, pooler, STEP_HEADS[entry.format]), pooler
    return SolutionHead(name, pooler), pooler


def _read_from(name: str, engine: Generator) -> Reader:
    """The engine, if it tells how likely single tokens are."""
    if not isinstance(engine, Reader):
        raise QueryError(
            f"{name}: this engine gives no probabilities of labels or answers; use llamacpp, vllm, or a server that takes token ids"
        )
    return engine
