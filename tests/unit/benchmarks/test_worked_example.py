"""The page of the worked example, on answers that are known."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks import worked_example
from models.database import Database, upgrade
from tests.answered import add_answered, add_problems

COUNT = 40


def test_the_page_the_figures_and_the_plot(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(sqlite_url)
    upgrade(database)
    sums = add_problems(database, COUNT)
    ways = worked_example.methods(16)
    job_ids = []
    for way, hits, tokens in zip(ways, (24, 22, 30, 28, 16), (100, 400, 900, 300, 30), strict=True):
        rows = [
            {"model": way.run.generator, "generated_tokens": tokens, "flops_canonical": 100.0 * tokens, "dollars": None}
        ]
        rows += [{"phase": "score", "model": "tiny-prm", "generated_tokens": 0, "dollars": None}] * bool(
            way.run.verifier
        )
        right: list[bool | None] = [(place * hits) % COUNT < hits for place in range(COUNT)]
        job = add_answered(
            database,
            sums,
            right,
            rows,
            generator=way.run.generator,
            strategy=way.run.strategy,
            budget=str(way.run.samples),
        )
        job_ids.append(job.job_id)
    monkeypatch.setattr(worked_example, "RESULTS", tmp_path)
    monkeypatch.setattr(
        worked_example, "generator_size", lambda _, job_id: 9_000_000 if job_id == job_ids[0] else 1_000_000
    )
    worked_example.write(database, ways, job_ids, worked_example.PRICES, "the table that needs no calibration")
    page = (tmp_path / "worked-example.md").read_text()
    assert "| A | the larger model, greedy | tiny-large | 60.0 (44.6 to 73.7) |" in page
    assert "What is the cheapest way to reach 55.0 % on sums?" in page
    assert "At equal FLOPs with pretraining, R = 0.16, what is better" in page
    assert "dominated by " in page
    with (tmp_path / "worked-example.csv").open(newline="") as file:
        figures = {(row["method"], row["unit"]): row for row in csv.DictReader(file)}
    assert len(figures) == 5 * 4
    # $0.36 a million generated and $0.09 a million prompt tokens, of which there are ten.
    assert float(figures["A", "usd"]["cost"]) == pytest.approx(100 * 0.36e-6 + 10 * 0.09e-6)
    assert (tmp_path / "worked-example.png").read_bytes().startswith(b"\x89PNG")
    database.close()
