"""Strategies, verifiers and graders of other packages, installed for real and used through the whole service."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scheduler.tiny import PROBLEMS
from tests.commands import ROOT, Shop
from tests.packages import PAGE, blocks, install, install_the_pages_package

BROKEN = {"tts_jobs.strategies": {"broken": "broken:Broken"}, "tts_jobs.verifiers": {"cracked": "broken:Broken"}}


@pytest.fixture
def site(shop: Shop) -> Path:
    """A folder of installed packages beside the test environment's own, and four problems of the tiny models."""
    shop.environment["PYTHONPATH"] = f"{ROOT}:{shop.directory / 'site'}"
    (shop.directory / "problems.jsonl").write_text("\n".join(PROBLEMS.read_text().splitlines()[:4]) + "\n")
    return shop.directory / "site"


def run(shop: Shop, *options: str) -> dict[str, Any]:
    """The job's row of the report."""
    done = shop.tts("run", "problems.jsonl", "-g", "tiny", "-b", "4", *options, "--json", timeout=300)
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows[0]


def test_the_package_of_the_page_is_used_end_to_end(shop: Shop, site: Path) -> None:
    install_the_pages_package(site)
    row = run(shop, "-s", "shortest", "--param", "longest=200")
    assert (row["done"], row["failed"], row["samples"]) == (4, 0, 16)
    shortest = shop.scalar(
        "SELECT COUNT(*) FROM query q WHERE EXISTS (SELECT 1 FROM candidate c WHERE c.query_id = q.id AND "
        "c.answer = q.answer AND c.generated_tokens = (SELECT MIN(generated_tokens) FROM candidate d WHERE "
        "d.query_id = q.id AND d.answer IS NOT NULL))"
    )
    assert shortest == row["answered"] == 4
    assert shop.scalar("SELECT COUNT(*) FROM candidate WHERE answer IS NOT NULL AND answer_class < 0") == 0
    assert shop.scalar("SELECT MIN(votes) FROM query") >= 1
    specification = json.loads(shop.scalar("SELECT specification FROM job"))
    assert specification["packages"] == {"tts-brief": "0.1"}

    best = run(shop, "-s", "best_of_n", "-v", "brevity")
    assert (best["done"], best["score"] is not None, best["oracle"]) == (4, True, False)
    assert shop.scalar("SELECT COUNT(*) FROM usage WHERE phase = 'score'") == 0  # it asks no model, so it costs nothing
    graded = run(shop, "--answer", "last_digit")
    assert graded["graded"] == 4
    answers = shop.query(f"SELECT answer FROM query WHERE job_id = {graded['job_id']}")
    assert all(len(answer) == 1 for (answer,) in answers)

    listed = json.loads(shop.tts("strategies", "--json").stdout)
    assert (listed[-1]["name"], listed[-1]["source"]) == ("shortest", "tts-brief 0.1")
    assert listed[-1]["summary"].startswith("N samples; of those that have an answer")
    rows = json.loads(shop.tts("models", "list", "--json").stdout)
    assert [(row["name"], row["kind"], row["from"]) for row in rows[-2:]] == [
        ("brevity", "verifier", "tts-brief 0.1"),
        ("last_digit", "grader", "tts-brief 0.1"),
    ]


def test_another_version_is_another_job(shop: Shop, site: Path) -> None:
    install_the_pages_package(site)
    first = run(shop, "-s", "shortest")
    shutil.rmtree(site)
    install_the_pages_package(site, version="0.2")
    assert run(shop, "-s", "shortest")["job_id"] == first["job_id"] + 1


def test_a_package_that_cannot_be_imported_is_a_sentence_for_those_who_use_it(shop: Shop, site: Path) -> None:
    install(site, "tts-broken", "broken", "open('imported', 'w').close()\nimport no_such_thing\n", BROKEN)
    said = "the package tts-broken 0.1 cannot be loaded (ModuleNotFoundError: No module named 'no_such_thing'); "
    assert run(shop, "-s", "greedy")["done"] == 4
    shop.tts("--help")
    assert not (shop.directory / "imported").exists()
    for options, name in ((("-s", "broken"), "--strategy: broken"), (("-s", "best_of_n", "-v", "cracked"), "--verifier: cracked")):  # fmt: skip
        done = shop.tts("submit", "problems.jsonl", "-g", "tiny", *options, check=False)
        assert (done.returncode, done.stderr) == (2, f"Error: {name}: {said}repair or uninstall it\n")
    listed = shop.tts("strategies")
    assert "majority_vote" in listed.stdout
    assert f"broken: {said}" in listed.stderr


def test_names_of_ours_cannot_be_replaced(shop: Shop, site: Path) -> None:
    source = "open('imported', 'w').close()\nclass Mine: ...\n"
    points = {
        "tts_jobs.strategies": {"greedy": "mine:Mine", "odd": "mine:Mine"},
        "tts_jobs.verifiers": {"exact": "mine:Mine", "odd": "mine:Mine"},
        "tts_jobs.graders": {"math": "mine:Mine"},
    }
    install(site, "tts-mine", "mine", source, points)
    assert run(shop, "-s", "greedy")["done"] == 4
    assert not (shop.directory / "imported").exists()
    listed = shop.tts("strategies")
    assert "greedy: the package tts-mine 0.1 cannot replace a strategy of ours\n" in listed.stderr
    assert "what the package tts-mine 0.1 provides is no strategy; it must be a pydantic model" in listed.stderr
    rows = json.loads(shop.tts("models", "list", "--json").stdout)
    problems = {(row["name"], row["kind"]): row["problem"] for row in rows if row["from"] == "tts-mine 0.1"}
    assert problems == {
        ("exact", "verifier"): "cannot replace a verifier of ours",
        ("math", "grader"): "cannot replace a grader of ours",
        ("odd", "verifier"): None,
    }
    done = shop.tts("submit", "problems.jsonl", "-g", "tiny", "-s", "best_of_n", "-v", "odd", check=False)
    assert done.stderr == (
        "Error: --verifier: odd: what the package tts-mine 0.1 provides cannot be used; "
        "it must be a class with name, oracle, score\n"
    )


def test_a_name_of_two_packages_is_neither(shop: Shop, site: Path) -> None:
    for name in ("tts-one", "tts-two"):
        install(site, name, name[4:], "class Twice: ...\n", {"tts_jobs.graders": {"twice": f"{name[4:]}:Twice"}})
    done = shop.tts("submit", "problems.jsonl", "-g", "tiny", "--answer", "twice", check=False)
    assert done.stderr == (
        "Error: --answer: twice: the packages tts-one 0.1 and tts-two 0.1 both provide it; uninstall one\n"
    )


def test_the_five_lines_of_the_page_run_as_they_stand(tmp_path: Path) -> None:
    code = blocks("python")[0] + "import sys\nassert 'celery' not in sys.modules\n"
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"This prints `{done.stdout.strip()}`." in PAGE
    assert list(tmp_path.rglob("*.db")) == []
