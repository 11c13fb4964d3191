"""What scheduler and worker agree on besides the tables: task name, queue names, message priorities, Celery settings."""

from __future__ import annotations

import hashlib
from typing import Any

from models.errors import UserError

SOLVE_TASK = "tts.solve"
KEY_PREFIX = "tts:"
PRIORITY_STEPS = (0, 3, 6, 9)


def lane_of(generator: str, identity: str) -> str:
    """A generator as workers are told apart by: the same name with other weights or settings is another lane."""
    return f"{generator}.{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def solve_queue(lane: str) -> str:
    """The Celery queue of a lane's rounds."""
    return f"tts.solve.{lane}"


def probe_queue(lane: str) -> str:
    """The queue of a lane's probes, apart so that they overtake."""
    return f"tts.probe.{lane}"


def celery_settings(broker_url: str) -> dict[str, Any]:
    """The Celery configuration of every process (reasons: `docs/architecture.md`, section Messages).

    For a Redis broker it also registers our transport with kombu, for this process.

    Raises:
        UserError: the broker's scheme is not one we can keep promises on.
    """
    scheme = broker_url.partition("://")[0]
    options: dict[str, Any]
    if scheme == "memory":
        # The default interval sleeps a second after every empty poll.
        options = {"polling_interval": 0.01}
    elif scheme in ("redis", "rediss"):
        # Not at the top: commands that only name a lane start without kombu.
        from kombu.transport import TRANSPORT_ALIASES

        # By its alias, so that logs and Flower go on calling it redis://.
        TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = "models.broker:Transport"
        options = {
            "visibility_timeout": 900,
            "unacked_restore_throttle": 1,
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "health_check_interval": 25,
            "global_keyprefix": KEY_PREFIX,
            "queue_order_strategy": "priority",
            "priority_steps": list(PRIORITY_STEPS),
        }
    else:
        raise UserError(
            f"TTS_BROKER_URL: {scheme}:// is not supported; use redis://HOST:6379/0, rediss:// or memory://"
        )
    return {
        "broker_url": broker_url,
        "broker_transport_options": options,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": scheme != "memory",
        "task_send_sent_event": False,
        "worker_hijack_root_logger": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_default_queue": "tts.unrouted",
        "timezone": "UTC",
        "enable_utc": True,
    }
