"""What a log record is about: the job, query and attempt that are worked on where it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

_about: ContextVar[Mapping[str, int]] = ContextVar("tts_about", default=MappingProxyType({}))


@contextmanager
def about(**ids: int) -> Iterator[None]:
    """Records made inside the block, by this task or thread and what it starts, carry these ids (job, query, attempt)."""
    token = _about.set({**_about.get(), **ids})
    try:
        yield
    finally:
        _about.reset(token)


def current() -> Mapping[str, int]:
    """The ids of now, outermost first."""
    return _about.get()
