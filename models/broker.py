"""kombu's Redis transport with one client kept, instead of one made for every message, and unharmed by what is none."""

from __future__ import annotations

import logging
from typing import Any

from kombu.transport import redis
from redis.exceptions import ConnectionError

log = logging.getLogger(__name__)


class Channel(redis.Channel):
    """redis-py takes longer to construct a client than to run most commands (`docs/performance.md` has the gain).
    A client is safe to share: each command takes a connection of its own from the pool."""

    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[no-untyped-call]
        # A channel that lost its connection makes itself a new pool.
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[no-untyped-call]
        return self._kept

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, KeyError, AttributeError):
            # Anybody who reaches Redis can push anything; the worker would end of it. It is off the queue already.
            log.warning("dropped what is no message", exc_info=True)
            return True

    def _get_pool(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            # kombu lets go of a lost connection before it closes the channel, which hands back the messages in hand.
            # Celery goes on after an error of the network; the AttributeError that this would be ends the worker.
            raise ConnectionError("the connection to the broker was lost")
        return super()._get_pool(asynchronous)  # type: ignore[no-untyped-call]


class Transport(redis.Transport):
    Channel = Channel
