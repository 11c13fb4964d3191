"""The Celery app: each worker of a process rings its own runtime."""

from __future__ import annotations

from typing import cast

from models.wire import SOLVE_TASK
from worker.app import make_app
from worker.runtime import Runtime


class Bell:
    """A runtime that only counts how often it was rung."""

    def __init__(self) -> None:
        self.rung: list[tuple[int, int, bool]] = []

    def solve(self, bell: tuple[int, int, bool]) -> None:
        self.rung.append(bell)


def test_a_second_app_of_the_process_rings_its_own_runtime() -> None:
    bells = [Bell(), Bell()]
    for number, bell in enumerate(bells):
        app = make_app("memory://", cast(Runtime, bell))
        app.tasks[SOLVE_TASK](number, 0, False)
    assert [bell.rung for bell in bells] == [[(0, 0, False)], [(1, 0, False)]]
