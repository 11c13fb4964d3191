"""Readers: datasets as streams of rows, from a file or the Hugging Face Hub."""

from __future__ import annotations

import codecs
import hashlib
import itertools
import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from models.errors import UserError
from scheduler.batches import flat_items, shared_sampling
from scheduler.fields import BadRow, Columns, FieldMap, Row, choose_columns
from scheduler.formats import FORMAT_LIST, FORMATS, Item, reading
from scheduler.presets import BATCH

__all__ = ["BadRow", "DatasetReader", "FieldMap", "Row", "Source", "file_source", "open_dataset"]

_ROWS_LOOKED_AT = 100
_HUB = "hf:"


class DatasetReader:
    """A dataset that can be read from its beginning any number of times, in memory that does not grow with it."""

    def __init__(self, source: Source, columns: Columns, present: tuple[str, ...], limit: int | None) -> None:
        self.name = source.name
        self._source = source
        self._columns = columns
        self._present = present
        self._limit = limit

    @property
    def sampling(self) -> Mapping[str, Any]:
        """What its rows themselves ask of a job's sampling, by the fields of `strategies.protocols.Sampling`."""
        return self._source.sampling

    def rows(self) -> Iterator[Row | BadRow]:
        """The rows in order, bad ones among them; closing or dropping the iterator closes the file.

        Raises:
            UserError: the rest of the file cannot be read (a broken array, archive or table).
        """
        with closing(self._source.items()) as items:
            for number, item in itertools.islice(items, self._limit):
                yield item if isinstance(item, BadRow) else self._columns.row(number, item)

    def content_hash(self) -> str:
        """SHA-256 (hex) of the file's bytes or the Hub revision, the columns read and the limit."""
        digest = hashlib.sha256()
        settings = {"format": self._source.format, "limit": self._limit, "columns": self._columns.identity()}
        digest.update(json.dumps(settings, sort_keys=True).encode())
        self._source.feed(digest.update)
        return digest.hexdigest()

    def describe(self) -> str:
        """One line for a person: what is read, in which format, from which columns."""
        limit = "" if self._limit is None else f", first {self._limit} rows"
        return f"{self._source.label} ({self._source.format}{limit}; {self._columns.describe(self._present)})"

    def where(self, number: int) -> str:
        """A row's place for messages, such as "problems.jsonl line 7"."""
        return f"{self._source.label} {self._source.unit} {number}"


def open_dataset(
    source: str,
    fields: FieldMap | None = None,
    *,
    preset: str | None = None,
    limit: int | None = None,
    split: str = "test",
) -> DatasetReader:
    """Open a file, or a Hub dataset written `hf:owner/name[:config]`, and decide which columns are read.

    `limit` is the number of rows read, bad ones counted; `split` matters for Hub datasets alone.

    Raises:
        UserError: the file is missing, a directory, empty or of unknown format; a package is missing; a column
            is not there; or its layout is not recognised.
    """
    if limit is not None and limit < 1:
        raise UserError(f"--limit {limit}: give at least 1")
    opened = _hub_source(source, split) if source.startswith(_HUB) else file_source(source)
    first: Mapping[str, Any] | None = None
    fault: BadRow | None = None
    if preset in (None, BATCH) and (fields is None or fields.prompt is None):
        opened = opened.with_flat_requests()
    with closing(opened.items()) as items:
        for number, item in itertools.islice(items, _ROWS_LOOKED_AT):
            if isinstance(item, Mapping):
                first = item
                break
            fault = fault or (
                item if isinstance(item, BadRow) else BadRow(number, "is not an object with named fields")
            )
    if first is None and fault is None:
        raise UserError(f"{opened.label} has no rows; give a dataset with at least one problem")
    if first is None and fault is not None:
        where = f"{opened.label} {opened.unit} {fault.number}"
        raise UserError(
            f"{where}: {fault.reason}; no row among the first {_ROWS_LOOKED_AT} can be read, correct the file"
        )
    record: Mapping[str, Any] = first or {}
    columns = choose_columns(record, fields or FieldMap(), preset, opened.label)
    return DatasetReader(opened, columns, tuple(record), limit)


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from. `unit` is what their numbers count; `feed` gives every byte (or the revision) to a hash."""

    name: str
    label: str
    format: str
    unit: str
    items: Callable[[], Generator[Item]]
    feed: Callable[[Callable[[bytes], None]], None]
    sampling: Mapping[str, Any] = field(default_factory=dict)

    def with_flat_requests(self) -> Self:
        """The same with requests to OpenAI's batch API as flat rows, and in `sampling` what they ask for; as it is where it
        holds none."""
        sampling = shared_sampling(self.items(), _ROWS_LOOKED_AT) if self.format in ("jsonl", "json") else None
        if sampling is None:
            return self
        return replace(self, items=lambda: flat_items(self.items(), sampling), sampling=sampling)


def file_source(source: str) -> Source:
    """A file as a stream of numbered rows, whatever they hold.

    Raises:
        UserError: it is missing, a directory, empty or of unknown format.
    """
    path = Path(source).expanduser()
    ending = next((ending for ending in FORMATS if path.name.lower().endswith(ending)), None)
    if path.is_dir():
        raise UserError(f"{source} is a directory; name one file in it ({FORMAT_LIST})")
    if not path.exists():
        raise UserError(f"{source}: there is no such file; check the path, or write hf:owner/name for the Hub")
    if ending is None:
        raise UserError(f"{source}: unknown format; name a file that ends in {FORMAT_LIST}")
    if not path.is_file():
        raise UserError(
            f"{source} is not a regular file, and datasets are read more than once; save it to a file first"
        )
    with reading(path) as stream:
        start = stream.read(2)
    if not start:
        raise UserError(f"{source} is empty; give a dataset with at least one problem")
    name, unit, read = FORMATS[ending]
    if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise UserError(f"{source} is UTF-16 text; save it as UTF-8")

    def feed(update: Callable[[bytes], None]) -> None:
        with reading(path) as stream:
            while chunk := stream.read(2**20):
                update(chunk)

    return Source(path.name[: -len(ending)] or path.name, source, name, unit, lambda: read(path), feed)


def _hub_source(source: str, split: str) -> Source:
    name, _, config = source.removeprefix(_HUB).partition(":")
    if name.count("/") != 1 or not all(name.split("/")):
        raise UserError(f"{source}: write hf:owner/name or hf:owner/name:config")
    try:
        import datasets
        import huggingface_hub
    except ImportError:
        raise UserError(f"{source}: the Hub needs more packages; pip install 'tts-jobs[hub]'") from None
    label = f"{source} ({split})"
    revision = _asked(label, lambda: huggingface_hub.HfApi().dataset_info(name).sha)
    stream = _asked(
        label,
        lambda: datasets.load_dataset(name, config or None, split=split, revision=revision, streaming=True),
    )

    def items() -> Generator[Item]:
        rows = iter(stream)
        for number in itertools.count(1):
            row = _asked(label, lambda: next(rows, None))
            if row is None:
                return
            yield number, row

    def feed(update: Callable[[bytes], None]) -> None:
        update(json.dumps([name, config, split, revision]).encode())

    return Source(name, label, "hub", "row", items, feed)


def _asked(label: str, ask: Callable[[], Any]) -> Any:
    """What the Hub answers; its libraries raise errors of many families, each of which the user can mend."""
    try:
        return ask()
    except OSError:
        why = "the Hub cannot be reached or does not have it"
    except Exception as error:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
    raise UserError(f"{label}: {why}; check the name, --split and the network, or download a file and give its path")
