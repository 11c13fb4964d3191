"""Services that die, fail, linger or lose their supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cli.supervisor import GivenUp, Service, Supervisor, last_line
from tests.servers import wait_until

ROOT = Path(__file__).parents[3]
POLITE = 'trap "echo {name} >> {left}; exit 0" TERM; echo here; while :; do sleep 0.02; done'
STUBBORN = 'trap "" TERM; sleep 600 & echo $!; while :; do sleep 0.02; done'


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(said: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(said.append, backoff=(0.02, 0.1))
    yield made
    made.stop(0.0)


def service(
    directory: Path, name: str, script: str, tier: int = 0, is_ready: Callable[[int], bool] | None = None
) -> Service:
    log = directory / "logs" / f"{name}.log"
    return Service(name, ["sh", "-c", script], os.environ, log, tier, is_ready or (lambda _pid: bool(last_line(log))))


def watch_until(supervisor: Supervisor, condition: Callable[[], bool], what: str) -> None:
    def holds() -> bool:
        supervisor.watch()
        return condition()

    wait_until(holds, what=what)


def test_tiers_are_stopped_from_the_highest_to_the_lowest(tmp_path: Path, supervisor: Supervisor) -> None:
    left = tmp_path / "left"
    for tier, name in enumerate(["store", "scheduler", "worker"]):
        supervisor.start(service(tmp_path, name, POLITE.format(name=name, left=left), tier))
    assert not supervisor.is_ready
    watch_until(supervisor, lambda: supervisor.is_ready, "all three to be ready")
    supervisor.stop(30.0)
    assert left.read_text().split() == ["worker", "scheduler", "store"]
    assert supervisor.children == {}


def test_what_dies_is_started_again(tmp_path: Path, supervisor: Supervisor, said: list[str]) -> None:
    supervisor.start(service(tmp_path, "worker", POLITE.format(name="worker", left=tmp_path / "left")))
    watch_until(supervisor, lambda: supervisor.is_ready, "the worker")
    first = supervisor.children["worker"].process.pid
    os.kill(first, signal.SIGKILL)
    watch_until(supervisor, lambda: len(said) == 2, "the worker to be back")
    assert supervisor.is_ready
    second = supervisor.children["worker"].process.pid
    assert second != first
    assert said == [
        "worker was killed by SIGKILL; starting it again in 0.02 s",
        f"worker is back (pid {second})",
    ]


def test_what_fails_five_times_in_a_minute_is_given_up_with_its_last_words(
    tmp_path: Path, supervisor: Supervisor, said: list[str]
) -> None:
    supervisor.start(service(tmp_path, "worker", "echo out of memory; echo; exit 7", is_ready=lambda _pid: False))
    with pytest.raises(GivenUp, match=r"^worker ended with status 7, 5 failures within 60 s.*: out of memory$"):
        watch_until(supervisor, lambda: False, "the supervisor to give up")
    assert [line.rpartition(" in ")[2] for line in said] == ["0.02 s", "0.04 s", "0.08 s", "0.1 s"]


def test_a_users_error_at_the_start_is_not_tried_again(tmp_path: Path, supervisor: Supervisor, said: list[str]) -> None:
    script = "echo Error: no such model; exit 2"
    supervisor.start(service(tmp_path, "worker", script, is_ready=lambda _pid: False))
    with pytest.raises(GivenUp, match="worker ended with status 2: Error: no such model"):
        watch_until(supervisor, lambda: False, "the supervisor to give up")
    assert said == []


def test_an_error_after_a_good_start_is_tried_again(tmp_path: Path, supervisor: Supervisor, said: list[str]) -> None:
    supervisor.start(service(tmp_path, "worker", "echo here; sleep 0.3; exit 2"))
    watch_until(supervisor, lambda: len(said) == 2, "the worker to be back")
    assert said[0].startswith("worker ended with status 2; starting it again")


def test_who_does_not_leave_is_killed_with_its_own_children(
    tmp_path: Path, supervisor: Supervisor, said: list[str]
) -> None:
    stubborn = service(tmp_path, "worker", STUBBORN)
    supervisor.start(stubborn)
    watch_until(supervisor, lambda: supervisor.is_ready, "the worker")
    grandchild = psutil.Process(int(last_line(stubborn.log)))
    supervisor.stop(0.2)
    assert said == ["worker did not leave within 0.2 s and is killed"]
    wait_until(lambda: not is_running(grandchild), what="the worker's own child to be gone")


def test_a_killed_supervisor_takes_its_children_along(tmp_path: Path) -> None:
    script = f"""
import os, sys, time
from pathlib import Path
from cli.supervisor import Service, Supervisor
supervisor = Supervisor(print)
supervisor.start(Service("worker", ["sleep", "600"], os.environ, Path({str(tmp_path / "log")!r}), 0, lambda pid: True))
print(supervisor.children["worker"].process.pid, flush=True)
time.sleep(600)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        wait_until(lambda: worker.cmdline()[:1] == ["sleep"], what="the worker to run")
        parent.kill()
    wait_until(lambda: not is_running(worker), what="the worker to follow")


def is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_last_line_is_the_last_that_says_something(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_text("first\nlast \n\n  \n")
    assert last_line(log) == "last"
    log.write_bytes(b"\xff" * 20000 + b"\nend\n")
    assert last_line(log) == "end"
