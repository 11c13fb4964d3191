"""The servers that the other integration tests stand on."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import create_engine, text

from tests.servers import ServerError, fresh_database, process, redis_server, wait_for_server, wait_until


def test_redis_never_evicts_and_keeps_what_it_took(empty_redis_url: str) -> None:
    with redis.Redis.from_url(empty_redis_url, decode_responses=True) as client:
        assert client.dbsize() == 0
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_redis_with_a_password_refuses_others() -> None:
    with redis_server(password="river") as url, redis.Redis.from_url(url.replace("river", "bank")) as stranger:
        with redis.Redis.from_url(url) as client:
            assert client.ping()
        with pytest.raises(redis.exceptions.AuthenticationError):
            stranger.ping()


def test_each_database_is_new_and_is_dropped(postgres_server_url: str) -> None:
    with fresh_database(postgres_server_url) as first, fresh_database(postgres_server_url) as second:
        assert first != second
        engine = create_engine(first)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE t (n integer)"))
        # The connection stays in the pool: a forgotten client must not keep a database alive.
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(first.replace("+psycopg", ""))
    engine.dispose()


def test_a_process_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        pytest.raises(ServerError, match=r"speaker ended with code 3:\nlast words"),
        process(["sh", "-c", "echo last words; exit 3"], log) as child,
    ):
        wait_for_server(child, lambda: False, log, "speaker")


def test_waiting_says_what_it_waited_for() -> None:
    with pytest.raises(TimeoutError, match=r"waited 0 s for rain"):
        wait_until(lambda: False, seconds=0.0, what="rain")
