"""The problems that come with the tiny models."""

from __future__ import annotations

from pathlib import Path

PROBLEMS = Path(__file__).parent / "tiny_problems.jsonl"
"""2,000 arithmetic problems held out from the models' training, evenly of five levels (docs/tiny-models.md)."""
