"""Bells on a real Redis: what is sent, in which order it is heard, and how many wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from kombu.transport.virtual import Channel

from models.errors import UserError
from models.wire import celery_settings, probe_queue, solve_queue
from scheduler.doorbell import Bell, Doorbell
from tests.builders import messages
from tests.servers import free_port, redis_server


@pytest.fixture
def listener(empty_redis_url: str) -> Iterator[Channel]:
    """A worker's end of the wire."""
    app = Celery("listener", set_as_current=False)
    app.conf.update(celery_settings(empty_redis_url))
    with app.connection_for_read() as connection:
        yield connection.default_channel
    app.close()


def hear(channel: Channel, generator: str = "fast") -> Any:
    return channel.basic_get(solve_queue(generator))


def test_a_bell_says_which_query_to_claim(doorbell: Doorbell, listener: Channel) -> None:
    doorbell.ring([Bell(7, 2, "fast", 5, alone=True)])
    message = hear(listener)
    assert message.headers["task"] == "tts.solve"
    assert message.payload[0] == [7, 2, True]
    assert message.content_type == "application/json"
    assert hear(listener) is None


def test_urgent_bells_are_heard_first(doorbell: Doorbell, listener: Channel) -> None:
    """There are four degrees of urgency on the wire (0, 3, 6, 9); within one, first come first heard."""
    doorbell.ring([Bell(100 + n, 0, "fast", priority) for n, priority in enumerate((9, 5, 4, 0, 7, 9))])
    heard = [hear(listener).payload[0][0] for _ in range(6)]
    assert heard == [103, 101, 102, 104, 100, 105]


def test_waiting_counts_every_priority_of_each_model(doorbell: Doorbell, listener: Channel) -> None:
    doorbell.ring([Bell(n, 0, "fast", n) for n in range(10)])
    doorbell.ring([Bell(n, 0, "slow", 5) for n in range(3)])
    assert doorbell.waiting(["fast", "slow", "silent"]) == ({"fast": 10, "slow": 3, "silent": 0}, 0)
    taken = [hear(listener), hear(listener)]
    assert doorbell.waiting(["slow", "fast"]) == ({"slow": 3, "fast": 8}, 2)
    for message in taken:
        listener.basic_ack(message.delivery_tag)
    assert doorbell.waiting(["fast"]) == ({"fast": 8}, 0)


def test_a_probe_has_a_queue_of_its_own_and_is_counted_with_the_others(
    doorbell: Doorbell, listener: Channel, empty_redis_url: str
) -> None:  # fmt: skip
    doorbell.ring([Bell(1, 0, "fast", 5), Bell(2, 0, "fast", 5, probe=True)])
    assert messages(empty_redis_url) == [(1, 0, False)]
    assert messages(empty_redis_url, probes=True) == [(2, 0, False)]
    assert doorbell.waiting(["fast"]) == ({"fast": 2}, 0)
    assert listener.basic_get(probe_queue("fast")).payload[0] == [2, 0, False]
    assert doorbell.waiting(["fast"]) == ({"fast": 1}, 1)


def test_the_messages_of_other_models_are_not_heard(
    doorbell: Doorbell, listener: Channel, empty_redis_url: str
) -> None:  # fmt: skip
    doorbell.ring([Bell(1, 0, "slow", 5)])
    assert hear(listener, "fast") is None
    assert messages(empty_redis_url, "slow") == [(1, 0, False)]


def test_the_memory_broker_counts_what_waits() -> None:
    doorbell = Doorbell("memory://localhost/")
    doorbell.check()
    doorbell.ring([Bell(n, 0, "remembered", 5, probe=n == 3) for n in range(4)])
    assert doorbell.waiting(["remembered", "silent"]) == ({"remembered": 4, "silent": 0}, 0)
    doorbell.close()


def test_a_broker_that_is_not_there_is_a_sentence() -> None:
    port = free_port()
    doorbell = Doorbell(f"redis://:hunter2@127.0.0.1:{port}/0")
    with pytest.raises(UserError, match=f"redis://:\\*\\*@127.0.0.1:{port}/0: the broker cannot be reached") as caught:
        doorbell.check()
    assert "hunter2" not in str(caught.value)
    doorbell.close()


def test_a_wrong_password_is_a_sentence() -> None:
    with redis_server(password="swordfish") as url:
        for wrong in (url.replace(":swordfish@", ""), url.replace("swordfish", "hunter2")):
            doorbell = Doorbell(wrong)
            with pytest.raises(UserError, match="Redis wants a password; set it in TTS_BROKER_URL") as caught:
                doorbell.check()
            assert "hunter2" not in str(caught.value)
            doorbell.close()
        right = Doorbell(url)
        right.check()
        right.ring([Bell(1, 0, "fast", 5)])
        assert right.waiting(["fast"]) == ({"fast": 1}, 0)
        right.close()


@pytest.mark.parametrize("url", ["amqp://guest@localhost//", "sqla+sqlite:///broker.db", "filesystem://", "nonsense"])
def test_a_broker_that_loses_messages_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="is not supported; use redis://"):
        Doorbell(url)
