"""What the grading subprocess runs: symbolic equality by math-verify."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import re
import signal
import sys

from worker.equivalence import split_unit


def prepare(memory_bytes: int) -> None:
    """Bound this process's address space (bytes) and load the grader, before the first comparison's clock starts."""
    _leave_with_parent()
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    logging.getLogger("latex2sympy2_extended").setLevel(logging.CRITICAL)
    with contextlib.suppress(Exception):  # a broken installation is reported by the first comparison instead
        same_mathematics("$x+1$", "$1+x$")


def _leave_with_parent() -> None:
    """Whoever computes does not read that its parent is gone, and a worker that was killed can end no comparison."""
    parent = multiprocessing.parent_process()
    if sys.platform == "linux" and parent is not None:
        import ctypes

        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))
        if os.getppid() != parent.pid:
            os._exit(1)


def same_mathematics(left: str, right: str) -> bool:
    """Whether two answers are mathematically equal, tried in both directions because math-verify is not symmetric."""
    from math_verify import verify

    try:
        first, second = _parsed(left), _parsed(right)
        directions = [(first, second), (second, first)]
        if _must_be_gold(left, right) or _must_be_gold(right, left):
            directions = [(first, second) if _must_be_gold(left, right) else (second, first)]
        return any(verify(gold, target, timeout_seconds=None) for gold, target in directions)
    except MemoryError:
        raise
    except Exception:  # the parser and sympy raise all kinds of errors on odd input: such answers are not equal
        return False


_NAME = re.compile(
    r"\s*(?:\\[a-zA-Z]+\s*)?(?:[A-Za-z]+'*|\\[a-zA-Z]+)\s*(?:_(?:\w|\{[^{}]*\}))?\s*(?:\([^()=]*\))?\s*|\s*\\text\{[^{}]*\}\s*"
)
"""What may stand before the equals sign of a result: `x`, `x_1`, `f(2)`, `\\angle APC`."""


def _must_be_gold(answer: str, other: str) -> bool:
    """Whether math-verify would ignore something of `answer` if it took `other` as the reference.

    It drops the left side of an equation when the reference has none, and the order of a tuple when the reference
    is a set. An equation that only names its result, or that holds no variable, may lose its left side.
    """
    if "=" in answer and "=" not in other:
        letters = re.sub(r"\\[a-zA-Z]+", "", answer)
        return bool(re.search("[a-zA-Z]", letters)) and not _NAME.fullmatch(answer.partition("=")[0])
    return answer.startswith("(") and "," in other and not re.match(r"\(|.*(?:[<>=]|\\[lg]eq?|\\in)", other)


def _parsed(answer: str) -> list[object]:
    from latex2sympy2_extended.math_normalization import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse

    # Its list of units holds single letters, so that it would read `4 < t` and `4 + m` as 4; its search for plain
    # expressions would take the first number of what it cannot parse.
    cleaning = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="all")
    latex = LatexExtractionConfig(normalization_config=cleaning)
    parsed: list[object] = parse(_delimited(split_unit(answer)[0]), extraction_config=[latex], parsing_timeout=None)
    return parsed


def _delimited(answer: str) -> str:
    """LaTeX inside dollars, which is where math-verify looks for it; the notation of programs becomes LaTeX."""
    if re.search(r"\$|\\\(|\\\[|\\boxed", answer):
        return answer
    exact, *rounded = re.split(r"\\approx(?![a-zA-Z])|≈", answer)
    if rounded:
        answer = rounded[-1] if _NAME.fullmatch(exact) or not exact.strip() else exact
    answer = re.sub(r"\*\*\s*\(([^()]*)\)", r"^{\1}", answer)
    answer = re.sub(r"\*\*\s*(-?\w+)", r"^{\1}", answer)
    answer = re.sub(r"(?<![\\a-zA-Z])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", answer)
    answer = re.sub(r"(?<![\\a-zA-Z])(sin|cos|tan|ln|log|pi)(?![a-zA-Z])", r"\\\1 ", answer)
    answer = re.sub(r"%(?=\s*(?:[,;)\]]|$))", "", answer.replace("°", r"^\circ "))
    return f"${answer}$"
