"""Gathering: a recording's files are read once and brought together by problem, on disk, in memory that does not grow."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain

from models.errors import UserError
from models.recorded import Recorded
from scheduler.fields import BadRow, Row
from scheduler.intake import Progress
from scheduler.readers import DatasetReader, Source, file_source
from scheduler.recordings.directory import Directory
from scheduler.recordings.facts import Facts
from scheduler.recordings.layouts import Layout, choose_layout

_TOLD_EVERY = 500

_TABLES = """
CREATE TABLE entry (number INTEGER PRIMARY KEY, identity TEXT UNIQUE, key TEXT, prompt TEXT, place TEXT);
CREATE TABLE part (entry INTEGER, file INTEGER, line INTEGER, body TEXT);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One problem of a recording with all its solutions, in the order of the files. `number` counts from 1."""

    number: int
    key: str
    recorded: Recorded
    place: str


class Recording:
    """Files of one run, brought together; also what a dataset of its problems is loaded from.

    `layout` is their format, `facts` what was seen of all of them, `problems` how many there are.
    """

    def __init__(self, sources: Sequence[Source], layout: Layout, directory: Directory | None) -> None:
        self.name = sources[0].name
        self.layout = layout
        self.facts = Facts()
        self.problems = 0
        self._sources = sources
        self._directory = directory
        # An empty name is a file that SQLite itself removes: it may grow beyond the memory, and nobody else sees it.
        self._shelf = sqlite3.connect("")
        self._shelf.executescript(_TABLES)

    def close(self) -> None:
        self._shelf.close()
        if self._directory is not None:
            self._directory.close()

    @property
    def label(self) -> str:
        """The names of the files, or the first and how many there are more."""
        labels = [source.label for source in self._sources]
        return ", ".join(labels) if len(labels) <= 3 else f"{labels[0]} and {len(labels) - 1} more"

    def files_hash(self) -> str:
        """SHA-256 (hex) of the files' bytes in their order."""
        digest = hashlib.sha256()
        for source in self._sources:
            digest.update(b"\0file")
            source.feed(digest.update)
        return digest.hexdigest()

    def entries(self) -> Iterator[Entry]:
        """All problems in the order of their first record."""
        rows = self._shelf.execute(
            "SELECT e.number, e.key, e.prompt, e.place, p.body FROM entry e JOIN part p ON p.entry = e.number "
            "ORDER BY e.number, p.file, p.line"
        )
        first = next(rows, None)
        waiting = chain([] if first is None else [first], rows, [None])
        found: list[Recorded] = []
        before: tuple[int, str, str, str] | None = None
        for row in waiting:
            if before is not None and (row is None or row[0] != before[0]):
                number, key, prompt, place = before
                yield Entry(number, key, replace(_joined(found), key=key, prompt=prompt), place)
                found = []
            if row is not None:
                before = row[:4]
                found.append(Recorded.from_dict(json.loads(row[4])))

    def rows(self) -> Iterator[Row | BadRow]:
        """The recording's own problems, for a dataset of them."""
        for entry in self.entries():
            one = entry.recorded
            yield Row(entry.number, entry.key, one.prompt or "", one.answer, one.subject, one.level)

    def content_hash(self) -> str:
        """Of the problems alone, so that two recordings of the same problems share a dataset and can be compared."""
        digest = hashlib.sha256(b"problems of a recording")
        for row in self.rows():
            assert isinstance(row, Row)
            said = [row.key, row.prompt, row.answer, row.subject, row.level]
            digest.update(json.dumps(said).encode())
        return digest.hexdigest()

    def describe(self) -> str:
        return f"{self.label} ({self.layout.name})"

    def where(self, number: int) -> str:
        [[place]] = self._shelf.execute("SELECT place FROM entry WHERE number = ?", (number,))
        return str(place)

    def add(self, recorded: Recorded, file: int, line: int) -> None:
        """Put one record beside the others of its problem.

        Raises:
            ValueError: it contradicts another record, or its problem is not in the dataset; a clause.
        """
        place = f"{self._sources[file].label} {self._sources[file].unit} {line}"
        key, prompt = recorded.key, recorded.prompt
        if self._directory is not None:
            key, prompt = self._directory.find(recorded)
        elif prompt is None:
            raise ValueError("has no problem beside its answer; name the dataset with --dataset FILE")
        identity = f"key {key}" if key is not None else f"prompt {prompt}"
        known = self._shelf.execute(
            "SELECT number, prompt, place FROM entry WHERE identity = ?", (identity,)
        ).fetchone()
        if known is None:
            self.problems += 1
            number, shown = self.problems, key if key is not None else str(self.problems)
            entry = (number, identity, shown, prompt, place)
            self._shelf.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", entry)
        else:
            number = known[0]
            if known[1] != prompt:
                raise ValueError(f"key {key!r} is already that of another problem at {known[2]}; make the keys unique")
            if not self.layout.joins:
                raise ValueError(
                    f"its problem is already at {known[2]}; import each run by itself, or make the keys unique"
                )
        self.facts.add(recorded, place)
        body = json.dumps(recorded.to_dict(), ensure_ascii=True)
        self._shelf.execute("INSERT INTO part VALUES (?, ?, ?, ?)", (number, file, line, body))

    def finish(self) -> None:
        """All records are there: count what belongs together."""
        self._shelf.execute("CREATE INDEX by_entry ON part (entry, file, line)")
        for entry in self.entries():
            self.facts.problem(entry.recorded)


def gather(files: Sequence[str], *, format: str | None, dataset: DatasetReader | None, progress: Progress) -> Recording:
    """Read a run's files and check every record. With a `dataset`, its problems are those of the recording's keys or
    prompts.

    Raises:
        UserError: a file cannot be read, its format is not known, or a record is not what it should be; the sentence
            names file, line and field.
    """
    sources = [file_source(file) for file in files]
    twice = next((source.label for place, source in enumerate(sources) if source.label in files[:place]), None)
    if twice is not None:
        raise UserError(f"{twice} is named twice; name each file of the run once")
    layout = _layout(sources[0], format)
    if layout.name == "openai-batch" and dataset is None:
        raise UserError(
            f"{sources[0].label}: a batch's output holds no problems; name their dataset with --dataset FILE"
        )
    recording = Recording(sources, layout, None if dataset is None else Directory(dataset))
    try:
        count = 0
        for file, source in enumerate(sources):
            with closing(source.items()) as items:
                for line, item in items:
                    count += 1
                    _add(recording, source, file, line, item)
                    if count % _TOLD_EVERY == 0:
                        progress("reading", count)
        if not recording.problems:
            raise UserError(f"{recording.label} holds no record; give a recording with at least one problem")
        recording.finish()
    except BaseException:
        recording.close()
        raise
    return recording


def _add(recording: Recording, source: Source, file: int, line: int, item: object) -> None:
    where = f"{source.label} {source.unit} {line}"
    if isinstance(item, BadRow):
        raise UserError(f"{where}: {item.reason}; correct it")
    if not isinstance(item, Mapping):
        raise UserError(f"{where}: is not an object with named fields; correct it")
    try:
        recording.add(recording.layout.read(item), file, line)
    except ValueError as error:
        raise UserError(f"{where} ({recording.layout.name}): {error}") from None


def _layout(source: Source, name: str | None) -> Layout:
    with closing(source.items()) as items:
        for line, item in items:
            if isinstance(item, Mapping):
                return choose_layout(item, name, f"{source.label} {source.unit} {line}")
            break
    raise UserError(f"{source.label}: its first row is no object with named fields; correct the file")


def _joined(parts: Sequence[Recorded]) -> Recorded:
    """One problem's records as one: their solutions one behind the other. What was chosen among a part is of no more use."""
    if len(parts) == 1:
        return parts[0]

    def known(name: str) -> str | None:
        return next((value for one in parts if (value := getattr(one, name)) is not None), None)

    return Recorded(
        key=parts[0].key,
        prompt=parts[0].prompt,
        samples=tuple(sample for one in parts for sample in one.samples),
        requests=tuple(spent for one in parts for spent in one.requests),
        answer=known("answer"),
        subject=known("subject"),
        level=known("level"),
    )
