"""Child processes: started, watched, restarted with backoff and stopped in order; none of them outlives us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

POLL_SECONDS = 0.1
GIVE_UP_FAILURES = 5
GIVE_UP_SECONDS = 60.0
USER_ERROR_STATUS = 2

# Becomes the service itself after asking Linux to signal it when its parent dies: a `kill -9` of the parent runs no
# code of the parent's, so only the kernel can end the children. Done here, between fork and exec, rather than in a
# `preexec_fn`, which may deadlock where threads run; the second look at the parent closes the race before the request.
_LEASH = """
import ctypes, os, sys
parent, number = int(sys.argv[1]), int(sys.argv[2])
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, number)
    if os.getppid() != parent:
        sys.exit(1)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class GivenUp(Exception):
    """A service that does not stay up; the message says which, how it ended and its last words."""


@dataclass(frozen=True, slots=True)
class Service:
    """A program that should run all the time.

    `is_ready` is asked with the process id. Services of a higher `tier` are stopped before those of a lower one, which
    they use; those of one tier together. `stop_signal` asks it to leave in an orderly way.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    tier: int
    is_ready: Callable[[int], bool]
    stop_signal: signal.Signals = signal.SIGTERM


@dataclass(slots=True)
class Child:
    """A service's process, or the pause before the next one (`restart_at`, monotonic seconds)."""

    service: Service
    process: subprocess.Popen[bytes]
    started_at: float
    ready: bool = False
    was_ready: bool = False
    restart_at: float | None = None
    delay: float = 0.0
    failures: deque[float] = field(default_factory=lambda: deque(maxlen=GIVE_UP_FAILURES))


class Supervisor:
    """Keeps services running. All its methods belong to one thread, the main one: Linux signals the children when
    the thread that started them ends.

    `say` is told of deaths and returns; `backoff` is the first and the longest pause before a restart, in seconds.
    """

    def __init__(self, say: Callable[[str], None], backoff: tuple[float, float] = (1.0, 30.0)) -> None:
        self.children: dict[str, Child] = {}
        self._say = say
        self._backoff = backoff

    def start(self, service: Service) -> None:
        self.children[service.name] = Child(service, _spawn(service), time.monotonic())

    @property
    def is_ready(self) -> bool:
        """Whether every service runs and has said that it works."""
        return all(child.ready for child in self.children.values())

    def watch(self) -> None:
        """One look at every child: notices deaths, starts anew what is due, asks the others whether they are ready.

        Raises:
            GivenUp: a service failed 5 times within 60 s, or ended with a user's error before it ever worked.
        """
        for child in self.children.values():
            if child.restart_at is not None:
                if time.monotonic() >= child.restart_at:
                    child.process, child.started_at = _spawn(child.service), time.monotonic()
                    child.restart_at = None
            elif child.process.poll() is not None:
                self._bury(child)
            elif not child.ready and child.service.is_ready(child.process.pid):
                child.ready = True
                if child.was_ready:
                    self._say(f"{child.service.name} is back (pid {child.process.pid})")
                child.was_ready = True

    def stop(self, grace_seconds: float) -> None:
        """Ask all to leave, tier by tier, the highest first; kill what is still there after `grace_seconds`."""
        for tier in sorted({child.service.tier for child in self.children.values()}, reverse=True):
            group = [child for child in self.children.values() if child.service.tier == tier]
            for child in group:
                if child.process.poll() is None:
                    child.process.send_signal(child.service.stop_signal)
            deadline = time.monotonic() + grace_seconds
            while time.monotonic() < deadline and any(child.process.poll() is None for child in group):
                time.sleep(POLL_SECONDS / 2)
            for child in group:
                if child.process.poll() is None:
                    self._say(f"{child.service.name} did not leave within {grace_seconds:g} s and is killed")
                _reap(child.process)
        self.children.clear()

    def _bury(self, child: Child) -> None:
        status = _reap(child.process)
        now = time.monotonic()
        child.failures.append(now)
        words = last_line(child.service.log)
        what = f"{child.service.name} {_ending(status)}"
        if status == USER_ERROR_STATUS and not child.was_ready:
            raise GivenUp(f"{what}: {words or 'it said nothing'}")
        if len(child.failures) == GIVE_UP_FAILURES and now - child.failures[0] <= GIVE_UP_SECONDS:
            raise GivenUp(
                f"{what}, {GIVE_UP_FAILURES} failures within {GIVE_UP_SECONDS:g} s; "
                f"its last words in {child.service.log}: {words or 'none'}"
            )
        shortest, longest = self._backoff
        fresh = now - child.started_at > GIVE_UP_SECONDS
        child.delay = shortest if fresh or not child.delay else min(child.delay * 2, longest)
        child.restart_at = now + child.delay
        child.ready = False
        self._say(f"{what}; starting it again in {child.delay:g} s")


def last_line(log: Path) -> str:
    """The last line of a log file that says something; empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _spawn(service: Service) -> subprocess.Popen[bytes]:
    leash = [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), str(int(service.stop_signal))]
    service.log.parent.mkdir(parents=True, exist_ok=True)
    with service.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603
            [*leash, *service.command],
            env=dict(service.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # A Ctrl-C goes to a terminal's whole process group: the children must not hear it before we stop them.
            start_new_session=True,
        )


def _reap(process: subprocess.Popen[bytes]) -> int:
    """Kill what is left of the process and of its own children, and return its exit status."""
    # While its group has members their id is not given to anybody else, even when the leader has been reaped.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _ending(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
