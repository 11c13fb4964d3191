"""docker-compose.yml: valid by the compose specification, and its services run for real, as local processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy.engine import make_url

from tests.servers import free_port, fresh_database, process, redis_server, wait_for_server, wait_until

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
OURS = {"migrate", "scheduler", "worker", "worker-http", "metrics", "flower", "cli"}
RUNNING = ["scheduler", "worker", "worker-http", "metrics", "flower"]
PASSWORDS = {
    "REDIS_PASSWORD": "stone",
    "POSTGRES_PASSWORD": "river",
    "FLOWER_PASSWORD": "cloud",
    "METRICS_PASSWORD": "brook",
    "GRAFANA_PASSWORD": "meadow",
}
DASHBOARD = ROOT / "monitoring" / "grafana" / "tts-jobs.json"
PROMETHEUS = ROOT / "monitoring" / "prometheus.yml"
PROBLEMS = [{"question": f"What is {n} + {n}?", "answer": str(2 * n)} for n in range(10)]

VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?:(?P<kind>:-|:\?)(?P<rest>[^}]*))?\})")


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    """The compose specification's interpolation, as far as our file uses it.

    Raises:
        KeyError: a required variable (`${NAME:?message}`) is unset or empty; holds the message.
    """
    if isinstance(value, dict):
        return {key: interpolate(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolate(item, variables) for item in value]
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        given = variables.get(match["name"], "")
        if not given and match["kind"] == ":?":
            raise KeyError(match["rest"])
        return given or (match["rest"] or "" if match["kind"] == ":-" else "")

    return VARIABLE.sub(replacement, value)


def compose(variables: Mapping[str, str] = PASSWORDS) -> dict[str, Any]:
    """The services by name, with their variables filled in."""
    services: dict[str, Any] = interpolate(yaml.safe_load(FILE.read_text())["services"], variables)
    return services


def example_variables() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_file_follows_the_compose_specification() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("missing", PASSWORDS)
def test_no_service_starts_without_its_password(missing: str) -> None:
    with pytest.raises(KeyError, match=f"set {missing} in .env"):
        compose({**PASSWORDS, missing: ""})


def test_the_example_environment_names_every_variable_and_holds_no_secret() -> None:
    used = {match["name"] for match in VARIABLE.finditer(FILE.read_text()) if match["name"]}
    example = example_variables()
    assert used <= example.keys()
    assert example.keys() <= used | {"COMPOSE_PROFILES"}
    assert {name for name in example if name.endswith("PASSWORD") and not example[name]} == PASSWORDS.keys()


def test_every_service_is_supervised_bounded_and_closed_to_the_network() -> None:
    for name, service in compose().items():
        assert service["init"] is True, name
        assert service["stop_grace_period"] == "90s", name
        assert service["restart"] == {"migrate": "on-failure:3", "cli": "no"}.get(name, "unless-stopped"), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert ("healthcheck" in service) == (name not in {"migrate", "cli"}), name


def test_what_must_survive_is_on_a_volume() -> None:
    volumes = yaml.safe_load(FILE.read_text())["volumes"].keys()
    services = compose()
    assert {
        services[name]["volumes"][0].split(":")[0] for name in ("redis", "postgres", "flower", "prometheus", "grafana")
    } <= volumes
    redis = " ".join(services["redis"]["command"])
    assert "--appendonly yes" in redis
    assert "--maxmemory-policy noeviction" in redis


def test_gpu_workers_reserve_a_gpu_and_only_one_profile_takes_it() -> None:
    services = compose(example_variables() | PASSWORDS)
    holders = {name: service["profiles"] for name, service in services.items() if "deploy" in service}
    assert holders == {"worker": ["gpu"], "vllm": ["http"]}
    assert example_variables()["COMPOSE_PROFILES"] == "gpu"


def test_the_urls_agree_with_the_servers_of_the_file() -> None:
    services = compose()
    postgres = services["postgres"]["environment"]
    for name in OURS:
        environment = services[name]["environment"]
        database = make_url(environment["TTS_DATABASE_URL"])
        assert database.host == "postgres"
        assert database.username == postgres["POSTGRES_USER"]
        assert database.password == postgres["POSTGRES_PASSWORD"]
        assert database.database == postgres["POSTGRES_DB"]
        assert environment["TTS_BROKER_URL"] == "redis://:stone@redis:6379/0"


def test_prometheus_asks_the_services_at_their_ports_with_their_login() -> None:
    services, config = compose(), yaml.safe_load(PROMETHEUS.read_text())
    service, workers = config["scrape_configs"]
    login = f"{service['basic_auth']['username']}:{PASSWORDS['METRICS_PASSWORD']}"
    assert service["basic_auth"] == workers["basic_auth"]
    assert service["basic_auth"]["password_file"] == "/run/secrets/metrics_password"
    assert services["prometheus"]["secrets"] == ["metrics_password"]
    [target] = service["static_configs"][0]["targets"]
    assert services[target.partition(":")[0]]["command"][1:3] == ["--port", target.partition(":")[2]]
    discovery = workers["dns_sd_configs"][0]
    for name in discovery["names"]:
        assert services[name]["command"][3:5] == ["--metrics-port", str(discovery["port"])]
    for name in ("metrics", *discovery["names"]):
        assert services[name]["environment"]["TTS_METRICS_BASIC_AUTH"] == login
        assert "ports" not in services[name]


def test_grafana_finds_what_is_mounted() -> None:
    mounts = dict(volume.split(":")[:2] for volume in compose()["grafana"]["volumes"])
    for source in mounts:
        assert not source.startswith("./") or (ROOT / source).is_file(), source
    provider = yaml.safe_load((ROOT / "monitoring/grafana/dashboards.yml").read_text())["providers"][0]
    assert mounts["./monitoring/grafana/tts-jobs.json"].startswith(provider["options"]["path"])
    [source] = yaml.safe_load((ROOT / "monitoring/grafana/datasources.yml").read_text())["datasources"]
    board = json.loads(DASHBOARD.read_text())
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}


class Deployment:
    """The file's services as processes of this machine: host names, volumes and the engine are substituted."""

    def __init__(self, directory: Path, *, database_url: str, broker_url: str, ports: Mapping[str, int]) -> None:
        self.directory = directory
        self.services = compose()
        broker = broker_url.partition("@")[2].partition("/")[0]
        self.substitutions = {
            self.services["cli"]["environment"]["TTS_DATABASE_URL"]: database_url,
            "redis:6379": broker,
            "0.0.0.0": "127.0.0.1",
            **{name: str(port) for name, port in ports.items()},
            "/var/lib/flower": str(directory),
            "/var/lib/tts-jobs": str(directory / "home"),
        }

    def substitute(self, value: Any) -> str:
        text = str(value)
        for old, new in self.substitutions.items():
            text = text.replace(old, new)
        return text

    def command(self, service: str, *extra: str) -> list[str]:
        """The container's command: the image's entry point and the service's own arguments."""
        arguments = extra or self.services[service]["command"]
        arguments = list(map(self.substitute, arguments))
        if service.startswith("worker"):  # two of them on one machine cannot share a port
            arguments = ["0" if argument == "9465" else argument for argument in arguments]
        return [str(Path(sys.executable).with_name("tts-jobs")), *arguments]

    def environment(self, service: str) -> dict[str, str]:
        own = {name: self.substitute(value) for name, value in self.services[service]["environment"].items()}
        own |= {name: "instant" for name in own if name.startswith("TTS_GENERATORS__") and name.endswith("__ENGINE")}
        return {name: value for name, value in os.environ.items() if not name.startswith("TTS_")} | own

    def run(self, service: str, *extra: str) -> str:
        """Run a service to its end.

        Raises:
            AssertionError: it failed; holds what it printed.
        """
        done = subprocess.run(
            self.command(service, *extra),
            env=self.environment(service),
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def scrape(self, log: Path) -> str:
        """What Prometheus would be told by the process with this log."""
        found = re.search(r"metrics at (http://\S+)", log.read_text())
        assert found, log.read_text()
        login = ("tts", PASSWORDS["METRICS_PASSWORD"])
        assert httpx.get(found[1], trust_env=False).status_code == 401
        page = httpx.get(found[1], auth=login, trust_env=False)
        page.raise_for_status()
        return page.text

    def healthy(self, service: str) -> bool:
        kind, program, *arguments = self.services[service]["healthcheck"]["test"]
        assert kind == "CMD"
        path = str(Path(sys.executable).with_name(program))
        done = subprocess.run(
            [path, *map(self.substitute, arguments)],
            env=self.environment(service),
            cwd=self.directory,
            capture_output=True,
            timeout=60,
        )
        return done.returncode == 0


@pytest.fixture
def deployment(tmp_path: Path, postgres_server_url: str) -> Iterator[Deployment]:
    with redis_server(password=PASSWORDS["REDIS_PASSWORD"]) as broker, fresh_database(postgres_server_url) as database:
        yield Deployment(
            tmp_path, database_url=database, broker_url=broker, ports={port: free_port() for port in ("5555", "9464")}
        )


@pytest.mark.timeout(300)
def test_the_services_answer_a_dataset(deployment: Deployment, tmp_path: Path) -> None:
    deployment.run("migrate")
    deployment.run("migrate")  # a restart of the stack migrates again
    for name in ("scheduler", "worker", "worker-http"):
        assert not deployment.healthy(name), f"{name} is called healthy before it runs"

    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps(problem) + "\n" for problem in PROBLEMS))
    with ExitStack() as stack:
        for name in RUNNING:
            log = tmp_path / f"{name}.log"
            started = process(
                deployment.command(name), log, environment=deployment.environment(name), cwd=tmp_path, stop_seconds=90
            )
            child = stack.enter_context(started)
            wait_for_server(child, lambda name=name: deployment.healthy(name), log, name)  # type: ignore[misc]
        for generator in ("main", "served"):
            deployment.run("cli", "submit", str(file), "--generator", generator)

        def jobs() -> list[dict[str, Any]]:
            rows: list[dict[str, Any]] = json.loads(deployment.run("cli", "jobs", "--json"))
            return rows

        wait_until(lambda: [job["state"] for job in jobs()] == ["done", "done"], seconds=90, what="both jobs to end")
        assert [job["done"] for job in jobs()] == [len(PROBLEMS)] * 2
        assert all(deployment.healthy(name) for name in RUNNING)
        told = deployment.scrape(tmp_path / "metrics.log")
        for name in ("worker", "worker-http"):
            told += deployment.scrape(tmp_path / f"{name}.log")
    asked = {
        metric
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel["targets"]
        for metric in re.findall(r"\btts_\w+", target["expr"])
    }
    declared = set(re.findall(r"^# TYPE (\w+) ", told, re.MULTILINE))
    assert len(asked) > 15
    assert asked - declared == set(), "the dashboard asks for what nobody tells"
    assert f'tts_queries{{generator="main",state="done"}} {len(PROBLEMS)}.0' in told
    assert not [name for name in RUNNING if PASSWORDS["REDIS_PASSWORD"] in (tmp_path / f"{name}.log").read_text()]
