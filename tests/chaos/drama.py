"""A random schedule of faults over the whole service, for as long as asked; its seed repeats the schedule."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import redis
from sqlalchemy.exc import DBAPIError

from models.errors import UserError
from models.wire import KEY_PREFIX
from tests.chaos import invariants
from tests.chaos.stage import LEASE_SECONDS, Stage, stopped
from tests.chaos.stores import OwnPostgres, OwnRedis
from tests.chaos.wire import Wire

GENERATOR = "brisk"
WORKERS, SCHEDULERS = 3, 2
QUERIES = 40
ENDED = ("done", "cancelled")
QUIET_SECONDS = 300.0
"""How long everything that is open may take to end once nothing goes wrong any more."""
STATUSES = {0, 2, 70, 75, -signal.SIGKILL, -signal.SIGTERM}
"""How a process may end here: in order, by a sentence (its store was away as it started), or killed."""


class Drama:
    """Three workers, two schedulers, a broker behind a wire and a database, and what happens to them.

    `say` is told of each fault as it begins.
    """

    def __init__(self, directory: Path, seed: int, say: Callable[[str], None]) -> None:
        self._random = random.Random(seed)
        self._say = say
        self._directory = directory
        self._broker = OwnRedis(directory / "redis")
        self._broker.start()
        self._wire = Wire(("127.0.0.1", self._broker.port))
        self._server = OwnPostgres(connections=60)
        self._server.start()
        self.stage = Stage(directory, self._server.url, f"redis://127.0.0.1:{self._wire.port}/0")
        self.stage.expected = STATUSES
        self._jobs = 0
        self._checked: set[int] = set()
        self._faults: dict[str, Callable[[], None]] = {
            name.removeprefix("fault_"): getattr(self, name) for name in sorted(dir(self)) if name.startswith("fault_")
        }

    def play(self, seconds: float) -> None:
        """Faults in a random order with random pauses, all of them in the first rounds; then peace until all has ended.

        Raises:
            AssertionError: something that must be true is not.
        """
        began = time.monotonic()
        self._keep_up()
        waiting: list[str] = []
        while time.monotonic() - began < seconds:
            if not waiting:
                self._check_ended()
                waiting = self._random.sample(list(self._faults), len(self._faults))
            name = waiting.pop()
            self._say(f"{time.monotonic() - began:6.1f} s  {name.replace('_', ' ')}")
            self._faults[name]()
            pause = self._random.uniform(0.5, 2 * LEASE_SECONDS)
            until = time.monotonic() + pause
            while time.monotonic() < until:
                self._keep_up()
                time.sleep(0.1)
        self._say(f"{time.monotonic() - began:6.1f} s  peace: everything that is open must end")
        self.stage.wait_for(self._is_over, "every job to end", QUIET_SECONDS)
        self._check()

    def close(self) -> None:
        self.stage.close()
        self._wire.close()
        self._broker.stop()
        self._server.close()

    # --- the service --------------------------------------------------------------------------------------------------

    def _keep_up(self) -> None:
        """As a supervisor would, and a user who goes on submitting."""
        self._keep_alive()
        with contextlib.suppress(UserError, DBAPIError):
            if self.stage.scalar("SELECT COUNT(*) FROM job WHERE state IN ('open', 'loading')") < 2:
                self._submit()

    def _submit(self) -> None:
        self._jobs += 1
        done = self.stage.tts(*self._submission(), check=False)
        if done.returncode:
            self._jobs -= 1  # its store was away

    def _submission(self) -> tuple[str, ...]:
        self.stage.problems(QUERIES)
        job = ("submit", "problems.jsonl", "-g", GENERATOR, "-s", "majority_vote", "-b", "2", "--seed", str(self._jobs))
        return (*job, "--job-budget", "100000") if self._jobs % 2 else job

    def _alive(self, command: str) -> list[subprocess.Popen[bytes]]:
        return [one for one in self.stage.processes if one.poll() is None and command in one.args]  # type: ignore[operator]

    def _one(self, command: str) -> subprocess.Popen[bytes] | None:
        alive = self._alive(command)
        return self._random.choice(alive) if alive else None

    def _is_over(self) -> bool:
        self._keep_alive()
        for (job,) in self.stage.query("SELECT id FROM job WHERE state = 'paused'"):
            self.stage.tts("resume", str(job))
        return bool(self.stage.scalar(f"SELECT COUNT(*) FROM job WHERE state NOT IN {ENDED}") == 0)

    def _keep_alive(self) -> None:
        self.stage.keep_alive(GENERATOR, WORKERS)
        for _ in range(SCHEDULERS - len(self._alive("scheduler"))):
            self.stage.scheduler()

    def _check(self) -> None:
        for job, state in self._ended():
            self._check_job(job, state)
        self.stage.leave()
        jobs = self.stage.scalar("SELECT COUNT(*) FROM job")
        attempts = self.stage.query("SELECT state, COUNT(*) FROM attempt GROUP BY state")
        self._say(f"{jobs} jobs of {QUERIES} queries, attempts {dict(attempts)}: I1 to I5 hold")

    def _check_ended(self) -> None:
        """What is violated is told near to what violated it. A cancelled job's last attempts may be still to come."""
        with contextlib.suppress(UserError, DBAPIError):
            for job, state in self._ended():
                if state == "done" and job not in self._checked:
                    self._check_job(job, state)
                    self._checked.add(job)

    def _ended(self) -> list[tuple[int, str]]:
        return self.stage.query(f"SELECT id, state FROM job WHERE state IN {ENDED} ORDER BY id")

    def _check_job(self, job: int, state: str) -> None:
        failed = self.stage.scalar(f"SELECT COUNT(*) FROM query WHERE job_id = {job} AND state = 'failed'")
        invariants.ended_once(self.stage, job, QUERIES, failed)
        done = self.stage.scalar(f"SELECT COUNT(*) FROM query WHERE job_id = {job} AND state = 'done'")
        invariants.every_row_once(self.stage, job, 2 * done, exactly=state == "done" and not failed)
        invariants.ledger_adds_up(self.stage, job)
        invariants.drawn_again(self.stage, job, 2)
        if state == "done":
            assert failed == 0, f"job {job}: {failed} queries failed, and none was at fault"

    # --- the faults ---------------------------------------------------------------------------------------------------

    def fault_worker_killed(self) -> None:
        if worker := self._one("worker"):
            worker.kill()

    def fault_worker_asked_to_leave(self) -> None:
        if worker := self._one("worker"):
            worker.send_signal(signal.SIGTERM)

    def fault_worker_stopped_past_its_lease(self) -> None:
        if worker := self._one("worker"):
            with stopped(worker):
                time.sleep(LEASE_SECONDS + self._random.uniform(0.5, 3.0))

    def fault_scheduler_killed(self) -> None:
        if scheduler := self._one("scheduler"):
            scheduler.kill()

    def fault_scheduler_stopped(self) -> None:
        if scheduler := self._one("scheduler"):
            with stopped(scheduler):
                time.sleep(self._random.uniform(0.5, 5.0))

    def fault_all_processes_killed(self) -> None:
        for process in [*self._alive("worker"), *self._alive("scheduler")]:
            process.kill()

    def fault_every_worker_replaced_in_turn(self) -> None:
        for worker in self._alive("worker"):
            worker.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(10)
            self.stage.keep_alive(GENERATOR, WORKERS)

    def fault_broker_killed(self) -> None:
        self._broker.kill()
        time.sleep(self._random.uniform(0.0, 3.0))
        self._broker.start()

    def fault_broker_emptied(self) -> None:
        self._broker.kill(with_its_data=True)
        self._broker.start()

    def fault_broker_silent(self) -> None:
        self._wire.silence()
        time.sleep(self._random.uniform(1.0, 8.0))
        self._wire.speak()

    def fault_bells_delivered_ten_times(self) -> None:
        with contextlib.suppress(redis.exceptions.RedisError), self._broker.client() as client:
            for key in client.keys(f"{KEY_PREFIX}tts.solve.*"):
                for message in client.lrange(key, 0, 20):
                    client.lpush(key, *[message] * 9)

    def fault_database_restarted(self) -> None:
        self._server.stop()
        self._server.start()

    def fault_database_killed(self) -> None:
        self._server.kill()
        self._server.start()

    def fault_database_out_of_connections(self) -> None:
        self._server.stop()
        self._server.start()
        taken = self._server.take_all_connections()
        time.sleep(self._random.uniform(0.5, 2 * LEASE_SECONDS))
        for connection in taken:
            connection.close()

    def fault_database_locked(self) -> None:
        """A long transaction of somebody else's on what every commit writes."""
        with contextlib.suppress(psycopg.Error), psycopg.connect(self._server.url) as connection:
            connection.execute("LOCK TABLE candidate IN EXCLUSIVE MODE")
            time.sleep(self._random.uniform(0.5, 2 * LEASE_SECONDS))
            connection.rollback()

    def fault_job_cancelled(self) -> None:
        self._control("cancel")

    def fault_job_paused(self) -> None:
        self._control("pause")
        time.sleep(self._random.uniform(0.0, LEASE_SECONDS))
        for job in self._jobs_in("paused"):
            self.stage.tts("resume", str(job), check=False)

    def fault_submission_killed(self) -> None:
        """Half way, and then repeated."""
        self._jobs += 1
        process = self.stage.start_process(*self._submission())
        time.sleep(self._random.uniform(0.5, 2.5))
        process.kill()
        process.wait()
        if self.stage.tts(*self._submission(), check=False).returncode:
            self._jobs -= 1

    def _control(self, verb: str) -> None:
        if jobs := self._jobs_in("open"):
            self.stage.tts(verb, str(self._random.choice(jobs)), check=False)

    def _jobs_in(self, state: str) -> list[int]:
        with contextlib.suppress(UserError, DBAPIError):
            return [job for (job,) in self.stage.query(f"SELECT id FROM job WHERE state = '{state}' ORDER BY id")]
        return []
