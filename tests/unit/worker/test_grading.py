"""The grader and its processes: right answers, and a host that survives whatever a comparison does."""

import asyncio
import operator
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from models.templates import load_template
from strategies.protocols import Answers, TransientError
from tests.servers import wait_until
from worker.grading import Grader, GradingPool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[GradingPool]:
    pool = GradingPool()
    yield pool
    pool.close()


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (r"\sqrt{4}", "2", True),
        ("x^2+2x+1", "(x+1)^2", True),
        (r"\sqrt{3} - 1", "-1 + sqrt(3)", True),
        ("2**(1/4)", r"\sqrt{\sqrt{2}}", True),
        ("x = 5", "5", True),
        ("f(2) = 5", "5", True),
        ("3*4 = 12", "12", True),
        ("2x + z = 1", "1", False),
        ("x<2", "2>x", True),
        (r"\{1, 2, 3\}", r"\{3, 2, 1\}", True),
        ("1, 2", "2, 1", True),
        ("(1, 2)", "(2, 1)", False),
        ("(3, 1)", r"\{1, 3\}", False),
        ("[0, 1)", "(0, 1)", False),
        (r"\begin{pmatrix}1 & 0 \\ 0 & 1\end{pmatrix}", r"\begin{bmatrix}1&0\\0&1\end{bmatrix}", True),
        (r"\frac{\sqrt{3}}{3}", r"\frac{\sqrt{3}}{3} \approx 0.577", True),
        ("2^{2025}", "3^{2025}", False),
        (r"2\pi", "2", False),
        ("5x", "5", False),
        ("x² + 1", "x^2+1", True),
        ("√2/2", r"\frac{\sqrt{2}}{2}", True),
        ("s ∈ [0, 3]", r"0 \le s \le 3", True),
        (r"a=1, b=8 \text{ or } a=9, b=2", "a=9,b=2;a=1,b=8", True),
        (r"a=1, b=8 \text{ or } a=9, b=2", "a=1,b=2;a=9,b=8", False),
        (r"7\pi \text{ cm}", r"7\pi", True),
        ("f(s)", "f(t)", False),
        ("9 < t", "t > 9", True),
        ("9 < t", "9", False),
        ("9 + m", "9", False),
        (r"9\sqrt{2} g", r"9\sqrt{2}", False),
        (r"9\sqrt{2} kg", r"9\sqrt{2}", True),
        (r"9\pi \text{ cm}", r"9\pi \text{ centimetres}", True),
        (r"9\pi^\circ", r"9\pi", True),
        (r"9\sqrt{2}\%", r"9\sqrt{2}", True),
        (r"9\sqrt{2}\%", "9", False),
        (r"\$9t", "9t", True),
        (r"9\%, 8\%", "8, 9", True),
        (r"9 \star{8}", "9", False),
        (r"\frac{9", "9", False),
        ("1, 2, 2", "1, 2", True),
    ],
)
async def test_mathematical_equality_is_symmetric(pool: GradingPool, left: str, right: str, same: bool) -> None:
    grader: Answers = Grader(load_template("math-boxed"), pool)
    assert await grader.equivalent(left, right) is same
    assert await grader.equivalent(right, left) is same


async def test_other_kinds_need_no_process() -> None:
    pool = GradingPool()
    pool.close()
    assert await Grader(load_template("math-boxed"), pool).equivalent("0.5", r"\frac12")
    assert not await Grader(load_template("math-boxed"), pool).equivalent("0.5", "0.6")
    assert not await Grader(load_template("gsm8k-steps"), pool).equivalent(r"\sqrt{4}", "2")
    assert await Grader(load_template("choice"), pool).equivalent("(C) a lake", "c")
    assert await Grader(load_template("plain"), pool).equivalent("The Nile.", "the nile")


async def test_a_tolerance_is_taken_as_it_is_written() -> None:
    pool = GradingPool()
    pool.close()
    within = Grader(replace(load_template("gsm8k-steps"), tolerance=0.01), pool)
    assert await within.equivalent("99", "100")
    assert not await within.equivalent("98.9", "100")
    assert not await Grader(load_template("gsm8k-steps"), pool).equivalent("99", "100")


async def test_the_options_of_the_prompt_are_known() -> None:
    pool = GradingPool()
    pool.close()
    grader = Grader(load_template("choice"), pool, "Where?\nA. Rome\nB. Bonn")
    assert await grader.extract("The answer is Bonn.") == "B"
    assert await grader.equivalent("B", "bonn")
    assert not await grader.equivalent("A", "bonn")
    assert not await Grader(load_template("choice"), pool).equivalent("B", "bonn")


async def test_extraction_follows_the_template(pool: GradingPool) -> None:
    assert await Grader(load_template("gsm8k-steps"), pool).extract("#### 12") == "12"


async def test_a_comparison_is_made_once(pool: GradingPool, monkeypatch: pytest.MonkeyPatch) -> None:
    grader = Grader(load_template("math-boxed"), pool, remembered=2)
    assert await grader.equivalent(r"\sqrt{9}", "3")
    with monkeypatch.context() as patched:
        patched.setattr(pool, "same", None)
        assert await grader.equivalent("3", r"\sqrt{9}")
    for root in (16, 25, 36):
        assert await grader.equivalent(rf"\sqrt{{{root}}}", str(int(root**0.5)))
    assert len(grader._known) == 2


async def test_a_slow_comparison_is_killed_and_the_loop_stays_free() -> None:
    pool = GradingPool(time_limit=0.5)
    assert await pool._run(operator.truth, 1)
    ticks = 0
    began = time.perf_counter()
    running = asyncio.ensure_future(pool._run(time.sleep, 60.0))
    while not running.done():
        await asyncio.sleep(0.05)
        ticks += 1
    assert await running is False
    assert (pool.timeouts, pool.crashes) == (1, 0)
    assert ticks >= 5
    assert time.perf_counter() - began < 30
    assert await pool._run(operator.truth, 1)
    await asyncio.to_thread(pool.close)


async def test_a_process_that_dies_or_eats_memory_is_replaced() -> None:
    pool = GradingPool(time_limit=20.0)
    results = await asyncio.gather(
        pool._run(operator.truth, 1),
        pool._run(os._exit, 7),
        pool._run(operator.truth, 1),
        pool._run(bytearray, 8 << 30),
    )
    assert results == [True, False, True, False]
    assert pool.crashes == 2
    assert await pool.same(r"$\sqrt{4}$", "$2$")
    await asyncio.to_thread(pool.close)


async def test_a_process_killed_while_idle_is_replaced() -> None:
    pool = GradingPool()
    future = pool._started().schedule(os.getpid)
    os.kill(await asyncio.wrap_future(future), signal.SIGKILL)
    await asyncio.sleep(0.5)
    assert await pool._run(operator.truth, 1)
    assert pool.crashes == 0
    await asyncio.to_thread(pool.close)


async def test_hostile_answers_cannot_run_code_or_hang() -> None:
    pool = GradingPool(time_limit=1.0)
    grader = Grader(load_template("math-boxed"), pool)
    for text in ("__import__('os').system('true')", "9^{9^{9^{9}}}", "(" * 1500, "1000000!" + "!" * 50, r"\frac" * 400):
        assert not await grader.equivalent(text, "x+1")
    assert await grader.equivalent("x+1", "1+x")
    await asyncio.to_thread(pool.close)


async def test_closing_ends_the_processes_and_later_comparisons() -> None:
    pool = GradingPool(time_limit=60.0)
    identifier = await asyncio.wrap_future(pool._started().schedule(os.getpid))
    waiting = asyncio.ensure_future(pool._run(time.sleep, 60.0))
    await asyncio.sleep(0.5)
    await asyncio.to_thread(pool.close)
    with pytest.raises(TransientError):
        await waiting
    with pytest.raises(TransientError):
        await pool.same("a", "b")
    with pytest.raises(ProcessLookupError):
        os.kill(identifier, 0)


LONELY = """
import asyncio, os, pathlib, signal, sys, time
from worker.grading import GradingPool

async def main():
    pool = GradingPool(time_limit=600)
    child = await asyncio.wrap_future(pool._started().schedule(os.getpid))
    pathlib.Path(sys.argv[1]).write_text(str(child))
    pool._started().schedule(time.sleep, args=(600,))
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_a_comparison_ends_with_the_process_that_wanted_it(tmp_path: Path) -> None:
    """It does not read that nobody is there any more, and computes on for hours."""
    script = tmp_path / "lonely.py"
    script.write_text(LONELY)
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, script, tmp_path / "child"]
    done = await asyncio.to_thread(subprocess.run, command, env=environment)
    assert done.returncode == -signal.SIGKILL
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not psutil.pid_exists(child), what="the grading process to be gone")


async def test_cancelling_the_caller_is_not_swallowed() -> None:
    pool = GradingPool(time_limit=60.0)
    waiting = asyncio.ensure_future(pool._run(time.sleep, 60.0))
    await asyncio.sleep(1.0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.to_thread(pool.close)


async def test_works_off_the_main_thread(pool: GradingPool) -> None:
    other = GradingPool()
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(other.same("$x+1$", "$1+x$"))))
    thread.start()
    await asyncio.to_thread(thread.join)
    await asyncio.to_thread(other.close)
    assert results == [True]
