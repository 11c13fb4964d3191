"""Ringing: sends the Celery messages and counts those that wait."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from celery import Celery
from kombu.exceptions import OperationalError

from models.errors import UserError
from models.wire import PRIORITY_STEPS, SOLVE_TASK, celery_settings, probe_queue, solve_queue

_PRIORITY_SEPARATOR = "\x06\x16"  # kombu's Redis transport keeps one list per priority step, named so


@dataclass(frozen=True, slots=True)
class Bell:
    """One message: which query to claim, on whose queue, how urgent (0 first), and whether it must run alone. A `probe`
    is a stage that a decision waits for: it has a queue of its own, so that it overtakes."""

    query_id: int
    stage: int
    lane: str
    priority: int
    alone: bool = False
    probe: bool = False

    @property
    def queue(self) -> str:
        return probe_queue(self.lane) if self.probe else solve_queue(self.lane)


class Doorbell:
    """The scheduler's side of the broker.

    Raises:
        UserError: the broker cannot be reached or refuses the password.
    """

    def __init__(self, broker_url: str) -> None:
        self._app = Celery("tts-jobs", set_as_current=False)
        self._app.conf.update(celery_settings(broker_url))
        self._is_redis = broker_url.startswith("redis")

    def check(self) -> None:
        """Connect once, so that a wrong URL is a sentence now rather than a retry forever."""
        with self._app.connection_for_write(connect_timeout=5) as connection:
            try:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
            except Exception as error:
                raise UserError(_unreachable(connection.as_uri(), error)) from None

    def ring(self, bells: Iterable[Bell]) -> None:
        with self._app.producer_pool.acquire(block=True) as producer:
            for bell in bells:
                self._app.send_task(
                    SOLVE_TASK,
                    args=(bell.query_id, bell.stage, bell.alone),
                    queue=bell.queue,
                    priority=bell.priority,
                    producer=producer,
                    retry=True,
                    retry_policy={"max_retries": 3, "interval_start": 0.1, "interval_step": 0.5},
                )

    def waiting(self, lanes: Iterable[str]) -> tuple[dict[str, int], int]:
        """(lane -> messages in its two queues, messages delivered but not yet acknowledged in all queues)."""
        queues = {lane: (probe_queue(lane), solve_queue(lane)) for lane in lanes}
        with self._app.connection_for_write() as connection:
            channel = connection.default_channel
            if not self._is_redis:
                return {lane: sum(map(channel._size, both)) for lane, both in queues.items()}, 0
            with channel.conn_or_acquire() as client:
                pipe = client.pipeline()
                for queue in itertools.chain.from_iterable(queues.values()):
                    for step in PRIORITY_STEPS:
                        pipe.llen(f"{queue}{_PRIORITY_SEPARATOR}{step}" if step else queue)
                pipe.hlen(channel.unacked_key)
                *lengths, unacked = pipe.execute()
        steps = 2 * len(PRIORITY_STEPS)
        return {name: sum(lengths[steps * i : steps * (i + 1)]) for i, name in enumerate(queues)}, unacked

    def close(self) -> None:
        self._app.close()


def _unreachable(uri: str, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if (
        "NOAUTH" in reason
        or "WRONGPASS" in reason
        or "invalid username-password" in reason
        or "Authentication required" in reason
    ):
        return f"{uri}: Redis wants a password; set it in TTS_BROKER_URL, as in redis://:PASSWORD@HOST:6379/0"
    return f"{uri}: the broker cannot be reached ({reason}); start Redis or correct TTS_BROKER_URL"


__all__ = ["Bell", "Doorbell", "OperationalError"]
