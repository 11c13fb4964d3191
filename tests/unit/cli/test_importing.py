"""`import`: what it says, and that the other commands show an imported job with unknown costs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.recordings import MARK, SEARCHED, boxed, generated, replied, write
from tests.unit.cli.conftest import Desk


def test_an_import_says_what_came_in_and_how_it_compares(desk: Desk) -> None:
    files = [write(Path(f"output-rs{n}.jsonl"), [generated(1, str(n)), generated(2, "3")]) for n in (1, 2)]
    said = desk.tts("import", *files, "--generator", "qwen", "--name", "mine", "--differences", "d.jsonl")
    assert said.code == 0, said.stderr
    first = said.stdout.splitlines()[0]
    assert first == (
        "job 1: 2 problems with 4 solutions of output-rs1.jsonl, output-rs2.jsonl (nemo-skills) imported as majority_vote; "
        "see it with `tts-jobs report 1`"
    )
    assert "verdicts" in said.stdout
    assert "3 of 4" in said.stdout
    assert said.stdout.splitlines()[-1] == "0 differences; each is in d.jsonl"
    assert Path("d.jsonl").read_text() == ""
    again = desk.tts("import", *files, "--generator", "qwen", "--json")
    assert again.json["notes"] == ["job 1 was imported before; --new makes another"]
    assert (again.json["job_id"], again.json["compared"]) == (1, None)


def test_an_imported_job_is_shown_like_any_other_and_what_is_unknown_says_so(desk: Desk) -> None:
    assert desk.tts("import", write(Path("r.jsonl"), [SEARCHED]), "-g", "llama").code == 0
    report = desk.tts("report")
    assert report.stdout.split("\n")[1].split()[:5] == ["1", "r", "llama", "beam_search", "4"]
    assert report.stdout.split("\n")[1].count("unknown") == 4, "tokens, the longest chain, FLOPs and GPU-seconds"
    status = desk.tts("status", "1")
    assert "imported   from r.jsonl" in status.stdout
    assert "llama, beam_search / unknown" in status.stdout
    assert status.stderr == ""
    assert desk.tts("jobs").stdout.split("\n")[1].split()[:6] == ["1", "r", "beam_search", "r", "llama", "beam_search"]
    shown = desk.tts("show", "1", "a/1").stdout
    assert (
        "answer 1.5, 2 of 3 votes, verifier score 0.900, right (done, complete; unknown tokens, unknown FLOPs)" in shown
    )
    assert MARK not in shown
    [row] = [json.loads(line) for line in desk.tts("results", "1").stdout.splitlines()]
    assert (row["correct"], row["tokens"], row["gpu_seconds"], row["flops_canonical"]) == (True, None, None, None)
    watched = desk.tts("watch", "1")
    assert watched.code == 0
    desk.tts("results", "1", "--format", "csv", "-o", "r.csv")
    [written] = csv.DictReader(Path("r.csv").read_text().splitlines())
    assert (written["samples"], written["tokens"], written["flops_canonical"]) == ("4", "", "")
    live = json.loads(desk.tts("watch", "1", "--json").stdout.splitlines()[-1])
    assert (live["generated_tokens"], live["tokens_per_second"]) == (None, None)


def test_solutions_that_repeat_are_pointed_out(desk: Desk) -> None:
    alike = {"problem": "1?", "answer": "1", "candidates": [boxed("1"), boxed("1")]}
    said = desk.tts("import", write(Path("r.jsonl"), [alike]))
    assert (
        "solutions repeat word for word in 1 of 1 problems: if a search wrote them, import them with its --strategy"
        in said.stdout
    )


def test_without_references_nothing_is_graded(desk: Desk) -> None:
    said = desk.tts("import", write(Path("r.jsonl"), [{"problem": "1?", "candidates": [boxed("1")]}]))
    assert "the recording holds no reference answers" in said.stdout
    assert "unknown" in desk.tts("report").stdout.split("\n")[1].split()


def test_text_from_a_recording_is_harmless_in_a_terminal(desk: Desk) -> None:
    odd = {"key": "[red]k", "problem": "\x1b[31m1?", "answer": "1", "candidates": [boxed("[bold]\x1b[0m1")]}
    assert desk.tts("import", write(Path("r.jsonl"), [odd])).code == 0
    assert "\x1b" not in desk.tts("show", "1", "[red]k").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.jsonl"], "missing.jsonl: there is no such file"),
        (["r.txt"], "r.txt: unknown format; name a file that ends in .jsonl"),
        (["empty.jsonl"], "empty.jsonl is empty"),
        (["batch.jsonl"], "batch.jsonl: a batch's output holds no problems; name their dataset with --dataset FILE"),
        (["r.jsonl", "--strategy", "best_of_n"], "--strategy: best_of_n chooses by scores, and r.jsonl line 1, solution 1 has none"),
        (["r.jsonl", "--format", "plain"], "r.jsonl line 1 (plain): field 'candidates' is missing or empty"),
        (["r.jsonl", "--dataset", "other.jsonl"], "r.jsonl line 1 (nemo-skills): the problem 'n/1' is not in other.jsonl"),
        (["r.jsonl", "--differences", "nowhere/d.jsonl"], "nowhere/d.jsonl: there is no directory"),
        (["broken.jsonl"], "broken.jsonl line 2: is not valid JSON"),
        (["twice.jsonl", "--format", "plain"], "its problem is already at twice.jsonl line 1"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(desk: Desk, arguments: list[str], says: str) -> None:
    write(Path("r.jsonl"), [generated(1, "2")])
    write(Path("r.txt"), [generated(1, "2")])
    write(Path("batch.jsonl"), [replied("k0", "1")])
    write(Path("other.jsonl"), [{"problem": "Something else?", "answer": "1"}])
    write(Path("twice.jsonl"), [{"problem": "1?", "candidates": ["1"]}] * 2)
    Path("empty.jsonl").touch()
    Path("broken.jsonl").write_text(json.dumps(generated(1, "2")) + "\n{\n")
    said = desk.tts("import", *arguments)
    assert (said.code, said.stdout) == (2, "")
    assert len(said.stderr.splitlines()) == 1
    assert says in said.stderr
    assert desk.tts("jobs", "--json").json == [], "nothing half-written"
