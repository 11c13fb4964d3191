"""A package of the test's: a vote that is brought down by a problem of its own, as an engine is by a prompt.

It stands for what cannot be had on purpose: a prompt on which the engine's process crashes. A problem that holds
POISON ends the worker's whole process at once; one that holds CRASH makes the engine say that it has died.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from strategies.majority_vote import MajorityVote
from strategies.protocols import EngineDied
from strategies.task import Solution


class FragileVote(MajorityVote):
    """A majority vote that some problems bring down."""

    async def solve(self, task: Any) -> Solution:
        prompt = task.problem.prompt
        if "POISON" in prompt:
            os.kill(os.getpid(), signal.SIGKILL)
        if "CRASH" in prompt:
            raise EngineDied("the engine is gone")
        return await super().solve(task)
