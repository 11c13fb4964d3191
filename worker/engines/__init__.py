"""The engines: what runs or reaches a model, each behind a protocol of `strategies.protocols`."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from models.errors import UserError
from models.settings import Engine, ModelEntry
from strategies.protocols import Generator, Pooler, Reader

MODULES: dict[Engine, str] = {
    "instant": "worker.engines.instant",
    "llamacpp": "worker.engines.llamacpp",
    "openai": "worker.engines.openai",
    "vllm": "worker.engines.vllm",
}

READERS: dict[Engine, str] = {
    "llamacpp": "worker.engines.llamacpp",
    "openai": "worker.engines.served",
    "vllm": "worker.engines.vllm",
}

POOLERS: dict[Engine, str] = {"openai": "worker.engines.poolserver", "vllm": "worker.engines.vllmpooler"}

NEEDS: dict[Engine, str] = {"llamacpp": "xllamacpp", "vllm": "vllm"}
"""Packages that only an extra of the same name as the engine installs."""


async def start_engine(name: str, entry: ModelEntry) -> Generator:
    """Start the engine that `entry` names; it belongs to the running event loop until `close`.

    Raises:
        UserError: the entry is wrong, or the engine's extra is not installed.
        TransientError: the entry's server does not answer.
    """
    generator: Generator = await _module(name, entry.engine, MODULES).start(name, entry)
    return generator


async def start_reader(name: str, entry: ModelEntry) -> Reader:
    """As `start_engine`, for a model that is read from: it need not have a chat template.

    Raises:
        UserError: as `start_engine`, or the engine tells no token ids.
        TransientError: as `start_engine`.
    """
    reader: Reader = await _module(name, entry.engine, READERS).start_reader(name, entry)
    return reader


async def start_pooler(name: str, entry: ModelEntry) -> Pooler:
    """As `start_engine`, for a model with a head of labels, of the kind that `entry.format` names.

    Raises:
        UserError: as `start_engine`, or the engine or the model has no such head.
        TransientError: as `start_engine`.
    """
    pooler: Pooler = await _module(name, entry.engine, POOLERS).start_pooler(name, entry)
    return pooler


def _module(name: str, engine: Engine, modules: dict[Engine, str]) -> ModuleType:
    if engine not in modules:
        raise UserError(f"{name}: engine {engine} cannot read this model; use one of {', '.join(modules)}")
    package = NEEDS.get(engine)
    if package is not None and importlib.util.find_spec(package) is None:
        raise UserError(f"{name}: engine {engine} needs {package}; run: pip install 'tts-jobs[{engine}]'")
    return importlib.import_module(modules[engine])
