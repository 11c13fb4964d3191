"""Two hundred jobs in stages, with everything going wrong that can: no cap is passed, and the ledger is what was spent."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from models import transitions
from models.database import Database, upgrade
from models.heartbeats import WORKER
from models.transitions import ATTEMPT, CANDIDATE, JOB, QUERY, USAGE, Claim, Outcome, charged
from scheduler import stages
from scheduler.allocation import Grant
from scheduler.decisions import read
from scheduler.dispatch import Dispatcher
from scheduler.doorbell import Bell
from scheduler.policy import Policy
from scheduler.reconcile import Reconciler
from strategies.evidence import Evidence
from tests.builders import LEASE, ManualClock, beat, candidate_row, commit, force, job_of, lost_usage, rows, usage_row
from tests.builders import claim as claim_all
from tests.builders import worker as register
from tests.stages import add_staged_job, calibrated, policy, seen, staged

SEEDS = 200
MOST_STEPS = 1000
STATES = ("staged", "staged", "staged", "drained", "retry", "failed")


class Silent:
    """A broker that only remembers what was rung, and loses some of it."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.bells: list[Bell] = []

    def ring(self, bells: Iterable[Bell]) -> None:
        self.bells += bells

    def waiting(self, lanes: Iterable[str]) -> tuple[dict[str, int], int]:
        return {lane: sum(bell.lane == lane for bell in self.bells) for lane in lanes}, 0


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, clock: ManualClock) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path_factory.mktemp('budgets') / 'tts-jobs.db'}", clock)
    upgrade(made)
    yield made
    made.close()


class Run:
    """One job at the mercy of `rng`, with the real scheduler and the real changes of state."""

    def __init__(self, database: Database, clock: ManualClock, rng: random.Random) -> None:
        self.database, self.clock, self.rng = database, clock, rng
        self.broker = Silent(rng)
        self.dispatcher = Dispatcher(database, self.broker)  # type: ignore[arg-type]
        self.reconciler = Reconciler(database, self.broker, sweep_seconds=1.0)  # type: ignore[arg-type]
        self.worker = register(database, f"w{rng.random()}", slots=rng.choice((2, 8, 32)))
        self.unit = rng.choice(("samples", "tokens"))
        self.cap = float(rng.randint(1, 60) if self.unit == "samples" else rng.randint(300, 20_000))
        chosen = rng.choice((policy(), calibrated({0: 0.6, 1: 0.7, 2: 0.8, 3: 0.55}), policy(probe=(1,))))
        self.shelf = add_staged_job(
            database, rng.randint(1, 5), chosen, cap_amount=self.cap, cap_unit=self.unit,
            allocation=rng.choice(("policy", "adaptive") if chosen.calibrated else ("policy", "uniform")),
            sampling={"temperature": 0.7, "max_tokens": 40},
        )  # fmt: skip
        self.running: list[Claim] = []
        self.zombies: list[Claim] = []
        self.raised = False

    def to_the_end(self) -> None:
        for _ in range(MOST_STEPS):
            possible = [self.dispatch, *[self.claim] * bool(self.broker.bells), *[self.commit] * 2 * bool(self.running)]
            self.rng.choice(possible if self.rng.random() < 0.85 else [self.mishap])()
            state = self.check()
            if state in ("done", "budget_exhausted") and not self.raise_the_cap():
                return
        raise AssertionError("it does not come to an end")

    @property
    def job(self) -> Any:
        return job_of(self.database, self.shelf.job_id)

    # --- what happens -------------------------------------------------------------------------------------------------

    def dispatch(self) -> None:
        self.clock.advance(1)
        with self.database.transaction() as connection:
            connection.execute(WORKER.update().where(WORKER.c.id == self.worker).values(seen_at=self.clock.time))
        if self.rng.random() < 0.1:
            self.dispatcher = Dispatcher(self.database, self.broker)  # type: ignore[arg-type]  # it was killed
        self.dispatcher.dispatch()
        self.reconciler.sweep()

    def claim(self) -> None:
        bell = self.rng.choice(self.broker.bells)
        if self.rng.random() < 0.8:  # or else it is delivered once more
            self.broker.bells.remove(bell)
        if self.rng.random() < 0.9:
            self.running += claim_all(self.database, [bell.query_id], self.worker, alone=bell.alone, stage=bell.stage)
        else:
            with self.database.transaction() as connection:
                transitions.take_back(connection, bell.query_id)

    def commit(self) -> None:
        got = self.running.pop(self.rng.randrange(len(self.running)))
        state = self.rng.choice(STATES)
        if state == "staged" and got.final:
            state = "done"
        assert commit(self.database, self.outcome(got, state)) == {got.attempt_id}

    def mishap(self) -> None:
        kind = self.rng.choice(("lost", "zombie", "pause", "broker"))
        if kind == "lost" and self.running:
            said = {
                one.attempt_id: [lost_usage(**self.spending(one))] for one in self.running if self.rng.random() < 0.7
            }
            beat(self.database, self.worker, said)
            self.clock.advance(LEASE + 1)
            with self.database.transaction() as connection:
                transitions.expire_leases(connection, self.clock.time)
            self.zombies += self.running
            self.running = []
        elif kind == "zombie" and self.zombies:
            got = self.rng.choice(self.zombies)
            assert commit(self.database, self.outcome(got, "done" if got.final else "staged")) == set()
        elif kind == "pause":
            with self.database.transaction() as connection:
                transitions.pause_job(connection, self.shelf.job_id, "for a while")
                transitions.resume_job(connection, self.shelf.job_id, self.clock.time)
        elif kind == "broker":
            self.broker.bells.clear()

    def raise_the_cap(self) -> bool:
        """Once, what a person does about an exhausted budget."""
        if self.raised or self.rng.random() < 0.5:
            return False
        self.raised = True
        self.cap *= 3
        with self.database.transaction() as connection:
            transitions.change_job(connection, self.shelf.job_id, cap_amount=self.cap)
            reopened = transitions.reopen_settled(connection, self.shelf.job_id, self.clock.time)
            opened = transitions.resume_job(connection, self.shelf.job_id, self.clock.time)
        return opened or reopened > 0

    # --- what an attempt takes ----------------------------------------------------------------------------------------

    def outcome(self, got: Claim, state: Any) -> Outcome:
        there = {row.path for row in rows(self.database, CANDIDATE, CANDIDATE.c.query_id == got.query_id)}
        wanted = ["greedy", *map(str, range(int(got.budget_amount) - 1))]
        if got.strategy == "beam_search":
            wanted = [f"s{number}" for number in range(int(got.budget_amount))]
        new = [path for path in wanted if path not in there]
        if state in ("drained", "retry", "failed"):
            new = new[: self.rng.randint(0, len(new))]
        usage = [usage_row(**self.spending(got, samples=len(new)))] if new else []
        drawn = [candidate_row(path) for path in new]
        if state != "staged":
            return Outcome(got, state, reason="why", stopped="complete", answer="7", candidates=drawn, usage=usage)
        leading = self.rng.randint(0, len(wanted))
        return staged(got, seen(leading, unread=len(wanted) - leading), candidates=drawn, usage=usage)

    def spending(self, got: Claim, samples: int | None = None) -> dict[str, Any]:
        """At most what was reserved: so many samples, or any number of tokens."""
        (row,) = rows(self.database, QUERY, QUERY.c.id == got.query_id)
        reserved = int(row.reserved)
        if self.unit == "samples":
            return {"calls": self.rng.randint(0, reserved) if samples is None else samples}
        tokens = self.rng.randint(0, reserved)
        prompt = self.rng.randint(0, tokens)
        return {"canonical_prompt_tokens": prompt, "generated_tokens": tokens - prompt, "calls": samples or 1}

    # --- what must hold -----------------------------------------------------------------------------------------------

    def check(self) -> str:
        """After every step; returns the job's state."""
        job = self.job
        queries = rows(self.database, QUERY, QUERY.c.job_id == job.id)
        ledger = rows(self.database, USAGE, USAGE.c.job_id == job.id)
        assert job.spent == sum(charged(row._mapping, self.unit) for row in ledger), "the ledger is what was spent"
        assert job.reserved == sum(row.reserved for row in queries)
        assert all(row.reserved == 0 for row in queries if row.state not in ("queued", "running"))
        assert 0 <= job.spent <= job.spent + job.reserved <= self.cap
        return str(job.state)

    def check_the_end(self) -> None:
        job = self.job
        queries = rows(self.database, QUERY, QUERY.c.job_id == job.id)
        left = [row for row in queries if row.state not in ("done", "failed")]
        assert all((row.state, row.stage) == ("pending", 0) for row in left), "what has an answer is not withheld"
        assert (job.state == "done") == (not left)
        carried_out = [
            (row.query_id, row.stage)
            for row in rows(self.database, ATTEMPT, ATTEMPT.c.job_id == job.id)
            if row.state == "done"
        ]
        assert len(carried_out) == len(set(carried_out)), "no stage is carried out twice"
        for row in queries:
            told = [one.stage for one in read(row.decisions)]
            assert told == sorted(set(told))
            assert row.state != "done" or row.stopped in ("complete", "settled", "budget")


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_cap_is_passed_and_the_ledger_adds_up(
    database: Database, clock: ManualClock, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    rng = random.Random(seed)

    def best(chosen: Policy, evidence: Evidence) -> Grant | None:
        arm = rng.choice((None, 0, 1, 2, 3))
        return None if arm is None else Grant(arm, 0.1, 4.0, rng.choice((0.01, 0.025, 1.5)))

    monkeypatch.setattr(stages, "best_grant", best)
    run = Run(database, clock, rng)
    run.to_the_end()
    run.check_the_end()
    force(database, JOB, run.shelf.job_id, state="cancelled")


def test_the_runs_meet_every_ending(database: Database) -> None:
    """Or else the two hundred of them would say little."""
    queries = rows(database, QUERY)
    assert {"settled", "budget", "complete"} <= {row.stopped for row in queries if row.state == "done"}
    assert {"pending", "failed"} <= {row.state for row in queries}
    assert {row.strategy for row in queries} >= {"majority_vote", "weighted_vote", "beam_search"}
    assert max(row.stage for row in queries) >= 3
    attempts = rows(database, ATTEMPT)
    assert {row.state for row in attempts} >= {"done", "drained", "failed", "lost"}
    reopened = [one for row in queries for one in read(row.decisions) if one.reason == "budget"]
    assert reopened
