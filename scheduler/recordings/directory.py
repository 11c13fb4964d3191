"""Directory: a dataset's problems by key and by prompt, on disk, to find those of a recording in it."""

from __future__ import annotations

import re
import sqlite3

from models.recorded import Recorded
from scheduler.fields import BadRow
from scheduler.readers import DatasetReader

_NUMBERED = re.compile(r"(.+?)[-_#:/.@](?:sample[-_]?|s)?\d+")
"""A request's own name: that of its problem and a number, as `test/algebra/7.json#3`."""


class Directory:
    """Bad rows of the dataset are passed over: who loads it says whether there may be any."""

    def __init__(self, dataset: DatasetReader) -> None:
        self._label = dataset.describe().partition(" (")[0]
        self._shelf = sqlite3.connect("")
        self._shelf.execute("CREATE TABLE problem (key TEXT PRIMARY KEY, prompt TEXT)")
        for row in dataset.rows():
            if not isinstance(row, BadRow):
                self._shelf.execute("INSERT OR IGNORE INTO problem VALUES (?, ?)", (row.key, row.prompt))
        self._shelf.execute("CREATE INDEX by_prompt ON problem (prompt)")

    def close(self) -> None:
        self._shelf.close()

    def find(self, recorded: Recorded) -> tuple[str, str]:
        """The key and prompt in the dataset, by the recorded prompt, else by the key, else by the key without a number
        behind it. With a key, the prompts may differ in what stands around them, such as options or white space.

        Raises:
            ValueError: the dataset does not have it.
        """
        found = None
        if recorded.prompt is not None:
            found = self._row("prompt", recorded.prompt) or self._row("prompt", recorded.prompt.strip())
        if found is None and recorded.key is not None:
            found = self._row("key", recorded.key)
            if found is None and (match := _NUMBERED.fullmatch(recorded.key)):
                found = self._row("key", match[1])
            if found is not None and not _alike(recorded.prompt, found[1]):
                raise ValueError(
                    f"its problem is another than that of key {found[0]!r} in {self._label}; name the dataset that was run"
                )
        if found is None:
            named = "its problem" if recorded.key is None else f"the problem {recorded.key!r}"
            raise ValueError(f"{named} is not in {self._label}; name the dataset that was run with --dataset")
        return found

    def _row(self, column: str, value: str) -> tuple[str, str] | None:
        found = self._shelf.execute(f"SELECT key, prompt FROM problem WHERE {column} = ? LIMIT 1", (value,))  # noqa: S608
        row: tuple[str, str] | None = found.fetchone()
        return row


def _alike(recorded: str | None, prompt: str) -> bool:
    if recorded is None:
        return True
    shorter, longer = sorted((" ".join(recorded.split()), " ".join(prompt.split())), key=len)
    return shorter in longer
