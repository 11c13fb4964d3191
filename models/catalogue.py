"""From what a user calls a generator to the model behind it: entry, weights, identity, architecture, costs."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from models import hub, tables
from models.architecture import Architecture, read_architecture
from models.costs import CostModel
from models.errors import UserError
from models.heartbeats import product_version
from models.judging import JUDGE, MOST_ASKED
from models.settings import FORMATS, HEAD_FORMATS, ModelEntry, Price, settings
from models.specification import JobSpecification
from models.transitions import table
from models.wire import lane_of

MODEL = table(tables.ModelSpecification)
DEFAULT_GENERATOR = "smollm2"
MODEL_FREE_VERIFIERS = {"mean_logprob": False, "exact": True}
"""Verifiers that need no model of their own -> whether it is an oracle, which reads the reference answers."""


@dataclass(frozen=True, slots=True)
class Model:
    """A resolved model. `path` is None for a server or a hub name that is not here; `identity` then is its name."""

    name: str
    entry: ModelEntry
    path: Path | None
    identity: str
    architecture: Architecture | None

    @property
    def lane(self) -> str:
        return lane_of(self.name, self.identity)

    @property
    def costs(self) -> CostModel:
        return CostModel(
            self.name,
            self.architecture,
            self.entry.price,
            self.entry.flops_per_second,
            rereads=self.entry.format in HEAD_FORMATS,
        )


def generator_entries() -> dict[str, ModelEntry]:
    """The generators that have a name: the built-in ones, overridden by those of tts-jobs.toml."""
    return {**hub.builtin_entries(), **settings().generators}


def verifier_entries() -> dict[str, ModelEntry]:
    """The verifiers that are models: the built-in ones, overridden by those of tts-jobs.toml."""
    return {**hub.builtin_verifiers(), **settings().verifiers}


def find_verifier(name: str, generator: Model | None = None) -> Model | None:
    """The model behind a verifier, None for one that needs none; `generator` is the job's own.

    Raises:
        UserError: no verifier of that name, its engine cannot read it or judge, or its weights are not here.
    """
    if name in MODEL_FREE_VERIFIERS:
        return None
    if is_judge(name):
        return _judge(name, generator)
    entries = verifier_entries()
    if name not in entries and name in FORMATS:
        raise UserError(f"--verifier: {name} is a format without a model; name one in a [verifiers.{name}] table")
    if name not in entries:
        known = ", ".join([*MODEL_FREE_VERIFIERS, JUDGE, f"{JUDGE}:GENERATOR", *sorted(entries)])
        raise UserError(f"--verifier: unknown verifier {name!r}; choose one of {known}")
    entry = entries[name]
    if entry.engine == "instant" or (entry.engine == "llamacpp" and entry.format in HEAD_FORMATS):
        cure = "set engine to vllm, or to openai with the url of a `vllm serve`"
        raise UserError(f"--verifier: {name}: {entry.engine} cannot read a {entry.format} model; {cure}")
    return _resolve(name, entry, "--verifier")


def is_judge(verifier: str | None) -> bool:
    """Whether a verifier is a generator that is asked."""
    return verifier is not None and verifier.partition(":")[0] == JUDGE


def _judge(name: str, own: Model | None) -> Model:
    """The generator behind `name`, called by it; `judge:NAME` of the job's own is `judge`."""
    asked = name.partition(":")[2]
    model = find_generator(asked, f"--verifier {JUDGE}") if asked else own
    if model is None:
        raise UserError(
            f"--verifier {JUDGE}: there is no generator here that could judge itself; name one, {JUDGE}:NAME"
        )
    if model.entry.engine == "instant":
        raise UserError(f"--verifier {name}: the engine instant is no model; let another generator judge, {JUDGE}:NAME")
    return replace(model, name=JUDGE if own is not None and model.identity == own.identity else name)


def find_generator(text: str, option: str = "--generator") -> Model:
    """The generator that `text` names: an entry, a directory or GGUF file, a server's URL, or a hub name.

    Raises:
        UserError: nothing of that name, or a built-in model that has not been pulled; the message says what to do.
    """
    entries = generator_entries()
    if text in entries:
        return _resolve(text, entries[text])
    if text.startswith(("http://", "https://")):
        parts = urlsplit(text)
        if parts.username is not None or parts.query:
            raise UserError(
                "--generator: a URL with a user, password or query would be stored; make an entry with api_key_env instead"
            )
        return _resolve(
            _queue_name(parts.netloc), ModelEntry(engine="openai", model=parts.fragment, url=text.partition("#")[0])
        )
    path = Path(text)
    if path.suffix == ".gguf" or path.is_dir():
        return _resolve(
            _queue_name(path.name), ModelEntry(engine="llamacpp" if path.suffix == ".gguf" else "vllm", model=text)
        )
    if re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        return _resolve(_queue_name(text), ModelEntry(engine="vllm", model=text))
    raise UserError(
        f"{option}: unknown model {text!r}; use one of {', '.join(sorted(entries))}, "
        "a model directory, a .gguf file, a server's URL or a hub name (owner/name)"
    )


def _resolve(name: str, entry: ModelEntry, option: str = "--generator") -> Model:
    home = settings().home
    if entry.engine in ("openai", "instant"):
        identity = f"{entry.engine}:{entry.url or ''}:{entry.model}"
        return Model(name, entry, None, identity + _settings_of(entry), architecture_of(entry, None))
    path = hub.resolve(entry.model, home)
    if path is None:
        if entry.model in hub.builtin_entries():
            raise UserError(f"{option}: {name} is not here yet; run `tts-jobs models pull {entry.model}`")
        if "/" not in entry.model or entry.model.startswith((".", "/", "~")):
            raise UserError(f"{option}: {entry.model}: no such model file or directory; correct the path")
        return Model(name, entry, None, entry.model + _settings_of(entry), architecture_of(entry, None))
    return Model(name, entry, path, hub.identity(path, home) + _settings_of(entry), architecture_of(entry, path))


def _settings_of(entry: ModelEntry) -> str:
    """What else may change the text a model writes or the scores it gives: both are shared only under the same."""
    given = {"reasoning_effort": entry.reasoning_effort, **entry.engine_args}
    if entry.format is not None:
        given["format"] = entry.format
    if not any(value is not None for value in given.values()):
        return ""
    return "+" + hashlib.sha256(json.dumps(given, sort_keys=True, default=str).encode()).hexdigest()[:12]


def architecture_of(entry: ModelEntry, path: Path | None) -> Architecture | None:
    """What FLOPs are computed from: the entry's own `architecture`, the weights, or the Hub's cached config.json.

    None while nothing of it is on this machine: an engine that downloads its model knows it afterwards.
    """
    source = Path(entry.architecture) if entry.architecture else path
    if source is None and entry.engine == "vllm":
        source = hub.cached_config(entry.model)
    return read_architecture(source) if source is not None else None


def _queue_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text.removesuffix(".gguf")).strip("-")


def record_model(connection: Connection, model: Model, now: datetime, *, kind: str = "generator") -> None:
    """Record a generator or verifier as it is used now; the same name with other weights is another row."""
    upsert = (sqlite_insert if connection.dialect.name == "sqlite" else postgres_insert)(MODEL)
    price = model.entry.price.model_dump(exclude_none=True)
    connection.execute(
        upsert.values(
            name=model.name,
            kind=kind,
            engine=model.entry.engine,
            identity=model.identity,
            architecture=model.architecture.to_dict() if model.architecture else None,
            price={**price, "flops_per_second": model.entry.flops_per_second},
            versions={"tts-jobs": product_version()},
            created_at=now,
        ).on_conflict_do_update(
            index_elements=["name", "kind", "identity"],
            set_={"architecture": upsert.excluded.architecture, "price": upsert.excluded.price},
        )
    )


def job_costs(connection: Connection, specification: JobSpecification) -> CostModel:
    """The costs of a job's models as they were recorded: the scheduler's machine need not have their weights."""
    costs = _recorded(connection, "generator", specification.generator, specification.generator_identity)
    identity = specification.verifier_identity
    if specification.verifier is None or identity in (None, specification.verifier):
        return costs  # a verifier without a model is its own identity
    return verified(costs, _recorded(connection, "verifier", specification.verifier, identity))


def verified(costs: CostModel, verifier: CostModel | None) -> CostModel:
    """A generator's costs where `verifier` reads what it writes."""
    asked = MOST_ASKED if verifier is not None and is_judge(verifier.model) else 0
    return replace(costs, verifier=verifier, question=asked)


def _recorded(connection: Connection, kind: str, name: str, identity: str) -> CostModel:
    row = connection.execute(
        select(MODEL.c.architecture, MODEL.c.price).where(
            MODEL.c.name == name, MODEL.c.kind == kind, MODEL.c.identity == identity
        )
    ).one()
    price = dict(row.price)
    speed = price.pop("flops_per_second", None)
    return CostModel(
        name, Architecture.from_dict(row.architecture) if row.architecture else None, Price(**price), speed
    )
