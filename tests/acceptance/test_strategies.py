"""Every strategy on the tiny models through the whole service: what it stores, what it books, and how it is shown."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from scheduler.tiny import PROBLEMS
from strategies.registry import STRATEGIES
from tests.commands import Shop

COUNT = 4
THINKER = """
[generators.thinker]
engine = "llamacpp"
model = "tiny"
max_sequences = 16
context_length = 1024
template = "tiny"
thinking = true
"""
"""`tiny` does not think; what it writes before it ends stands for a thought."""
FORCED = ("-g", "thinker", "--param", "minimum=80", "--param", "maximum=200", "--param", "waits=3")
SEARCHES = [name for name, entry in STRATEGIES.items() if entry.searches]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = Shop(tmp_path_factory.mktemp("strategies"))
    with (made.directory / "tts-jobs.toml").open("a") as file:
        file.write(THINKER)
    # Of the second level and above: long enough to branch.
    lines = [line for line in PROBLEMS.read_text().splitlines() if json.loads(line)["level"] > 1][:COUNT]
    (made.directory / "problems.jsonl").write_text("\n".join(lines) + "\n")
    return made


def solve(shop: Shop, strategy: str, *options: str) -> dict[str, Any]:
    """The job's row of the report."""
    verifier = ("--verifier", "tiny-prm") if STRATEGIES[strategy].needs_verifier else ()
    generator = FORCED if strategy == "budget_forcing" else ("-g", "tiny")
    done = shop.tts(
        "run", "problems.jsonl", *generator, "-s", strategy, "-b", "4", *verifier, *options, "--json", timeout=300
    )
    found = json.loads(done.stdout)
    row: dict[str, Any] = found[0] if isinstance(found, list) else found
    return row


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_ledger_holds_what_the_candidates_say(shop: Shop, strategy: str) -> None:
    row = solve(shop, strategy, "--name", strategy)
    assert (row["done"], row["failed"]) == (COUNT, 0)
    of_job = f"job_id = (SELECT id FROM job WHERE name = '{strategy}')"
    ((calls, generated),) = shop.query(
        f"SELECT SUM(calls), SUM(generated_tokens) FROM usage WHERE phase = 'generate' AND {of_job} "
        "AND disposition <> 'wasted'"
    )
    ((candidates, written),) = shop.query(f"SELECT COUNT(*), SUM(generated_tokens) FROM candidate WHERE {of_job}")
    assert (calls, generated) == (candidates, written)
    answered = shop.scalar(f"SELECT COUNT(*) FROM query WHERE answer IS NOT NULL AND {of_job}")
    assert answered >= COUNT - 1
    for disposition in ("kept", "discarded"):
        ((booked, told),) = shop.query(
            f"SELECT (SELECT COALESCE(SUM(generated_tokens), 0) FROM usage WHERE phase = 'generate' "
            f"AND disposition = '{disposition}' AND {of_job}), (SELECT COALESCE(SUM(generated_tokens), 0) "
            f"FROM candidate WHERE disposition = '{disposition}' AND {of_job})"
        )
        assert booked == told


@pytest.mark.parametrize("strategy", SEARCHES)
def test_a_search_leaves_a_tree_whose_steps_are_scored_once(shop: Shop, strategy: str) -> None:
    solve(shop, strategy, "--name", strategy)
    of_job = f"job_id = (SELECT id FROM job WHERE name = '{strategy}')"
    orphans = shop.scalar(
        f"SELECT COUNT(*) FROM candidate c WHERE {of_job} AND parent IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM candidate p WHERE p.query_id = c.query_id AND p.path = c.parent AND p.finish_reason = 'step')"
    )
    assert orphans == 0
    assert shop.scalar(f"SELECT COUNT(*) FROM candidate WHERE {of_job} AND parent IS NOT NULL") > COUNT
    assert shop.scalar(f"SELECT COUNT(*) FROM candidate WHERE {of_job} AND tokens IS NOT NULL") == 0
    ((passes, scored),) = shop.query(
        f"SELECT SUM(calls), SUM(scored_tokens) FROM usage WHERE phase = 'score' AND {of_job}"
    )
    judged = shop.scalar(f"SELECT COUNT(*) FROM candidate WHERE {of_job} AND step_scores IS NOT NULL")
    assert passes == judged
    assert scored > 0


def test_every_candidate_is_filed_under_the_problem_it_was_written_for(shop: Shop) -> None:
    """The model begins with an operation of its problem; many problems are in flight in one batch, whose completions
    are of different lengths."""
    (shop.directory / "many.jsonl").write_text("\n".join(PROBLEMS.read_text().splitlines()[::100]) + "\n")
    shop.tts("run", "many.jsonl", "-g", "tiny", "-s", "majority_vote", "-b", "2", "--name", "filed", timeout=300)
    found = shop.query(
        "SELECT problem.prompt, candidate.text FROM candidate JOIN query ON query.id = query_id JOIN problem "
        "ON problem.id = problem_id JOIN job ON job.id = query.job_id WHERE job.name = 'filed' ORDER BY candidate.id"
    )
    prompts = [prompt for prompt, _ in found]
    begun = [text.partition("=")[0] for _, text in found]
    assert len(set(prompts)) == 20
    assert sum(first in prompt for prompt, first in zip(prompts, begun, strict=True)) > 0.9 * len(found)
    shifted = prompts[2:] + prompts[:2]
    assert sum(first in prompt for prompt, first in zip(shifted, begun, strict=True)) < 0.2 * len(found)


def test_the_thinking_that_is_stored_lies_in_its_range(shop: Shop) -> None:
    solve(shop, "budget_forcing", "--name", "budget_forcing")
    thoughts = shop.query(
        "SELECT query_id, SUBSTR(path || '.', 1, INSTR(path || '.', '.') - 1) AS sample, "
        "SUM(generated_tokens) AS thinking_tokens, COUNT(*) FROM candidate "
        "WHERE job_id = (SELECT id FROM job WHERE name = 'budget_forcing') AND finish_reason = 'step' "
        "GROUP BY query_id, sample"
    )
    assert len(thoughts) == 4 * COUNT
    assert all(thought <= 200 for _, _, thought, _ in thoughts)
    assert all(thought >= 80 or parts == 1 + 3 for _, _, thought, parts in thoughts)
    assert any(parts > 1 for *_, parts in thoughts)


def test_effort_and_thinking_are_refused_where_they_mean_nothing(shop: Shop) -> None:
    for options, message in (
        (("-g", "tiny", "-s", "budget_forcing"), "--strategy budget_forcing: tiny is not known to think"),
        (("-g", "thinker", "--effort", "high"), "--effort: majority_vote does not hold a model's thinking"),
        (
            ("-g", "thinker", "-s", "budget_forcing", "--effort", "low", "--max-tokens", "1024"),
            "--max-tokens: 1024 leave no room for an answer behind 1024 tokens of thinking",
        ),
    ):
        done = shop.tts("run", "problems.jsonl", *options, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"Error: {message}")
        assert len(done.stderr.splitlines()) == 1


def test_a_tree_is_drawn_and_exported(shop: Shop) -> None:
    solve(shop, "beam_search", "--name", "beam_search")
    key = shop.scalar("SELECT key FROM problem ORDER BY id LIMIT 1")
    drawn = shop.tts("show", "beam_search", key).stdout
    assert re.search(r"\u2500 s\d+ \d\.\d{3} ", drawn)  # a step, its score
    assert re.search(r"\u2500 x s\d", drawn)  # what was given up
    tree = json.loads(shop.tts("show", "beam_search", key, "--json").stdout)
    assert tree["key"] == key
    first = tree["candidates"][0]
    assert (first["path"], first["parent"]) == ("s0", None)

    def paths(nodes: list[dict[str, Any]]) -> list[str]:
        return [path for node in nodes for path in (node["path"], *paths(node["children"]))]

    stored = shop.query(
        "SELECT path FROM candidate JOIN query ON query.id = query_id JOIN problem ON problem.id = problem_id "
        f"JOIN job ON job.id = query.job_id WHERE job.name = 'beam_search' AND problem.key = '{key}'"
    )
    assert sorted(paths(tree["candidates"])) == sorted(path for (path,) in stored)


@pytest.mark.parametrize("keep", ["winners", "none"])
def test_less_of_a_tree_can_be_kept(shop: Shop, keep: str) -> None:
    row = solve(shop, "beam_search", "--name", keep, "--keep-tree", keep, "--new")
    assert row["done"] == COUNT
    found = shop.query(
        "SELECT c.query_id, c.path, c.parent, c.disposition, c.finish_reason FROM candidate c "
        f"JOIN job ON job.id = c.job_id WHERE job.name = '{keep}'"
    )
    assert found
    assert {disposition for _, _, _, disposition, _ in found} == {"kept"}
    places = {(query, path) for query, path, *_ in found}
    assert all(parent is None or (query, parent) in places for query, _, parent, _, _ in found)
    if keep == "none":
        ends = [query for query, _, _, _, reason in found if reason == "stop"]
        assert len(ends) == len(set(ends))


def test_an_oracle_of_answers_cannot_lead_a_search(shop: Shop) -> None:
    done = shop.tts("run", "problems.jsonl", "-g", "tiny", "-s", "rebase", "-v", "exact", check=False)
    assert done.returncode == 2
    assert done.stderr == "Error: --verifier: exact judges answers and rebase scores steps; choose another\n"


def test_the_strategies_are_listed(shop: Shop) -> None:
    rows = json.loads(shop.tts("strategies", "--json").stdout)
    assert [row["name"] for row in rows] == list(STRATEGIES)
    assert all(about["description"] for row in rows for about in row["parameters"].values())
    assert "beam_width=4" in shop.tts("strategies").stdout


def test_a_problem_that_is_not_there_is_a_sentence(shop: Shop) -> None:
    solve(shop, "greedy", "--name", "greedy")
    done = shop.tts("show", "greedy", "nothing", check=False)
    assert done.returncode == 2
    assert "has no problem 'nothing'" in done.stderr
