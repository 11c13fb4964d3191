"""Queries that bring down what answers them, and engines that are not there: who is blamed, and who is not."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from tests.chaos.engine import MALFORMED, entry, recorded_engine
from tests.chaos.invariants import check
from tests.chaos.stage import Stage
from tests.commands import ROOT
from tests.packages import install
from tests.servers import free_port

pytestmark = pytest.mark.timeout(900)

FRAGILE = {"tts_jobs.strategies": {"fragile": "fragile:FragileVote"}}
BLAMED = "SELECT COUNT(*) FROM query WHERE state = 'done' AND (suspect > 0 OR retries > 0)"


def errors(stage: Stage) -> dict[str, str]:
    """Key -> why it failed, of the queries that did."""
    failed = "SELECT p.key, q.error FROM query q JOIN problem p ON p.id = q.problem_id WHERE q.state = 'failed'"
    return dict(stage.query(failed))  # type: ignore[arg-type]


def problems(stage: Stage, **prompts: str) -> None:
    """problems.jsonl: eight ordinary ones, and one under each key of `prompts`."""
    ordinary = {f"k{n}": f"What is {n} + 1?" for n in range(8)}
    rows = [{"id": key, "prompt": text, "answer": "1"} for key, text in (ordinary | prompts).items()]
    rows.sort(key=lambda row: row["id"])
    (stage.directory / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.slow
def test_what_brings_its_worker_down_is_quarantined(stage: Stage) -> None:
    """By a kill or by the death of its engine, again and again: its neighbours succeed and are not blamed."""
    site = stage.directory / "site"
    install(site, "tts-fragile", "fragile", (Path(__file__).parent / "fragile.py").read_text(), FRAGILE)
    stage.environment["PYTHONPATH"] = f"{ROOT}:{site}"
    problems(stage, a="POISON", b="CRASH")
    stage.tts("submit", "problems.jsonl", "-g", "brisk", "-s", "fragile", "-b", "2")
    stage.expected |= {70}
    stage.scheduler()

    def over() -> bool:
        stage.keep_alive("brisk", 2)
        return bool(stage.scalar("SELECT state FROM job") == "done")

    stage.wait_for(over, "the job to end", seconds=300)
    found = errors(stage)
    assert found.keys() == {"a", "b"}
    assert set(found.values()) == {"quarantined: its worker died each time it ran alone"}
    assert stage.scalar(BLAMED) == 0
    check(stage, queries=10, failed=2)


def test_what_no_engine_can_answer_fails_alone(stage: Stage, tmp_path: Path) -> None:
    """Too long for the context, ten megabytes long, answered with nonsense: each says so, and the others succeed."""
    stage.environment["TTS_MAX_RETRIES"] = "1"
    problems(stage, garbled=MALFORMED, huge="why " * 2_500_000, long="so " * 400_000, odd="\\boxed{ \u202e {{ x }}")
    with recorded_engine(tmp_path, free_port(), latency=0.1) as engine:
        stage.wait_for(engine.accepts, "the engine")
        stage.add_generator("served", **entry(engine))
        stage.tts("submit", "problems.jsonl", "-g", "served", "-s", "majority_vote", "-b", "2")
        stage.scheduler()
        worker = stage.worker("served")
        stage.wait_done()
        assert psutil.Process(worker.pid).memory_info().rss < 1 << 30
    found = errors(stage)
    assert found.keys() == {"garbled", "huge", "long"}
    assert "no JSON object" in found["garbled"]
    assert "exceeds the context" in found["long"]
    assert len(found["huge"]) < 1000
    assert stage.scalar(BLAMED) == 0
    check(stage, queries=12, failed=3)


@pytest.mark.slow
def test_an_engine_that_dies_pauses_the_job_and_its_return_goes_on(stage: Stage, tmp_path: Path) -> None:
    """The server is killed in the middle of generation and stays away; by its own record nothing that had been
    committed is drawn again."""
    with recorded_engine(tmp_path, free_port(), latency=0.4) as engine:
        stage.wait_for(engine.accepts, "the engine")
        stage.add_generator("served", **entry(engine, 24))
        stage.submit(60, generator="served")
        stage.scheduler()
        worker = stage.worker("served")
        stage.wait_for(lambda: stage.scalar("SELECT COUNT(*) FROM query WHERE state = 'done'") >= 5)
        engine.kill()
        in_flight = engine.in_flight()
        stage.wait_done(state="paused")
        reason = stage.scalar("SELECT reason FROM job")
        assert reason.startswith("20 failures in a row, all: nobody answers at ")
        assert worker.poll() is None
        engine.start()
        stage.wait_for(engine.accepts, "the engine")
        stage.tts("resume", "1")
        stage.wait_done()
        completed = engine.completed()
    check(stage, queries=60)
    assert len(completed) == 120
    assert sum(completed.values()) - len(completed) <= in_flight
    assert stage.scalar("SELECT MAX(suspect) FROM query") == 0


@pytest.mark.slow
def test_a_grader_that_never_ends(stage: Stage) -> None:
    """The comparison is killed and means "not equal"; a worker killed meanwhile takes its grading process along (I5)."""
    stage.add_generator(
        "endless", engine="instant", model="instant", max_sequences=4,
        engine_args={"latency": 0.05, "answers": [ENDLESS, "x+1"]},
    )  # fmt: skip
    (stage.directory / "problems.jsonl").write_text(
        "".join(json.dumps({"id": f"k{n}", "prompt": f"{n}?", "answer": "1+x"}) + "\n" for n in range(3))
    )
    stage.tts("submit", "problems.jsonl", "-g", "endless", "-s", "majority_vote", "-b", "4", "-t", "math-boxed")
    stage.scheduler()
    worker = stage.worker("endless")

    def comparing() -> bool:
        """Whether a child of the worker computes, long after an answer was drawn."""
        waiting = "SELECT started_at FROM attempt WHERE state = 'running' ORDER BY started_at LIMIT 1"
        begun = stage.query(waiting)
        if not begun or (stage.now() - begun[0][0]).total_seconds() < DRAWN_SECONDS:
            return False
        children = psutil.Process(worker.pid).children(recursive=True)
        return any(child.cpu_percent(interval=0.2) > 20 for child in children)

    stage.wait_for(comparing, "a comparison that does not end")
    stage.kill(worker)
    stage.wait_for(lambda: not stage.orphans(), f"{stage.orphans()} to leave with their worker", seconds=30)
    stage.worker("endless")
    stage.wait_done()
    check(stage, queries=3, samples=4)
    graded = dict(stage.query("SELECT answer, COUNT(*) FROM candidate WHERE correct GROUP BY answer"))
    assert graded.keys() == {"x+1"}


ENDLESS = "9^{9^{9^{9}}}"
DRAWN_SECONDS = 1.0
"""More time than the engine takes for an answer."""
