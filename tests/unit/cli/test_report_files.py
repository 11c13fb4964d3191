"""`report --html`, `--png` and `--svg`."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import plot
from tests.unit.cli.conftest import Desk
from tests.unit.cli.page.test_write import data

NAMES = ["--html", "report.html", "--png", "plot.png", "--svg", "plot.svg"]


@pytest.fixture
def job_id(desk: Desk) -> int:
    """Four queries: two right, one wrong, one that has not been started."""
    job_id = desk.submit(4)
    first, second, third = desk.claim(job_id, 3)
    desk.commit([first, second])
    desk.commit([third], correct=False)
    return job_id


@pytest.mark.usefixtures("job_id")
def test_page_and_plots_are_written_beside_the_table(desk: Desk) -> None:
    said = desk.tts("report", *NAMES)
    assert said.code == 0
    assert "66.7 %" in said.stdout
    assert said.stderr.splitlines() == ["page: report.html", "plot: plot.png", "plot: plot.svg"]
    shown = data(Path("report.html").read_bytes())
    assert [(job["done"], job["queries"], job["per_query"]["flops"]) for job in shown["jobs"]] == [(3, 4, 3e6)]
    assert len(shown["queries"]) == 3
    assert Path("plot.png").read_bytes().startswith(b"\x89PNG")
    drawing = Path("plot.svg").read_text()
    assert "fast on problems" in drawing


@pytest.mark.usefixtures("job_id")
def test_json_stays_json(desk: Desk) -> None:
    said = desk.tts("report", "last", "--json", "--html", "report.html")
    assert said.json[0]["correct"] == 2
    assert said.stderr == "page: report.html\n"


def test_names_are_no_formulas_and_equal_curves_give_equal_bytes(tmp_path: Path) -> None:
    curves = {
        "a$x^$_2": [plot.Point(1e6, 0.5, 0.4, 0.6), plot.Point(1e7, 0.6, 0.5, 0.7)],
        "<b>": [plot.Point(2e6, 0.5, 0.4, 0.6)],
    }
    for name in ("one.svg", "other.svg"):
        with (tmp_path / name).open("wb") as stream:
            plot.write(curves, stream, "50 $ and $ more \\frac", "svg")
    drawn = (tmp_path / "one.svg").read_text()
    assert "a$x^$_2" in drawn
    assert "&lt;b&gt;" in drawn
    assert "50 $ and $ more \\frac" in drawn
    assert (tmp_path / "other.svg").read_text() == drawn


@pytest.mark.usefixtures("job_id")
def test_what_cannot_be_written_leaves_nothing_behind(desk: Desk) -> None:
    before = sorted(Path().iterdir())
    said = desk.tts("report", "--html", "missing/report.html")
    assert said.code == 2
    assert "there is no directory" in said.stderr
    assert sorted(Path().iterdir()) == before


def test_nothing_to_plot_is_said_in_one_sentence(desk: Desk) -> None:
    job_id = desk.submit(1)
    desk.commit(desk.claim(job_id, 1), correct=None)
    said = desk.tts("report", "--png", "plot.png")
    assert said.code == 2
    assert "nothing to plot: no job has both an accuracy and known FLOPs" in said.stderr
    assert not Path("plot.png").exists()
    assert desk.tts("report", "--html", "report.html").code == 0
