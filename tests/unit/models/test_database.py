"""Connections, migrations and what a person is told when something is wrong with the database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import insert, inspect, select, text
from sqlalchemy.exc import StatementError
from sqlmodel import SQLModel

from models.database import Database, _alembic_config, check_version, current_version, upgrade
from models.errors import UserError
from models.transitions import CANDIDATE, JOB, Outcome
from models.views import VIEWS, drop_views
from tests.builders import DATASET, ManualClock, add_job, candidate_row, claimed, commit, count, force, job_of, rows

NEWEST = "0007"


def test_an_empty_database_is_upgraded_to_the_tables_of_the_code(url: str) -> None:
    database = Database(url)
    assert current_version(database) is None
    with pytest.raises(UserError, match=f"its schema is missing, not {NEWEST}; run `tts-jobs db upgrade`"):
        check_version(database)
    assert upgrade(database) == NEWEST
    check_version(database)
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []
        assert set(inspect(connection).get_view_names()) == VIEWS.keys()
    database.close()


def test_an_upgrade_can_be_repeated(database: Database) -> None:
    shelf = add_job(database)
    assert upgrade(database) == NEWEST
    assert job_of(database, shelf.job_id).state == "open"


def test_samples_booked_before_there_were_searches_are_the_calls_of_the_generator(url: str) -> None:
    database = Database(url)
    with database.transaction() as connection:
        config = _alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("CREATE VIEW query_cost AS SELECT query_id, calls AS samples FROM usage"))
        columns = (
            "phase, model, disposition, reused, at_least, calls, prompt_tokens, canonical_prompt_tokens, "
            "generated_tokens, scored_tokens, gpu_seconds"
        )
        for phase in ("generate", "score"):
            connection.execute(
                text(f"INSERT INTO usage ({columns}) VALUES (:phase, 'm', 'kept', :no, :no, 7, 0, 0, 0, 0, 0)"),
                {"phase": phase, "no": False},
            )
    upgrade(database)
    with database.reading() as connection:
        found = {row.phase: row.samples for row in connection.execute(text("SELECT phase, samples FROM usage"))}
    assert found == {"generate": 7, "score": 0}
    database.close()


def test_what_was_stored_before_there_were_imports_stays_and_may_be_unknown_from_now_on(url: str) -> None:
    database = Database(url)
    config = _alembic_config()
    with database.transaction() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        moment, no = "2026-01-01 12:00:00+00:00", {"no": False}
        for statement in (
            f"INSERT INTO dataset (id, name, source, content_hash, state, loaded, problem_count, created_at) VALUES (1, 'd', 'd', 'h', 'ready', 1, 1, '{moment}')",
            "INSERT INTO problem (id, dataset_id, position, key, prompt) VALUES (1, 1, 1, 'k1', '1 + 1?')",
            "INSERT INTO job (id, name, dataset_id, fingerprint, replicate, state, priority, generator, lane, budget, strategy, oracle, sampling_key, specification, query_count, spent, reserved, created_at) "
            f"VALUES (1, 'j', 1, 'f', 0, 'done', 5, 'm', 'm', '1', 'greedy', :no, 's', '{{}}', 1, 0, 0, '{moment}')",
            "INSERT INTO query (id, job_id, problem_id, state, planned, stage, final, gain, attempt, retries, suspect, sequences, reserved, sequential_tokens) VALUES (1, 1, 1, 'done', :no, 0, :no, 1, 0, 0, 0, 1, 0, 7)",
            "INSERT INTO usage (id, job_id, query_id, phase, model, disposition, reused, at_least, calls, prompt_tokens, canonical_prompt_tokens, generated_tokens, scored_tokens, gpu_seconds) VALUES (1, 1, 1, 'generate', 'm', 'kept', :no, :no, 7, 3, 3, 4, 0, 0)",
        ):
            connection.execute(text(statement), no if ":no" in statement else {})
    upgrade(database)
    sums = text("SELECT total_tokens, sequential_tokens, gpu_seconds, imported_from FROM cost_accuracy")
    with database.reading() as connection:
        assert tuple(connection.execute(sums).one()) == (7, 7, 0, None)
    with database.transaction() as connection:
        connection.execute(text("UPDATE usage SET generated_tokens = NULL, gpu_seconds = NULL"))
        connection.execute(text("UPDATE query SET sequential_tokens = NULL"))
    with database.reading() as connection:
        assert tuple(connection.execute(sums).one()) == (None, None, None, None)
        assert connection.execute(text("SELECT prompt_tokens, wasted_tokens FROM query_cost")).one() == (3, 0)
    with database.transaction() as connection:
        connection.execute(text("UPDATE job SET imported_from = 'r.jsonl'"))
        drop_views(connection)
        config.attributes["connection"] = connection
        command.downgrade(config, "0004")
        assert connection.execute(text("SELECT COUNT(*) FROM query")).scalar_one() == 0
        columns = {column["name"]: column["nullable"] for column in inspect(connection).get_columns("usage")}
    assert (columns["prompt_tokens"], columns["cached_tokens"]) == (False, True)
    database.close()


def test_a_view_that_has_changed_is_made_anew(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(text("DROP VIEW cost_accuracy"))
    upgrade(database)
    assert count(database, "cost_accuracy") == 0


def test_an_upgrade_that_changes_nothing_waits_for_no_writer(sqlite_url: str) -> None:
    database, other = Database(sqlite_url), Database(sqlite_url)
    upgrade(database)
    with database.transaction():
        assert upgrade(other) == NEWEST
    database.close()
    other.close()


def test_two_upgrades_at_once_wait_for_each_other(url: str) -> None:
    databases = [Database(url) for _ in range(4)]
    failures: list[Exception] = []

    def run(database: Database) -> None:
        try:
            upgrade(database)
        except Exception as error:
            failures.append(error)

    in_parallel([lambda database=database: run(database) for database in databases])
    assert failures == []
    for database in databases:
        check_version(database)
        database.close()


def test_a_new_file_is_opened_by_many_at_once(tmp_path: Path) -> None:
    for round_ in range(10):
        databases = [Database(f"sqlite:///{tmp_path / str(round_)}.db") for _ in range(6)]
        failures: list[Exception] = []
        start = threading.Barrier(len(databases))

        def read(mine: Database, start: threading.Barrier = start, failures: list[Exception] = failures) -> None:
            start.wait()
            try:
                current_version(mine)
            except Exception as error:
                failures.append(error)

        in_parallel([lambda mine=mine, read=read: read(mine) for mine in databases])
        assert failures == []
        for mine in databases:
            mine.close()


def test_a_schema_of_a_newer_version_is_refused(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for refused in (check_version, upgrade):
        with pytest.raises(UserError, match=r"made by a newer tts-jobs \(schema 9999\)"):
            refused(database)


def test_a_naive_datetime_is_refused(database: Database) -> None:
    shelf = add_job(database)
    with pytest.raises(StatementError, match="naive datetime"):
        force(database, JOB, shelf.job_id, deadline=datetime(2026, 1, 1))


def test_a_datetime_of_another_zone_stays_the_same_moment(database: Database) -> None:
    shelf = add_job(database)
    moment = datetime(2026, 6, 1, 12, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    force(database, JOB, shelf.job_id, deadline=moment)
    found = job_of(database, shelf.job_id).deadline
    assert found == moment
    assert found.tzinfo == UTC


def test_what_is_not_there_is_null_in_sql(database: Database) -> None:
    [claim] = claimed(database, add_job(database))
    commit(database, Outcome(claim, "done", candidates=[candidate_row()]))
    with database.reading() as connection:
        unknown = "step_scores IS NULL AND step_logprobs IS NULL"
        assert connection.execute(text(f"SELECT COUNT(*) FROM candidate WHERE {unknown}")).scalar_one() == 1


@pytest.mark.parametrize("bad", ["a\0b", "\ud83d alone", "alone \udc80"])
def test_text_that_no_database_can_hold_is_stored_with_a_mark(database: Database, bad: str) -> None:
    [claim] = claimed(database, add_job(database, 1, name=f"job {bad}"))
    outcome = Outcome(
        claim, "failed", answer=bad, reason=bad, candidates=[candidate_row(text=bad, answer=bad, step_scores=[0.5])]
    )  # fmt: skip
    assert commit(database, outcome) == {claim.attempt_id}
    [candidate] = rows(database, CANDIDATE)
    marked = bad.replace("\0", "�").replace("\ud83d", "�").replace("\udc80", "�")
    assert (candidate.text, candidate.answer) == (marked, marked)
    with database.reading() as connection:
        told = connection.execute(text("SELECT error, answer FROM query")).one()
        assert tuple(told) == (marked, marked)
        assert connection.execute(text("SELECT reason FROM attempt")).scalar_one() == marked


def test_text_beyond_the_basic_plane_is_stored_as_it_is(database: Database) -> None:
    [claim] = claimed(database, add_job(database))
    commit(database, Outcome(claim, "done", answer="√2 😀", candidates=[candidate_row(text="√2 \ud83d\ude00")]))
    assert rows(database, CANDIDATE)[0].text == "√2 😀"


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("postgresql://ann:hunter2@db.example/tts", "postgresql+psycopg://ann:***@db.example/tts"),
        ("postgres://ann:hunter2@db.example/tts", "postgresql+psycopg://ann:***@db.example/tts"),
        ("postgresql://db.example/tts?password=hunter2", "postgresql+psycopg://db.example/tts"),
    ],
)
def test_the_label_holds_no_password(url: str, label: str) -> None:
    assert Database(url).label == label


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    database = Database("postgresql://ann:hunter2@127.0.0.1:1/tts")
    with (
        pytest.raises(UserError, match=r"cannot be reached.*check TTS_DATABASE_URL") as caught,
        database.reading() as connection,
    ):
        connection.execute(text("SELECT 1"))
    assert "hunter2" not in str(caught.value)


def test_a_host_that_does_not_exist_is_a_sentence() -> None:
    database = Database("postgresql://ann:hunter2@nowhere.invalid/tts")
    with pytest.raises(UserError, match="cannot be reached"), database.reading() as connection:
        connection.execute(text("SELECT 1"))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "not a database URL"),
        ("postgresql://ann:hunter2@host:port/tts", "not a database URL"),
        ("postgresql://ann:hunt@er2@host/tts", "write an @ inside the password as %40"),
        ("mysql://ann:hunter2@host/tts", "mysql is not supported"),
        ("sqlite://", "a database in memory cannot be shared"),
        ("sqlite:///:memory:", "a database in memory cannot be shared"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_in_one_sentence(url: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        Database(url)
    assert "hunter2" not in str(caught.value)
    assert "er2" not in str(caught.value)


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("to be, or not to be, that is the question " * 100)
    with pytest.raises(UserError, match=r"notes\.txt: file is not a database"):
        upgrade(Database(f"sqlite:///{tmp_path / 'notes.txt'}"))


def test_a_missing_schema_is_a_sentence(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with pytest.raises(UserError, match="no tables yet; run `tts-jobs db upgrade`"):
        job_of(database, 1)
    database.close()


def test_a_full_disk_is_a_sentence(sqlite_url: str, clock: ManualClock) -> None:
    database = Database(sqlite_url, clock)
    upgrade(database)
    row = {"name": "x" * 50_000, "source": "x", "content_hash": "x", "created_at": clock.time}

    def fill() -> None:
        with database.transaction() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            connection.execute(insert(DATASET), [row])

    with pytest.raises(UserError, match="the disk is full"):
        fill()
    assert count(database, "dataset") == 0
    database.close()


def test_a_lock_that_does_not_end_is_a_sentence(sqlite_url: str) -> None:
    database, other = Database(sqlite_url), Database(sqlite_url)
    upgrade(database)
    with other.reading() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=10")
    with database.transaction(), pytest.raises(UserError, match="another program keeps it locked"):
        write(other)
    database.close()
    other.close()


def write(database: Database) -> None:
    with database.transaction():
        raise AssertionError("two writers at once")


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    shelf = add_job(database)

    def change() -> None:
        with database.transaction() as connection:
            connection.execute(JOB.update().values(name="changed"))
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        change()
    assert job_of(database, shelf.job_id).name == "job 1"


def test_a_reader_waits_for_no_writer(database: Database) -> None:
    shelf = add_job(database)
    with database.transaction() as writing:
        writing.execute(JOB.update().values(name="changed"))
        with database.reading() as connection:
            assert connection.execute(select(JOB.c.name)).scalar_one() == "job 1"
    assert job_of(database, shelf.job_id).name == "changed"


def test_the_clock_of_the_database_is_near_ours_and_aware(url: str) -> None:
    database = Database(url)
    with database.reading() as connection:
        assert abs(database.clock.now(connection) - datetime.now(UTC)) < timedelta(seconds=5)
    database.close()


def in_parallel(functions: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
