"""The engines: what runs or reaches a language model, each behind `strategies.protocols.Generator`."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from models.errors import UserError
from models.settings import Engine, ModelEntry
from strategies.protocols import Generator

MODULES: dict[Engine, str] = {
    "instant": "worker.engines.instant",
    "llamacpp": "worker.engines.llamacpp",
    "openai": "worker.engines.openai",
    "vllm": "worker.engines.vllm",
}

NEEDS: dict[Engine, str] = {"llamacpp": "xllamacpp", "vllm": "vllm"}
"""Packages that only an extra of the same name as the engine installs."""


async def start_engine(name: str, entry: ModelEntry) -> Generator:
    """Start the engine that `entry` names; it belongs to the running event loop until `close`.

    Raises:
        UserError: the entry is wrong, or the engine's extra is not installed.
        TransientError: the entry's server does not answer.
    """
    module = _module(name, entry.engine)
    generator: Generator = await module.start(name, entry)
    return generator


def _module(name: str, engine: Engine) -> ModuleType:
    package = NEEDS.get(engine)
    if package is not None and importlib.util.find_spec(package) is None:
        raise UserError(f"{name}: engine {engine} needs {package}; run: pip install 'tts-jobs[{engine}]'")
    return importlib.import_module(MODULES[engine])
