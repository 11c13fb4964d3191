"""The exposition of metrics: what it holds, and who may read it."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from cli.exposition import Exposition
from cli.metrics import MOST_JOBS, ServiceCollector
from models.errors import UserError
from scheduler.doorbell import Doorbell
from tests.unit.cli.conftest import Desk
from worker.occupancy import OccupancyCollector

ROOT = Path(__file__).parents[3]
METRIC = re.compile(r"\btts_\w+")


def told(desk: Desk, doorbell: Doorbell | None = None) -> str:
    """What one scrape says; a database of its own, as in a process of its own."""
    registry = CollectorRegistry()
    with closing(desk.database) as database:
        registry.register(ServiceCollector(database, doorbell))
        return generate_latest(registry).decode()


def value(page: str, series: str) -> float | None:
    found = re.search(rf"^{re.escape(series)} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else None


def test_jobs_queries_costs_and_processes_are_told(desk: Desk) -> None:
    job = desk.submit(5, "--job-budget", "100samples")
    desk.start_processes()
    first, second, third = desk.claim(job, 3, reserving=2.0)
    desk.commit([first])
    desk.commit([second], state="retry", correct=None)
    page = told(desk)
    expected = {
        'tts_jobs{state="open"}': 1,
        'tts_queries{generator="fast",state="done"}': 1,
        'tts_queries{generator="fast",state="running"}': 1,
        'tts_attempts_total{end="done",generator="fast"}': 1,
        'tts_attempts_total{end="retried",generator="fast"}': 1,
        'tts_attempts_total{end="lost",generator="fast"}': 0,
        'tts_samples_total{disposition="kept",model="fast",phase="generate"}': 4,
        'tts_tokens_total{disposition="kept",kind="generated",model="fast",phase="generate"}': 20,
        'tts_flops_total{disposition="kept",model="fast",phase="generate"}': 8e6,
        'tts_dollars_total{disposition="kept",model="fast",phase="generate"}': 0.002,
        'tts_processes{generator="fast",kind="worker"}': 1,
        'tts_slots{generator="fast"}': 16,
        'tts_in_flight{generator="fast"}': 2,
        'tts_engine_seconds_total{generator="fast",state="busy"}': 3,
        f'tts_job_budget{{job="{job}",unit="samples"}}': 100,
        f'tts_job_spent{{job="{job}",unit="samples"}}': 4,
        f'tts_job_reserved{{job="{job}",unit="samples"}}': 2,
        f'tts_job_accuracy{{job="{job}"}}': 1,
        "tts_database_up": 1,
    }
    assert {series: value(page, series) for series in expected} == expected
    assert re.search(r'^tts_answers{generator="fast",strategy="\w+",verdict="right"} 1.0$', page, re.MULTILINE)
    desk.commit([third])
    assert value(told(desk), 'tts_attempts_total{end="done",generator="fast"}') == 2, "as after a restart"


def test_the_series_do_not_grow_with_the_jobs(desk: Desk) -> None:
    for seed in range(MOST_JOBS + 3):
        desk.submit(1, "--seed", str(seed))
    page = told(desk)
    assert len(re.findall(r"^tts_job_queries{", page, re.MULTILINE)) == MOST_JOBS
    assert f'job="{MOST_JOBS + 3}"' in page
    assert value(page, 'tts_jobs{state="open"}') == MOST_JOBS + 3
    labels = set(re.findall(r'(\w+)="', page))
    assert labels <= {"state", "generator", "strategy", "verdict", "end", "model", "phase", "disposition", "kind", "amount", "job", "unit"}  # fmt: skip


def test_a_store_that_is_down_is_told_and_not_a_broken_page(desk: Desk) -> None:
    desk.submit(1)
    with closing(Doorbell("redis://127.0.0.1:1/0")) as doorbell:
        page = told(desk, doorbell)
    assert (value(page, "tts_broker_up"), value(page, "tts_database_up")) == (0, 1)


def test_messages_that_wait_are_told(desk: Desk, empty_redis_url: str) -> None:
    desk.submit(1)
    with closing(Doorbell(empty_redis_url)) as doorbell:
        page = told(desk, doorbell)
    assert value(page, 'tts_queue_messages{generator="fast"}') == 0
    assert (value(page, "tts_unacknowledged_messages"), value(page, "tts_broker_up")) == (0, 1)


def test_the_dashboard_and_the_manual_name_what_is_told(desk: Desk, empty_redis_url: str) -> None:
    desk.submit(1)
    with closing(Doorbell(empty_redis_url)) as doorbell:
        page = told(desk, doorbell)
    engine = SimpleNamespace(clock=SimpleNamespace(open=0))
    model = SimpleNamespace(name="fast", entry=SimpleNamespace(engine="instant"))
    idle: Any = SimpleNamespace(engine=engine, model=model, slots=1, in_flight=0, is_draining=False)
    metrics = {family.name for family in OccupancyCollector(idle).collect()}
    metrics |= set(re.findall(r"^# TYPE (\w+) ", page, re.MULTILINE))
    board = json.loads((ROOT / "monitoring" / "grafana" / "tts-jobs.json").read_text())
    asked = {name for panel in board["panels"] for one in panel["targets"] for name in METRIC.findall(one["expr"])}
    assert len(asked) > 15
    assert asked - metrics == set()
    assert metrics == set(METRIC.findall((ROOT / "docs" / "operations.md").read_text()))


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_metrics_leave_the_machine_only_behind_a_login(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in ("0.0.0.0", "::", "192.0.2.1", "metrics.example"):
        with pytest.raises(UserError, match="TTS_METRICS_BASIC_AUTH: metrics leave this machine"):
            Exposition(registry, address, 0)
    monkeypatch.setenv("TTS_METRICS_BASIC_AUTH", "tts")
    with pytest.raises(UserError, match="not a login"):
        Exposition(registry, "127.0.0.1", 0)
    monkeypatch.setenv("TTS_METRICS_BASIC_AUTH", "tts:lark")
    with closing(Exposition(registry, "0.0.0.0", 0)) as served:
        page = f"http://127.0.0.1:{served.port}/metrics"
        with httpx.Client(trust_env=False) as client:
            assert client.get(page).status_code == 401
            assert client.get(page, auth=("tts", "wren")).status_code == 401
            assert client.get(page, auth=("tts", "lark")).status_code == 200


def test_on_this_machine_no_login_is_needed_and_a_port_is_not_shared(registry: CollectorRegistry) -> None:
    with closing(Exposition(registry, "127.0.0.1", 0)) as served:
        assert httpx.get(f"http://127.0.0.1:{served.port}/metrics", trust_env=False).status_code == 200
        with pytest.raises(UserError, match="choose another"):
            Exposition(registry, "127.0.0.1", served.port)
