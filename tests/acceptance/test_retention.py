"""Pruning, backup and restore, with the commands of docs/operations.md."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from pathlib import Path

from sqlalchemy.engine import make_url

from tests.commands import Shop
from tests.servers import fresh_database, postgres_programs

RUN = ("run", "problems.jsonl", "-g", "fast", "-s", "majority_vote", "-b", "2")


def test_a_job_is_pruned_only_when_it_is_meant(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.problems(4)
    shop.tts(*RUN)
    assert shop.tts("prune", check=False).returncode == 2
    report = shop.tts("report", "--json").stdout
    told = shop.tts("prune", "--older-than", "0", "--json")
    assert [row["candidates"] for row in json.loads(told.stdout)["jobs"]] == [8]
    assert shop.scalar("SELECT COUNT(*) FROM candidate WHERE text <> ''") == 8
    assert "pruned" in shop.tts("prune", "last", "--yes").stderr
    assert shop.scalar("SELECT COUNT(*) FROM candidate WHERE text <> ''") == 0
    assert shop.tts("report", "--json").stdout == report
    key = json.loads(shop.tts("results", "last").stdout.splitlines()[0])["key"]
    assert "text pruned" in shop.tts("show", "last", key).stdout
    # The same command finds the answers; another budget draws what it can no longer take over.
    assert shop.tts(*RUN).returncode == 0
    assert shop.scalar("SELECT COUNT(*) FROM job") == 1
    shop.tts(*RUN[:-1], "3")
    assert shop.scalar("SELECT COUNT(*) FROM candidate WHERE reused_from IS NOT NULL") == 0
    shop.tts("prune", "1", "2", "--keep", "nothing", "--yes")
    assert [shop.scalar(f"SELECT COUNT(*) FROM {name}") for name in ("job", "problem", "usage WHERE job_id > 0")] == [
        0
    ] * 3
    shop.tts(*RUN)
    assert shop.scalar("SELECT COUNT(*) FROM query WHERE state = 'done'") == 4


def half_done(shop: Shop) -> None:
    """A job that its budget ended before it had answered everything."""
    shop.problems(10)
    shop.tts(*RUN, "--job-budget", "8samples", check=False)
    assert shop.query("SELECT state FROM job") == [("budget_exhausted",)]


def goes_on(shop: Shop) -> None:
    before = shop.query("SELECT id, answer FROM query WHERE state = 'done' ORDER BY id")
    assert len(before) == 4
    assert len(shop.tts("results", "last").stdout.splitlines()) >= 4
    shop.tts("resume", "last", "--job-budget", "none")
    shop.tts(*RUN)
    assert shop.query("SELECT state FROM job") == [("done",)]
    assert shop.scalar("SELECT COUNT(*) FROM query WHERE state = 'done'") == 10
    assert shop.scalar("SELECT COUNT(*) FROM attempt WHERE state = 'done'") == 10
    assert shop.query("SELECT id, answer FROM query ORDER BY id")[:4] == before


def test_a_sqlite_backup_goes_on_where_it_was(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    half_done(shop)
    file, copy = tmp_path / ".tts-jobs" / "tts-jobs.db", tmp_path / "backup.db"
    connection = sqlite3.connect(file)
    connection.execute("VACUUM INTO ?", (str(copy),))
    connection.close()
    shop.tts("cancel", "last")  # what happens after the backup is not in it
    for path in file.parent.glob("tts-jobs.db*"):
        path.unlink()
    copy.rename(file)
    goes_on(shop)


def test_a_postgres_dump_goes_on_where_it_was(tmp_path: Path, postgres_server_url: str) -> None:
    programs = postgres_programs()
    with fresh_database(postgres_server_url) as first, fresh_database(postgres_server_url) as second:
        shop = Shop(tmp_path, TTS_DATABASE_URL=first)
        shop.tts("db", "upgrade")
        half_done(shop)
        dump = tmp_path / "backup.dump"
        for program, arguments in (
            ("pg_dump", ["--format=custom", f"--file={dump}", plain(first)]),
            ("pg_restore", ["--no-owner", "--exit-on-error", f"--dbname={plain(second)}", str(dump)]),
        ):
            done = subprocess.run([programs / program, *arguments], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        shop.tts("cancel", "last")
        shop.environment["TTS_DATABASE_URL"] = second
        goes_on(shop)


def plain(url: str) -> str:
    """The URL as PostgreSQL's own programs write it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
