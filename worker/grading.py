"""Answer extraction and equivalence for one template, with symbolic mathematics in killable subprocesses."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures.process import BrokenProcessPool
from fractions import Fraction
from typing import Any

from models.templates import ANSWER_KINDS, Template
from strategies.protocols import Answers, QueryError, TransientError
from worker.choices import letter_of, options_in
from worker.equivalence import decide, normalise, same_text
from worker.extensions import load_extension
from worker.extraction import extract_answer
from worker.math_process import prepare, same_mathematics

_TRIES = 3
"""Pools one comparison may be handed to before it counts as a crash."""

_START_SECONDS = 60.0
"""How long a child may take to start on a busy machine."""


class GradingPool:
    """Compares mathematical answers in one or two child processes; shared by every grader of a process.

    The children are spawned (a fork would copy threads and CUDA state), started by the first comparison that needs
    them, bounded in memory, and replaced when they die. A comparison that takes longer than `time_limit` seconds is
    killed and means "not equivalent", as does one whose process dies; `timeouts` and `crashes` count them.
    """

    def __init__(self, workers: int = 1, time_limit: float = 5.0, memory_bytes: int = 2 << 30) -> None:
        self.workers = workers
        self.time_limit = time_limit
        self.memory_bytes = memory_bytes
        self.timeouts = 0
        self.crashes = 0
        self._lock = threading.Lock()
        self._pool: Any = None
        self._closed = False
        self._running: dict[Any, Any] = {}

    async def same(self, left: str, right: str) -> bool:
        """Whether two answers are mathematically equal.

        Raises:
            TransientError: the pool was closed.
        """
        return await self._run(same_mathematics, left, right)

    async def _run(self, function: Callable[..., bool], *args: object) -> bool:
        from pebble import ProcessExpired

        for _ in range(_TRIES):
            pool = await asyncio.to_thread(self._started)
            comparison = None
            try:
                comparison = pool.schedule(function, args=args, timeout=self.time_limit)
                self._running[comparison] = pool
                async with asyncio.timeout(_START_SECONDS + self.time_limit * len(self._running)) as patience:
                    return bool(await asyncio.wrap_future(comparison))
            except TimeoutError:
                if not patience.expired():
                    self.timeouts += 1
                    return False
                # A child that dies while it takes a comparison loses it without a word.
                await asyncio.to_thread(self._end, pool)
            except (ProcessExpired, MemoryError):
                self.crashes += 1
                return False
            except (BrokenProcessPool, RuntimeError):
                # A child that dies while idle breaks the whole pool: start another one.
                await asyncio.to_thread(self._end, pool)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Not we were cancelled but the comparison was, by the end of its pool: try the next pool.
            finally:
                if comparison is not None:
                    self._running.pop(comparison, None)
        self.crashes += 1
        return False

    def _started(self) -> Any:
        from pebble import ProcessPool

        with self._lock:
            if self._closed:
                raise TransientError("the grading pool was closed")
            if self._pool is None:
                self._pool = ProcessPool(
                    max_workers=self.workers,
                    max_tasks=2000,
                    initializer=prepare,
                    initargs=(self.memory_bytes,),
                    context=multiprocessing.get_context("spawn"),
                )
            _ = self._pool.active  # starts the children, here rather than on the event loop
            return self._pool

    def _end(self, pool: Any) -> None:
        """Kill a pool's processes and cancel what it was asked; a second call for the same pool does nothing."""
        with self._lock:
            if self._pool is not pool:
                return
            self._pool = None
        pool.stop()
        pool.join()
        for comparison, where in list(self._running.items()):
            if where is pool:
                comparison.cancel()

    def close(self) -> None:
        """Kill the child processes; waiting comparisons end with TransientError. Blocks for up to a second."""
        with self._lock:
            self._closed = True
            pool = self._pool
        if pool is not None:
            self._end(pool)


class Grader:
    """`strategies.protocols.Answers` for one template; `prompt` is the problem's, where it lists options."""

    def __init__(self, template: Template, pool: GradingPool, prompt: str = "", remembered: int = 8192) -> None:
        self._template = template
        self._pool = pool
        self._options = options_in(prompt) if template.answer == "choice" else {}
        # As it is written: 0.01 is one hundredth, and no binary fraction beside it.
        self._tolerance = Fraction(repr(template.tolerance))
        self._remembered = remembered
        self._known: OrderedDict[tuple[str, str], bool] = OrderedDict()

    async def extract(self, text: str) -> str | None:
        """The final answer in a finished solution, or None where there is none to be read."""
        return extract_answer(text, self._template, self._options)

    async def equivalent(self, left: str, right: str) -> bool:
        """Whether both are the same answer under the convention of docs/grading.md. Symmetric."""
        if left == right:
            return True
        if self._template.answer == "text":
            return same_text(left, right)
        if self._template.answer == "choice":
            letters = [letter_of(side, self._options) for side in (left, right)]
            return letters[0] == letters[1] if all(letters) else same_text(left, right)
        first, second = sorted((normalise(left), normalise(right)))
        decided = decide(first, second, self._tolerance)
        if decided is None and self._template.answer == "math":
            decided = await self._symbolic((first, second))
        return bool(decided)

    async def _symbolic(self, key: tuple[str, str]) -> bool:
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        same = await self._pool.same(*key)
        self._known[key] = same
        if len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return same


def answers_of(template: Template, pool: GradingPool, prompt: str) -> Answers:
    """What reads and compares the answers of one problem: ours, or the grader of a package that the template names.

    Raises:
        QueryError: the package is not here, or cannot be loaded.
    """
    if template.answer in ANSWER_KINDS:
        return Grader(template, pool, prompt)
    added: Answers | None = load_extension("graders", template.answer)
    if added is None:
        raise QueryError(f"{template.answer}: no installed package provides this grader; install the one that does")
    return added


def grade_by(answers: Answers) -> Callable[[str, str], Awaitable[bool]]:
    """grade(text, reference): whether a whole solution comes to the reference answer."""

    async def grade(text: str, reference: str) -> bool:
        answer = await answers.extract(text)
        return answer is not None and await answers.equivalent(answer, reference)

    return grade
