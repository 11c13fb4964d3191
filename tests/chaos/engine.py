"""An engine behind HTTP as a process of its own, which writes down what it was asked and when.

`python engine.py PORT LOG LATENCY` speaks OpenAI's chat interface. Each line of LOG is JSON: `event` (begin, end,
aborted), `at` (Unix seconds), `problem` and `seed`. A problem that holds MALFORMED is answered with what is no JSON,
and one of more than a million characters is refused as too large, as real servers do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONTEXT_CHARACTERS = 1_000_000
MALFORMED = "MALFORMED"


def serve(port: int, log: Path, latency: float) -> None:
    from aiohttp import web

    file = log.open("a", buffering=1)

    def note(event: str, problem: str, seed: int) -> None:
        file.write(json.dumps({"event": event, "at": time.time(), "problem": problem[:80], "seed": seed}) + "\n")

    async def models(_request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "recorded"}]})

    async def chat(request: web.Request) -> web.Response:
        asked = await request.json()
        problem, seed = asked["messages"][-1]["content"], asked["seed"]
        if len(problem) > CONTEXT_CHARACTERS:
            return web.json_response({"error": {"message": "the prompt exceeds the context"}}, status=400)
        note("begin", problem, seed)
        try:
            await asyncio.sleep(latency)
        except asyncio.CancelledError:
            note("aborted", problem, seed)
            raise
        note("end", problem, seed)
        if MALFORMED in problem:
            return web.Response(text="<html>an error page")
        text = f"The answer is \\boxed{{{seed % 10}}}."
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": len(problem.split()), "completion_tokens": 4, "total_tokens": 0}
        return web.json_response({"choices": [choice], "usage": usage})

    app = web.Application(client_max_size=64 << 20)
    app.add_routes([web.get("/v1/models", models), web.post("/v1/chat/completions", chat)])
    web.run_app(app, host="127.0.0.1", port=port, print=None, handler_cancellation=True)


@dataclass(frozen=True, slots=True)
class Event:
    event: str
    at: float
    problem: str
    seed: int


class RecordedEngine:
    """The server as a test sees it: started, killed, and asked what it was asked."""

    def __init__(self, directory: Path, port: int, latency: float) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self._log = directory / "engine.jsonl"
        self._command = [sys.executable, __file__, str(port), str(self._log), str(latency)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def accepts(self) -> bool:
        """Whether somebody listens."""
        port = int(self._command[2])
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            return True
        return False

    def events(self) -> list[Event]:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [Event(**json.loads(line)) for line in lines]

    def completed(self) -> Counter[tuple[str, int]]:
        """How often each (problem, seed) was written to its end."""
        return Counter((one.problem, one.seed) for one in self.events() if one.event == "end")

    def in_flight(self) -> int:
        counts = Counter(one.event for one in self.events())
        return counts["begin"] - counts["end"] - counts["aborted"]


@contextlib.contextmanager
def recorded_engine(directory: Path, port: int, latency: float = 0.3) -> Iterator[RecordedEngine]:
    engine = RecordedEngine(directory, port, latency)
    engine.start()
    try:
        yield engine
    finally:
        engine.kill()


def entry(engine: RecordedEngine, sequences: int = 8) -> dict[str, Any]:
    """The engine's table in tts-jobs.toml."""
    return {"engine": "openai", "model": "recorded", "url": engine.url, "max_sequences": sequences}


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
