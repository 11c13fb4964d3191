"""What must be true of the record after any fault, read from SQL."""

from __future__ import annotations

from datetime import datetime

from tests.chaos.stage import LEASE_SECONDS, SWEEP_SECONDS, Stage

TOLERANCE_SECONDS = 5.0
"""On top of a lease and a sweep: the scheduler may itself wait for a turn on a busy machine."""


def check(stage: Stage, *, job: int = 1, queries: int, samples: int = 2, failed: int = 0) -> None:
    """All of I1 to I4 of a job that has ended, all but `failed` of its queries with `samples` samples each."""
    ended_once(stage, job, queries, failed)
    every_row_once(stage, job, (queries - failed) * samples, exactly=not failed)
    ledger_adds_up(stage, job)
    drawn_again(stage, job, samples)


def ended_once(stage: Stage, job: int, queries: int, failed: int = 0) -> None:
    """I1: every query has exactly one terminal state, and was carried out once."""
    states = dict(stage.query(f"SELECT state, COUNT(*) FROM query WHERE job_id = {job} GROUP BY state"))
    assert sum(states.values()) == queries, f"job {job}: {states}"
    assert states.get("failed", 0) == failed, states
    assert not states.keys() & {"pending", "queued", "running"}, states
    endless = stage.query(f"SELECT id, state FROM query WHERE job_id = {job} AND ended_at IS NULL")
    assert not endless, f"job {job}: {endless}"
    running = stage.query(f"SELECT id, query_id, number FROM attempt WHERE job_id = {job} AND state = 'running'")
    assert not running, f"job {job}: {running}"
    once = f"SELECT query_id FROM attempt WHERE job_id = {job} AND state = 'done' GROUP BY query_id, stage"
    twice = stage.query(f"{once} HAVING COUNT(*) > 1")
    assert not twice, f"job {job}: {twice}"
    carried_out = stage.scalar(f"SELECT COUNT(*) FROM ({once}) one")
    assert carried_out >= states.get("done", 0), f"job {job}: {carried_out} of {states}"


def every_row_once(stage: Stage, job: int, candidates: int, *, exactly: bool = True) -> None:
    """I2: as many rows as distinct keys, and as many as there should be; a query that failed may have left some."""
    rows, keys = stage.query(
        "SELECT COUNT(*), COUNT(DISTINCT p.key) FROM query q JOIN problem p ON p.id = q.problem_id "
        f"WHERE q.job_id = {job}"
    )[0]
    assert rows == keys, f"job {job}: {rows} rows, {keys} keys"
    found = stage.query(f"SELECT query_id, path FROM candidate WHERE job_id = {job}")
    assert len(found) == len(set(found)), f"job {job}: {len(found)} candidates, {len(set(found))} places"
    enough = len(found) == candidates if exactly else len(found) >= candidates
    assert enough, f"job {job}: {len(found)} candidates, not {candidates}"


def ledger_adds_up(stage: Stage, job: int) -> None:
    """I3: the ledger is the sum of the attempts, what was wasted is told apart, and nothing stays reserved."""
    kept = stage.query(
        "SELECT COALESCE(SUM(calls), 0), COALESCE(SUM(generated_tokens), 0) FROM usage "
        f"WHERE job_id = {job} AND phase = 'generate' AND disposition <> 'wasted'"
    )
    assert kept == stage.query(
        f"SELECT COUNT(*), COALESCE(SUM(generated_tokens), 0) FROM candidate WHERE job_id = {job}"
    ), "what is kept is what the candidates say"
    assert (
        stage.scalar(
            "SELECT COUNT(*) FROM usage u JOIN attempt a ON a.id = u.attempt_id "
            f"WHERE u.job_id = {job} AND u.disposition = 'wasted' AND a.state = 'done'"
        )
        == 0
    ), "what a completed attempt used is not waste"
    assert (
        stage.scalar(
            "SELECT COUNT(*) FROM usage u JOIN attempt a ON a.id = u.attempt_id "
            f"WHERE u.job_id = {job} AND u.disposition <> 'wasted' AND a.state = 'lost'"
        )
        == 0
    ), "what a lost attempt used is waste"
    spent, reserved, unit = stage.query(f"SELECT spent, reserved, cap_unit FROM job WHERE id = {job}")[0]
    still = stage.query(f"SELECT id, state, reserved FROM query WHERE job_id = {job} AND reserved <> 0")
    assert (reserved, still) == (0, []), f"job {job}: {reserved} reserved, {still}"
    if unit == "samples":
        used = stage.scalar(f"SELECT COALESCE(SUM(samples), 0) FROM usage WHERE job_id = {job} AND NOT reused")
        assert spent == used, f"job {job}: {spent} spent, {used} used"


def drawn_again(stage: Stage, job: int, samples: int) -> None:
    """I4: beyond what is kept, no more was begun than what was in flight whenever an attempt was cut short."""
    cut = stage.scalar(f"SELECT COUNT(*) FROM attempt WHERE job_id = {job} AND state <> 'done'")
    begun = stage.scalar(
        f"SELECT COALESCE(SUM(samples), 0) FROM usage WHERE job_id = {job} AND phase = 'generate' AND NOT reused"
    )
    kept = stage.scalar(f"SELECT COUNT(*) FROM candidate WHERE job_id = {job} AND reused_from IS NULL")
    assert kept <= begun <= kept + samples * cut, f"{begun} begun, {kept} kept, {cut} attempts cut short"


def recovered(stage: Stage, died: datetime, *, job: int = 1) -> None:
    """I6: what was in flight when something died came back within one lease and one sweep (database times)."""
    late = stage.query(f"SELECT ended_at FROM attempt WHERE job_id = {job} AND state = 'lost'")
    assert late, "nothing was lost, so the fault missed"
    taken = max((ended - died).total_seconds() for (ended,) in late)
    assert taken <= LEASE_SECONDS + SWEEP_SECONDS + TOLERANCE_SECONDS, f"it took {taken:.1f} s"
