"""Bad input is one clear sentence that names the thing and the cure, exit code 2, and nothing half-written."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from models.database import Database
from tests.commands import ROOT, Shop
from tests.servers import free_port, redis_server

TABLES = ("dataset", "problem", "job", "query", "candidate", "usage", "worker", "model_specification")


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose database holds one submitted job."""
    shop = Shop(tmp_path_factory.mktemp("stocked"))
    shop.problems(20)
    shop.tts("submit", "problems.jsonl", "-g", "fast")
    return shop.directory


@pytest.fixture
def shop(stocked: Path, tmp_path: Path) -> Shop:
    """A copy of it, which bad input must leave as it is."""
    shutil.copytree(stocked, tmp_path, dirs_exist_ok=True)
    return Shop(tmp_path)


def counts(shop: Shop) -> dict[str, int]:
    return {name: shop.query(f"SELECT COUNT(*) FROM {name}")[0][0] for name in TABLES}


def refused(shop: Shop, *arguments: str, names: tuple[str, ...]) -> None:
    """The command must fail in one line that holds all of `names`, and change no table."""
    before = counts(shop)
    done = shop.tts(*arguments, check=False)
    one_sentence(done, names)
    assert counts(shop) == before


def one_sentence(done: subprocess.CompletedProcess[str], names: tuple[str, ...]) -> None:
    assert done.returncode == 2, done.stderr + done.stdout
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("Error: ")
    assert "please report this" not in done.stderr
    assert [name for name in names if name not in done.stderr] == [], done.stderr
    assert done.stdout == ""


def line(number: int, change: str) -> Callable[[Shop], None]:
    """Replace one line of problems.jsonl."""

    def spoil(shop: Shop) -> None:
        path = shop.directory / "bad.jsonl"
        lines = (shop.directory / "problems.jsonl").read_text().splitlines()
        lines[number - 1] = change
        path.write_text("\n".join(lines) + "\n")

    return spoil


def file(name: str, content: str) -> Callable[[Shop], None]:
    def write(shop: Shop) -> None:
        (shop.directory / name).write_text(content)

    return write


def directory(name: str) -> Callable[[Shop], None]:
    def make(shop: Shop) -> None:
        (shop.directory / name).mkdir()

    return make


@dataclass(frozen=True)
class Case:
    """`options` follow `FILE -g fast`; the message must hold all of `names`."""

    options: tuple[str, ...]
    names: tuple[str, ...]
    source: str = "problems.jsonl"
    prepare: Callable[[Shop], None] = lambda _: None


DUPLICATES = "".join(json.dumps({"id": f"k{n % 7}", "prompt": f"{n}?", "answer": "1"}) + "\n" for n in range(9))
CASES = {
    "a missing file": Case((), ("absent.jsonl", "no such file"), "absent.jsonl"),
    "a directory": Case((), ("folder", "directory"), "folder", directory("folder")),
    "an unknown format": Case((), ("notes.txt", ".jsonl"), "notes.txt", file("notes.txt", "hello")),
    "an empty file": Case((), ("empty.jsonl", "is empty", "give a dataset"), "empty.jsonl", file("empty.jsonl", "")),
    "a broken line": Case((), ("bad.jsonl line 17", "--skip-bad"), "bad.jsonl", line(17, '{"problem": "What')),
    "a row without a prompt": Case((), ("bad.jsonl line 5", "prompt", "--skip-bad"), "bad.jsonl", line(5, '{"answer": "3"}')),
    "a prompt that is a list": Case((), ("bad.jsonl line 5",), "bad.jsonl", line(5, '{"problem": [], "answer": "3"}')),
    "duplicate keys": Case((), ("same.jsonl line 8", "'k0'", "unique"), "same.jsonl", file("same.jsonl", DUPLICATES)),
    "a column that is not there": Case(("--field", "prompt=ask"), ("ask", "problem")),
    "an unknown field": Case(("--field", "promt=problem"), ("--field", "promt", "prompt")),
    "an unknown strategy": Case(("-s", "best_of_m"), ("--strategy", "best_of_m", "best_of_n")),
    "an unknown model": Case(("-g", "fsat"), ("--generator", "fsat", "fast")),
    "an unknown template": Case(("-t", "math-boxd"), ("template", "math-boxd", "math-boxed")),
    "a template that is not there": Case(("-t", "mine.j2"), ("mine.j2", "readable")),
    "a template without the problem": Case(("-t", "mine.j2"), ("mine.j2", "{{ problem }}"), prepare=file("mine.j2", "?")),
    "an unknown verifier": Case(("-s", "best_of_n", "-v", "prm"), ("--verifier", "prm", "mean_logprob")),
    "a verifier nobody uses": Case(("-v", "exact"), ("--verifier", "majority_vote")),
    "a model without config.json": Case(("-g", "./weights"), ("weights", "config.json"), prepare=directory("weights")),
    "a gguf that is not there": Case(("-g", "./none.gguf"), ("none.gguf", "correct the path")),
    "a gguf that is none": Case(("-g", "./it.gguf"), ("it.gguf", "fetch it again"), prepare=file("it.gguf", "hello")),
    "a budget that is none": Case(("-b", "much"), ("--budget", "'much'", "4000tokens")),
    "a budget of nothing": Case(("-b", "0"), ("--budget", "greater than zero")),
    "a budget without a price": Case(("-b", "0.1usd"), ("usd", "fast", "price")),
    "a cap without an architecture": Case(("--job-budget", "1e15flops"), ("flops", "fast", "architecture")),
    "an unknown parameter": Case(("--param", "agregation=min"), ("--strategy", "agregation")),
    "a parameter out of range": Case(("-s", "best_of_n", "--param", "aggregation=mode"), ("aggregation", "best_of_n")),
    "a parameter without a value": Case(("--param", "aggregation"), ("--param", "NAME=VALUE")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_submit_refuses(shop: Shop, case: Case) -> None:
    case.prepare(shop)
    refused(shop, "submit", case.source, "-g", "fast", *case.options, names=case.names)


@pytest.mark.parametrize(
    ("command", "case"),
    [
        ("run", "a missing file"),
        ("run", "a broken line"),
        ("run", "duplicate keys"),
        ("run", "an unknown strategy"),
        ("estimate", "a missing file"),
        ("estimate", "a broken line"),
        ("estimate", "an unknown strategy"),
    ],
)
def test_run_and_estimate_refuse_alike(shop: Shop, command: str, case: str) -> None:
    chosen = CASES[case]
    chosen.prepare(shop)
    refused(shop, command, chosen.source, "-g", "fast", *chosen.options, names=chosen.names)


@pytest.mark.parametrize(
    ("configuration", "names"),
    [
        ("[generators.fast\n", ("tts-jobs.toml", "line 1")),
        (
            '[generators.fast]\nengine = "instnat"\nmodel = "x"\n',
            ("tts-jobs.toml", "generators.fast.engine", "instant"),
        ),
        ("lease_second = 3\n", ("tts-jobs.toml", "lease_second")),
    ],
    ids=["not TOML", "an unknown engine", "an unknown setting"],
)
def test_a_bad_configuration(shop: Shop, configuration: str, names: tuple[str, ...]) -> None:
    (shop.directory / "tts-jobs.toml").write_text(configuration)
    refused(shop, "submit", "problems.jsonl", "-g", "fast", names=names)


def test_a_bad_variable(shop: Shop) -> None:
    shop.environment["TTS_SWEEP_SECONDS"] = "soon"
    refused(shop, "jobs", names=("TTS_SWEEP_SECONDS",))


def test_a_database_of_a_newer_version(shop: Shop) -> None:
    database = Database(shop.database_url)
    with database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    for command in (("jobs",), ("submit", "problems.jsonl", "-g", "fast"), ("db", "upgrade")):
        refused(shop, *command, names=("tts-jobs.db", "newer", "upgrade tts-jobs"))


def test_a_database_that_is_none(shop: Shop) -> None:
    other = shop.directory / "notes.db"
    other.write_text("no database at all, but long enough to be taken for one" * 30)
    shop.environment["TTS_DATABASE_URL"] = f"sqlite:///{other}"
    one_sentence(shop.tts("jobs", check=False), ("notes.db", "not a database", "TTS_DATABASE_URL"))
    assert other.read_text().startswith("no database at all")


@pytest.mark.parametrize("url", ["mysql://localhost/tts", "tts", "postgresql://u:p@ss@localhost/tts"])
def test_a_database_url_that_is_none(shop: Shop, url: str) -> None:
    shop.environment["TTS_DATABASE_URL"] = url
    done = shop.tts("jobs", check=False)
    one_sentence(done, ("TTS_DATABASE_URL",))
    assert "p@ss" not in done.stderr


@pytest.mark.parametrize("command", [("jobs",), ("submit", "problems.jsonl", "-g", "fast"), ("estimate", "problems.jsonl", "-g", "fast")])  # fmt: skip
def test_a_postgres_that_is_not_there(shop: Shop, command: tuple[str, ...]) -> None:
    port = free_port()
    shop.environment["TTS_DATABASE_URL"] = f"postgresql://me:secret-word@127.0.0.1:{port}/tts"
    done = shop.tts(*command, check=False)
    one_sentence(done, (f"127.0.0.1:{port}", "cannot be reached", "TTS_DATABASE_URL"))
    assert "secret-word" not in done.stderr


@pytest.mark.parametrize("command", [("scheduler",), ("worker", "-g", "fast")])
class TestBroker:
    def test_that_is_not_there(self, shop: Shop, command: tuple[str, ...]) -> None:
        port = free_port()
        shop.environment["TTS_BROKER_URL"] = f"redis://:secret-word@127.0.0.1:{port}/0"
        done = shop.tts(*command, check=False)
        one_sentence(done, (f"127.0.0.1:{port}", "cannot be reached", "TTS_BROKER_URL"))
        assert "secret-word" not in done.stderr

    def test_that_wants_a_password(self, shop: Shop, command: tuple[str, ...], locked_redis: str) -> None:
        for given in ("", ":secret-word@"):
            shop.environment["TTS_BROKER_URL"] = locked_redis.replace("redis://", f"redis://{given}")
            before = counts(shop)
            done = shop.tts(*command, check=False)
            one_sentence(done, ("127.0.0.1", "password", "TTS_BROKER_URL"))
            assert "secret-word" not in done.stderr
            assert counts(shop) == before

    def test_that_no_other_process_can_reach(self, shop: Shop, command: tuple[str, ...]) -> None:
        refused(shop, *command, names=("TTS_BROKER_URL", "memory://", "tts-jobs run"))

    def test_of_another_kind(self, shop: Shop, command: tuple[str, ...]) -> None:
        shop.environment["TTS_BROKER_URL"] = "amqp://localhost"
        refused(shop, *command, names=("TTS_BROKER_URL", "amqp", "redis://"))


@pytest.fixture(scope="module")
def locked_redis() -> Iterator[str]:
    """The URL, without its password, of a Redis that has one."""
    with redis_server(password="the-right-one") as url:
        yield url.replace(":the-right-one@", "")


def test_a_worker_for_a_model_that_is_not_there(shop: Shop, redis_url: str) -> None:
    shop.environment["TTS_BROKER_URL"] = redis_url
    refused(shop, "worker", "-g", "fsat", names=("--generator", "fsat", "fast"))


@pytest.mark.parametrize("command", ["submit", "run"])
def test_a_full_disk(shop: Shop, command: str) -> None:
    """A limit on the size of files stands for a full disk: both refuse a write in the middle of a load."""
    before = counts(shop)
    words = "why " * 200
    rows = (f'{{"problem": "{words}{n}?", "answer": "1"}}\n' for n in range(6000))
    (shop.directory / "large.jsonl").write_text("".join(rows))
    limit = 1_500_000
    code = (
        "import resource, runpy, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {resource.RLIM_INFINITY}))\n"
        "sys.argv = ['tts-jobs', *sys.argv[1:]]\n"
        "runpy.run_module('cli.main', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, command, "large.jsonl", "-g", "fast"],
        cwd=shop.directory,
        env={**shop.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    one_sentence(done, ("tts-jobs.db", "disk", "free some space"))
    assert {**counts(shop), "dataset": 1, "problem": 20} == before, "no job on a dataset that is not all there"
    # With room again, the same command finishes what was begun.
    shop.tts("submit", "large.jsonl", "-g", "fast")
    assert shop.scalar("SELECT COUNT(*) FROM problem") == 6020
    assert shop.scalar("SELECT COUNT(*) FROM dataset WHERE state = 'ready'") == 2
