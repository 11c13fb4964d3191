"""A desk at which the command line is used inside this process, on a database of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from models import heartbeats, transitions
from models.catalogue import find_generator
from models.database import Database
from models.settings import settings
from models.transitions import Claim, Outcome

CONFIGURATION = """
[generators.fast]
engine = "instant"
model = "instant"

[generators.small]
engine = "instant"
model = "instant"
architecture = "config.json"
price = { gpu_hour = 3.6 }
flops_per_second = 1e12
"""
ARCHITECTURE = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 1000,
    "tie_word_embeddings": True,
}  # fmt: skip


@dataclass(frozen=True)
class Said:
    """What a command ended with and printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class Desk:
    """Commands are run by `tts`; the rest plays the parts of scheduler and worker with the real state changes."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    @property
    def database(self) -> Database:
        return Database(settings().database)

    def tts(self, *arguments: str) -> Said:
        self._capture.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        printed = self._capture.readouterr()
        code = ended.value.code
        return Said(code if isinstance(code, int) else 0, printed.out, printed.err)

    def submit(self, count: int, *options: str, generator: str = "fast") -> int:
        """Submit a dataset of `count` problems and return the job's number."""
        lines = [json.dumps({"id": f"k{n}", "prompt": f"What is {n} + 1?", "answer": str(n + 1)}) for n in range(count)]
        Path("problems.jsonl").write_text("\n".join(lines) + "\n")
        said = self.tts("submit", "problems.jsonl", "-g", generator, "--json", *options)
        assert said.code == 0, said.stderr
        return int(said.json["job_id"])

    def claim(self, job_id: int, count: int, *, reserving: float = 0.0) -> list[Claim]:
        """Plan, ring and claim the job's next `count` queries."""
        with self.database.transaction() as connection:
            now = datetime.now(UTC)
            waiting = transitions.QUERY.c
            ids = list(
                connection.execute(
                    transitions.QUERY.select()
                    .with_only_columns(waiting.id)
                    .where(waiting.job_id == job_id, waiting.state == "pending")
                    .order_by(waiting.id)
                    .limit(count)
                ).scalars()
            )
            planned = {"strategy": "majority_vote", "parameters": {}, "budget_amount": 2.0, "budget_unit": "samples"}
            undecided = {"difficulty": None, "bin": None, "gain": 1.0, "confidence": None, "decisions": None}
            rows = [
                {"id": query_id, "stage": 0, **planned, "sequences": 2, "final": True, **undecided} for query_id in ids
            ]
            transitions.plan(connection, rows)
            rung = transitions.ring(connection, job_id, dict.fromkeys(ids, reserving), now)
            return transitions.claim(connection, "worker-1", [(query_id, 0, False) for query_id in rung], now, 60)

    def commit(
        self, claims: list[Claim], *, answer: str | None = "1", correct: bool | None = True, **ending: Any
    ) -> None:
        """End attempts, as done unless `ending` says otherwise, with two candidates of five tokens each."""
        ledger = {
            "phase": "generate", "model": "fast", "calls": 2, "samples": 2, "prompt_tokens": 6, "canonical_prompt_tokens": 3,
            "generated_tokens": 10, "flops": 4e6, "flops_canonical": 3e6, "flops_2nd": 3e6, "gpu_seconds": 0.5,
            "dollars": 0.001,
        }  # fmt: skip
        candidates = [
            {
                "path": str(n), "parent": None, "text": f"It is {answer}.", "answer": answer, "answer_class": 0,
                "correct": correct, "finish_reason": "stop", "score": None, "step_scores": None, "step_logprobs": None,
                "prompt_tokens": 3, "cached_tokens": 0, "generated_tokens": 5, "gpu_seconds": 0.25,
                "disposition": "kept", "reused_from": None,
            }
            for n in range(2)
        ]  # fmt: skip
        values = {"state": "done", "stopped": "complete", **ending}
        outcomes = [
            Outcome(claim, answer=answer, correct=correct, candidates=candidates, usage=[ledger], **values)
            for claim in claims
        ]
        with self.database.transaction() as connection:
            accepted = transitions.commit(connection, outcomes, datetime.now(UTC))
        assert len(accepted) == len(claims)

    def finish(self, job_id: int) -> None:
        with self.database.transaction() as connection:
            assert transitions.end_job(connection, job_id, "done", datetime.now(UTC), None)

    def exhaust(self, job_id: int, reason: str) -> None:
        with self.database.transaction() as connection:
            assert transitions.end_job(connection, job_id, "budget_exhausted", datetime.now(UTC), reason)

    def start_processes(self) -> None:
        """Heartbeats of a scheduler and of a worker for the generator `fast`."""
        with self.database.transaction() as connection:
            now = datetime.now(UTC)
            heartbeats.register(connection, heartbeats.Identity("scheduler-1", "scheduler"), now)
            worker = heartbeats.Identity("worker-1", "worker", "fast", "instant", 16, lane=find_generator("fast").lane)
            heartbeats.register(connection, worker, now)
            heartbeats.beat(connection, "worker-1", "fast", heartbeats.Beat(7, 2, 3.0, 1.0), now)

    def pause_later(self, seconds: float, job_id: int, reason: str) -> threading.Timer:
        """Pause a job some seconds from now, on a thread that is to be joined."""

        def act() -> None:
            with self.database.transaction() as connection:
                assert transitions.pause_job(connection, job_id, reason)

        timer = threading.Timer(seconds, act)
        timer.start()
        return timer


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path("tts-jobs.toml").write_text(CONFIGURATION)
    Path("config.json").write_text(json.dumps(ARCHITECTURE))
    settings.cache_clear()
    yield Desk(capsys)
    settings.cache_clear()
