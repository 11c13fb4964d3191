"""`tts-jobs calibrate` as a person uses it: killed, gone on with, kept as a policy, and followed by a job."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from scheduler.tiny import PROBLEMS
from tests.commands import Shop

COUNT = 12
MODELS = ("-g", "tiny", "-v", "tiny-prm")
COMMAND = (
    "calibrate", str(PROBLEMS), "--limit", str(COUNT), "--name", "sums", *MODELS, "--samples", "8", "--budgets", "1,4,8",
)  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("calibrate"))


@pytest.fixture(scope="module")
def made(shop: Shop) -> dict[str, Any]:
    """The policy of a calibration that was killed once something of it was stored, and begun again."""
    with shop.start(*COMMAND, "--quiet") as first:
        shop.wait_for(lambda: shop.query("SELECT 1 FROM sqlite_master WHERE name = 'query'"))
        shop.wait_for(lambda: shop.query("SELECT 1 FROM query WHERE state = 'done'"))
        first.send_signal(signal.SIGKILL)
        first.wait()
    found: dict[str, Any] = json.loads(shop.tts(*COMMAND, "--quiet", "--json", timeout=300).stdout)
    return found


def test_it_goes_on_where_it_was_killed(shop: Shop, made: dict[str, Any]) -> None:
    jobs = shop.query("SELECT strategy, budget, state, query_count FROM job ORDER BY id")
    assert jobs == [("weighted_vote", "8", "done", COUNT), ("beam_search", "4", "done", COUNT)]
    assert shop.scalar("SELECT COUNT(*) FROM attempt WHERE state = 'done'") == 2 * COUNT, "no query is answered twice"
    first_of_all = "SELECT COUNT(*) FROM candidate JOIN job ON job.id = job_id WHERE path = 'greedy' AND strategy = 'weighted_vote'"
    assert shop.scalar(first_of_all) == COUNT


def test_the_policy_is_kept_with_its_evidence(shop: Shop, made: dict[str, Any]) -> None:
    assert made["name"] == "sums@1"
    assert (made["evidence"]["problems"], made["evidence"]["samples"]) == (COUNT, 8)
    assert made["evidence"]["source"]["template"] == "tiny"
    assert set(made["policy"]["table"]) == {"1", "4", "8"}
    assert len(made["policy"]["rungs"]) > 0
    spent = shop.scalar("SELECT SUM(flops_canonical) FROM usage WHERE job_id <= 2 AND disposition <> 'wasted'")
    assert made["evidence"]["cost"]["flops"] == pytest.approx(spent, rel=0.02)
    shown = json.loads(shop.tts("policies", "show", "sums", "--json").stdout)
    assert shown == made


def test_again_it_is_there_without_an_engine(shop: Shop, made: dict[str, Any]) -> None:
    counts = "SELECT (SELECT COUNT(*) FROM attempt), (SELECT COUNT(*) FROM worker), (SELECT COUNT(*) FROM policy)"
    before = shop.query(counts)
    said = shop.tts(*COMMAND).stdout
    assert shop.query(counts) == before, "nothing is drawn, no engine is started, and it is the same version"
    for part in ("sums@1: tiny with tiny-prm", "reliability", "calibrating cost", "FLOPs per query", "--policy sums"):
        assert part in said
    picture = shop.directory / ".tts-jobs" / "policies" / "sums@1.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("made")
def test_a_job_follows_the_policy(shop: Shop) -> None:
    command = (
        "run",
        str(PROBLEMS),
        "--limit",
        "20",
        "--strategy",
        "compute-optimal",
        "--policy",
        "sums",
        "--budget",
        "8",
    )
    (row,) = json.loads(shop.tts(*command, *MODELS, "--json", timeout=300).stdout)
    assert (row["done"], row["failed"]) == (20, 0)
    assert shop.query(
        "SELECT DISTINCT bin IS NULL FROM query JOIN job ON job.id = job_id WHERE job.strategy = 'compute_optimal'"
    ) == [(0,)]
    other = shop.tts(*command, "-g", "tiny-large", "-v", "tiny-prm", check=False)
    assert other.returncode == 2
    assert "measured on the generator 'tiny'" in other.stderr
    assert "--policy-anyway" in other.stderr
