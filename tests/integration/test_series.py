"""Jobs of a series: answered one after the other in one process, found again, made anew where they were cancelled."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from models import transitions
from models.database import Database, open_database
from models.settings import settings
from tests.builders import rows, write_problems
from tests.commands import Shop

# In a process of its own, as it is used: an engine's application is made once in each.
SERIES = """
import json, signal, sys
from cli.series import answer_all
from models.database import open_database
from models.errors import UserError
from scheduler.readers import open_dataset
from scheduler.submission import Request

handlers = lambda: [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
before = handlers()
requests = [
    Request(generator="fast", strategy="majority_vote", parameters={}, budget=(float(n), "samples"))
    for n in sys.argv[1:]
]
reader = open_dataset("sums.jsonl", None, preset=None, limit=None, split="test")
try:
    said = answer_all(open_database(), reader, requests, quiet=True)
except UserError as error:
    said = str(error)
assert handlers() == before, "what comes behind cannot be interrupted"
print(json.dumps(said))
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A directory that knows the generator `fast`, and has five problems."""
    monkeypatch.chdir(tmp_path)
    write_problems(tmp_path / "sums.jsonl", 5)
    return Shop(tmp_path)


@pytest.fixture
def database(shop: Shop) -> Iterator[Database]:
    settings.cache_clear()
    made = open_database()
    yield made
    made.close()
    settings.cache_clear()


def answer(shop: Shop, *samples: int) -> Any:
    """The jobs' numbers, or the sentence that it ended with."""
    command = [sys.executable, "-P", "-c", SERIES, *map(str, samples)]
    done = subprocess.run(command, cwd=shop.directory, env=shop.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def states(shop: Shop) -> list[Any]:
    return [state for (state,) in shop.query("SELECT state FROM job ORDER BY id")]


def test_each_reuses_what_the_one_before_it_drew(shop: Shop, database: Database) -> None:
    engines = "SELECT COUNT(*) FROM worker WHERE kind = 'worker'"
    assert answer(shop, 2, 4) == [1, 2]
    assert states(shop) == ["done", "done"]
    drawn = rows(database, transitions.CANDIDATE)
    assert [sum(one.reused_from is not None for one in drawn if one.job_id == job) for job in (1, 2)] == [0, 10]
    assert shop.scalar(engines) == 1, "one engine for all"
    assert answer(shop, 2, 4) == [1, 2]
    assert shop.scalar(engines) == 1, "none where all is stored"


def test_a_cancelled_job_is_made_anew(shop: Shop, database: Database) -> None:
    assert answer(shop, 2) == [1]
    with database.transaction() as connection:
        connection.execute(transitions.JOB.update().values(state="open"))
        assert transitions.cancel_job(connection, 1, datetime.now(UTC))
    assert answer(shop, 2) == [2]
    assert answer(shop, 2) == [2]
    assert states(shop) == ["cancelled", "done"]


def test_a_paused_job_is_a_sentence(shop: Shop, database: Database) -> None:
    answer(shop, 2)
    with database.transaction() as connection:
        connection.execute(transitions.JOB.update().values(state="paused"))
    assert answer(shop, 2, 4) == "job 1 is paused: `tts-jobs resume 1`, then run this again"
    assert states(shop) == ["paused"], "what builds on it does not begin"
