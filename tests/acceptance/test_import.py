"""`tts-jobs import` as a person uses it: killed at any time, nothing is lost and nothing is there twice."""

from __future__ import annotations

import json
import signal

from tests.commands import Shop
from tests.recordings import boxed, generated, write


def test_killed_in_the_middle_an_import_goes_on_and_stores_nothing_twice(shop: Shop) -> None:
    problems = 3000
    files = [
        write(shop.directory / f"output-rs{n}.jsonl", [generated(k, str(k + n), generation=boxed(str(k + n))) for k in range(problems)])
        for n in range(2)
    ]  # fmt: skip
    command = ("import", *files, "--generator", "elsewhere", "--json")
    stored = "SELECT COUNT(*) FROM query"
    with shop.start(*command) as first:
        shop.wait_for(lambda: 0 < shop.scalar(stored) < problems)
        first.send_signal(signal.SIGKILL)
        first.wait()
    before = shop.scalar(stored)
    assert 0 < before < problems
    assert shop.scalar("SELECT state FROM job") == "loading"
    [state] = [row["state"] for row in json.loads(shop.tts("jobs", "--json").stdout)]
    assert state == "loading"
    said = json.loads(shop.tts(*command).stdout)
    assert (said["job_id"], said["state"], said["queries"], said["samples"]) == (1, "done", problems, 2 * problems)
    assert (shop.scalar(stored), shop.scalar("SELECT COUNT(*) FROM candidate")) == (problems, 2 * problems)
    assert shop.scalar("SELECT COUNT(*) FROM usage") == problems
    assert {row["field"]: row["the_same"] for row in said["compared"]} == {
        "answers read": 2 * problems,
        "verdicts": 2 * problems,
    }
    [row] = json.loads(shop.tts("report", "--json").stdout)
    assert (row["done"], row["samples"], row["correct"], row["total_tokens"]) == (problems, 2 * problems, 0, None)
    again = json.loads(shop.tts(*command).stdout)
    assert (again["job_id"], again["created"], shop.scalar(stored)) == (1, False, problems)
