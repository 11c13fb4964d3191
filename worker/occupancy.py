"""What one engine does right now, for Prometheus; what lasts is in the database (`cli.metrics`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from worker.runtime import Runtime

if TYPE_CHECKING:
    from prometheus_client.core import Metric


class OccupancyCollector:
    """Reads a runtime from the thread that answers a scrape; only what may be read there."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def describe(self) -> Iterable[Metric]:
        """Nothing is read when it is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        runtime = self._runtime
        for name, what, value in (
            ("tts_batch_sequences", "Requests that the engine has in hand now.", runtime.engine.clock.open),
            ("tts_batch_slots", "Sequences that the engine runs at once.", runtime.slots),
            ("tts_worker_in_flight", "Queries that this worker holds.", runtime.in_flight),
            ("tts_worker_draining", "Whether this worker is leaving.", runtime.is_draining),
        ):
            family = GaugeMetricFamily(name, what, labels=("generator", "engine"))
            family.add_metric((runtime.model.name, runtime.model.entry.engine), float(value))
            yield family
