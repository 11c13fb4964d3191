"""Multiple choice: the options that a row lists in a column of its own, and which of them its answer means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True, slots=True)
class Options:
    """The texts in order; `labels` are the row's own names for them, empty where it has none."""

    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()

    def asked(self, question: str) -> str:
        """The question with a line for each option behind it, lettered from A."""
        lines = [f"{letter}. {text}" for letter, text in zip(LETTERS, self.texts, strict=False)]
        return "\n".join([question, "", *lines])

    def answer(self, value: object) -> object:
        """The letter of the option that `value` means: by its label, else, of a whole number, by its place from 0.
        Anything else (a letter, an option's own text) is the answer as it stands.

        Raises:
            ValueError: there is no such option.
        """
        if self.labels:
            written = str(value).strip()
            if written in self.labels:
                return LETTERS[self.labels.index(written)]
            if value is not None:
                raise ValueError(f"is {written!r}, none of the labels {', '.join(self.labels)}")
        if isinstance(value, int) and not isinstance(value, bool):
            if not 0 <= value < len(self.texts):
                raise ValueError(f"is {value}, and the options are numbered from 0 to {len(self.texts) - 1}")
            return LETTERS[value]
        return value


def read_options(value: object) -> Options:
    """A list of texts, or lists of `text` and `label` side by side.

    Raises:
        ValueError: it is neither, there are fewer than two or more than ten, or one is no text.
    """
    texts, labels = (value.get("text"), value.get("label")) if isinstance(value, Mapping) else (value, ())
    if not _are_texts(texts) or not _are_texts(labels):
        raise ValueError('is no list of texts, nor lists of "text" and "label"')
    if not 2 <= len(texts) <= len(LETTERS):
        raise ValueError(f"has {len(texts)} options, not 2 to {len(LETTERS)}")
    if labels and len(labels) != len(texts):
        raise ValueError(f"has {len(texts)} texts and {len(labels)} labels")
    return Options(tuple(text.strip() for text in texts), tuple(labels))


def _are_texts(value: object) -> TypeGuard[Sequence[str]]:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(one, str) for one in value)
