"""A suspect runs alone, and does not wait forever for it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.gate import Gate

PATIENCE = 10.0


def test_ordinary_queries_pass_together() -> None:
    gate = Gate()
    meeting = threading.Barrier(4)

    def ordinary() -> None:
        with gate.passing(False):
            meeting.wait(PATIENCE)

    with ThreadPoolExecutor(4) as threads:
        for each in [threads.submit(ordinary) for _ in range(4)]:
            each.result(PATIENCE)


def test_a_suspect_excludes_everybody() -> None:
    gate = Gate()
    inside: list[bool] = []
    together: list[list[bool]] = []

    def pass_through(alone: bool) -> None:
        with gate.passing(alone):
            inside.append(alone)
            together.append(inside.copy())
            time.sleep(0.002)
            together.append(inside.copy())
            inside.remove(alone)

    with ThreadPoolExecutor(8) as threads:
        for each in [threads.submit(pass_through, number % 3 == 0) for number in range(60)]:
            each.result(PATIENCE)
    assert len(together) == 120
    assert all(len(those) == 1 for those in together if True in those)
    assert any(len(those) > 1 for those in together)


def test_a_suspect_goes_before_those_who_came_later() -> None:
    gate = Gate()
    order: list[str] = []
    leave = threading.Event()

    def ordinary(name: str) -> None:
        with gate.passing(False):
            order.append(name)
            leave.wait(PATIENCE)

    def suspect() -> None:
        with gate.passing(True):
            order.append("suspect")

    def waiting_until(condition: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not eval(condition, {"gate": gate, "order": order}):
            assert time.monotonic() < deadline
            time.sleep(0.001)

    with ThreadPoolExecutor(4) as threads:
        threads.submit(ordinary, "first")
        waiting_until("order == ['first']")
        threads.submit(suspect)
        waiting_until("gate._waiting_alone == 1")
        late = [threads.submit(ordinary, "late") for _ in range(2)]
        time.sleep(0.05)
        assert order == ["first"]
        leave.set()
        for each in late:
            each.result(PATIENCE)
    assert order == ["first", "suspect", "late", "late"]


@pytest.mark.parametrize("alone", [True, False])
def test_a_failure_inside_opens_the_gate_again(alone: bool) -> None:
    gate = Gate()
    with pytest.raises(RuntimeError), gate.passing(alone):
        raise RuntimeError
    with gate.passing(True):
        pass
    with gate.passing(False), gate.passing(False):
        pass
