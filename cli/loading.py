"""The progress of reading a dataset."""

from __future__ import annotations

from types import TracebackType

from rich.status import Status

from cli import output


class Loading:
    """Called with what is being done and how many rows have been; a spinner on a terminal, silent on a pipe."""

    def __init__(self, quiet: bool = False) -> None:
        self._status = None if quiet or not output.notes.is_terminal else Status("reading ...", console=output.notes)

    def __call__(self, doing: str, rows: int) -> None:
        if self._status is not None:
            self._status.update(f"{doing}: {rows:,} rows")

    def __enter__(self) -> Loading:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
