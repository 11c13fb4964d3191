"""Our Redis transport on a real Redis: one client for all messages, a new one when the connection is made anew."""

from __future__ import annotations

from celery import Celery
from redis import Redis

from models.broker import Transport
from models.wire import celery_settings


def test_messages_share_a_client_that_survives_a_lost_connection(empty_redis_url: str) -> None:
    app = Celery("listener", set_as_current=False)
    app.conf.update(celery_settings(empty_redis_url))
    with app.connection_for_write() as connection:
        assert isinstance(connection.transport, Transport)
        assert connection.as_uri().startswith("redis://")
        channel = connection.default_channel
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second
            first.lpush("list", "one")
        with Redis.from_url(empty_redis_url) as other:
            other.client_kill_filter(_type="normal", skipme=True)
        with channel.conn_or_acquire() as again:
            assert again.llen("list") == 1
        channel._disconnect_pools()
        with channel.conn_or_acquire() as anew:
            assert anew is not first
            assert anew.llen("list") == 1
    app.close()


def test_a_lost_connection_is_let_go_of_with_its_messages_in_hand(empty_redis_url: str) -> None:
    """kombu has let go of the transport by then. It survives the errors of the network; any other ends the worker."""
    app = Celery("listener", set_as_current=False)
    app.conf.update(celery_settings(empty_redis_url))
    connection = app.connection_for_write()
    channel = connection.default_channel
    queue = connection.SimpleQueue("bells", channel=channel)
    queue.put("one")
    assert queue.get(timeout=10).payload == "one"
    connection.transport.client = None
    connection.maybe_close_channel(channel)
    app.close()
