"""`policies`: what is kept is listed, shown, compared and exchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.database import open_database
from scheduler.policies import save_policy
from scheduler.policy import Logistic, Policy, seed_policy
from tests.policies import ARMS, evidence, policy
from tests.unit.cli.conftest import Desk


def keep(name: str, made: Policy, told: dict[str, Any] | None) -> None:
    database = open_database()
    with database.transaction() as connection:
        save_policy(connection, name, made, told, database.clock.now(connection))
    database.close()


@pytest.fixture
def kept(desk: Desk) -> Desk:
    """`sums` in two versions, the second decides otherwise in one place; and `guess`, which nobody measured."""
    keep("sums", policy(), evidence())
    keep("sums", policy(table={4: (None, 0, 0, 0), 16: (None, 0, 1, 2)}), evidence(problems=80))
    keep("guess", seed_policy(("tiny", "a"), ("tiny-prm", "b"), 16, steps=True), None)
    return desk


@pytest.mark.usefixtures("desk")
def test_without_any_it_says_how_to_make_one(desk: Desk) -> None:
    assert desk.tts("policies").stdout == (
        "there is no policy yet; make one with `tts-jobs calibrate FILE --name NAME`\n"
    )
    assert desk.tts("policies", "list", "--json").json == []
    said = desk.tts("policies", "show", "sums")
    assert (said.code, said.stderr) == (2, "Error: NAME: there is no policy yet; `tts-jobs calibrate` makes one\n")


def test_every_version_is_listed(kept: Desk) -> None:
    rows = kept.tts("policies", "list", "--json").json
    assert [(row["name"], row["version"], row["problems"]) for row in rows] == [
        ("guess", 1, None),
        ("sums", 1, 40),
        ("sums", 2, 80),
    ]
    assert (rows[0]["generator"], rows[0]["verifier"], rows[0]["budgets"]) == ("tiny", "tiny-prm", [16])
    assert rows[1]["strategies"] == ["beam_search", "weighted_vote"]
    alone = kept.tts("policies").stdout
    assert alone == kept.tts("policies", "list").stdout
    assert [line.split()[0] for line in alone.splitlines()] == ["policy", "guess@1", "sums@1", "sums@2"]


def test_what_a_query_gets_is_shown_with_what_it_brought(kept: Desk) -> None:
    said = kept.tts("policies", "show", "sums@1")
    assert said.code == 0
    lines = [" ".join(line.split()) for line in said.stdout.splitlines()]
    assert lines[0] == (
        "sums@1: fast with no verifier, measured on 40 problems of sums (template plain), 32 samples each"
    )
    assert lines[1] == "one more sample is wrong budget 4 budget 16"
    row = lines.index('60 to 85 % weighted_vote 4 (aggregation="min") weighted_vote 16 (aggregation="min")')
    assert lines[row + 1 : row + 3] == [
        "50.0 % (5.0 to 95.0) 50.0 % (5.0 to 95.0)",
        "25.0 % of the queries 25.0 % of the queries",
    ]
    assert "from 85 % the probe's vote beam_search 16 (beam_width=4)" in lines
    assert "all 50.0 % (37.5 to 62.5) 62.5 % (50.0 to 75.0)" in lines
    assert "one more sample is wrong 4 5.0 % 0.125 25: 20, 75: 80" in lines
    assert lines[-3:] == [
        "policy: at least 1.75 (not reached to 2.50) times fewer FLOPs than uniform weighted_vote for 80 % of what that "
        "gains by more samples; calibrating has paid for itself after 1,234 problems",
        "adaptive: (not reached) times fewer FLOPs than uniform weighted_vote for 80 % of what that gains by more samples; "
        "calibrating never pays for itself there",
        "calibrating cost 4T FLOPs and 12.5 GPU-seconds; accuracies are of problems left out of the fit, with 95 % "
        "intervals",
    ]


def test_shown_to_a_program(kept: Desk) -> None:
    shown = kept.tts("policies", "show", "sums", "--json").json
    assert shown["name"] == "sums@2"
    assert shown["evidence"] == evidence(problems=80)
    assert Policy.model_validate(shown["policy"]).arms == ARMS


def test_one_that_nobody_measured_is_shown_as_such(kept: Desk) -> None:
    said = kept.tts("policies", "show", "guess").stdout
    assert said.startswith("guess@1: tiny with tiny-prm\n")
    assert "from 85 %                 sequential_revision 16" in said
    assert "not calibrated" in said
    refused = kept.tts("policies", "show", "guess", "--png", "guess.png")
    assert refused.code == 2
    assert "no evidence is kept with guess@1" in refused.stderr


def test_the_picture_is_drawn_where_it_is_asked_for(kept: Desk) -> None:
    said = kept.tts("policies", "show", "sums", "--png", "sums.png")
    assert (said.code, said.stderr) == (0, "plot: sums.png\n")
    assert Path("sums.png").read_bytes().startswith(b"\x89PNG")
    Path("file").write_text("")
    refused = kept.tts("policies", "show", "sums", "--png", "file/sums.png")
    assert refused.code == 2
    assert refused.stderr.startswith("Error: file/sums.png: ")


def test_two_are_compared_where_they_differ(kept: Desk) -> None:
    found = kept.tts("policies", "compare", "sums@1", "sums", "--json").json
    assert found["policies"] == ["sums@1", "sums@2"]
    assert found["facts"] == {"problems": ["40", "80"]}
    vote = 'weighted_vote 4 (aggregation="min")'
    assert found["entries"] == [{"budget": 4, "bin": 3, "gets": ["the probe's vote", vote]}]
    assert found["accuracy"] == {"4": ["50.0 % (37.5 to 62.5)"] * 2, "16": ["62.5 % (50.0 to 75.0)"] * 2}
    said = kept.tts("policies", "compare", "sums@1", "sums@2").stdout
    assert " ".join(said.split()).count("budget 4, bin 3 the probe's vote " + vote) == 1
    assert "bin 0" not in said


def test_other_bins_budgets_and_calibrators_are_told(kept: Desk) -> None:
    facts = kept.tts("policies", "compare", "guess", "sums", "--json").json
    assert {"generator", "weights of the generator", "verifier", "arms", "calibrators and costs"} <= set(facts["facts"])
    assert {"budget": 4, "bin": 0, "gets": [None, "the probe's vote: 90.0 % (5.0 to 95.0)"]} in facts["entries"]
    rungs = policy().rungs
    other = rungs[0].model_copy(update={"fails": Logistic(weights=rungs[0].fails.weights, intercept=0.5)})
    keep("other", policy(rungs=(other, *rungs[1:])), evidence())
    assert list(kept.tts("policies", "compare", "sums@1", "other", "--json").json["facts"]) == ["calibrators and costs"]
    keep("same", policy(), evidence())
    assert kept.tts("policies", "compare", "sums@1", "same").stdout == "sums@1 and same@1 are the same policy\n"


def test_what_is_exported_is_imported_elsewhere(kept: Desk) -> None:
    said = kept.tts("policies", "export", "sums@1", "sums.json")
    assert (said.code, said.stdout, said.stderr) == (0, "", "sums@1 written to sums.json\n")
    written = json.loads(Path("sums.json").read_text())
    assert (written["format"], written["name"], written["version"]) == ("tts-jobs-policy/1", "sums", 1)
    imported = kept.tts("policies", "import", "sums.json", "--name", "theirs", "--json")
    assert imported.json == {"name": "theirs", "version": 1}
    assert kept.tts("policies", "import", "sums.json").stdout.startswith("kept as sums@3; show it with")
    ours, theirs = (kept.tts("policies", "show", name, "--json").json for name in ("sums@1", "theirs"))
    assert {**ours, "name": ""} == {**theirs, "name": ""}
    again = kept.tts("policies", "import", "sums.json", "--name", "theirs", "--json")
    assert again.json == {"name": "theirs", "version": 1}, "the same one again is the same version"


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"{}", "'format': Field required"),
        (b"\x89PNG\r\n", "Invalid JSON"),
        (b'{"format": "tts-jobs-policy/9"}', "its format 'tts-jobs-policy/9' is not known here"),
        (b'{"format": "\\u001b[31m\\n[red]"}', "its format '\\x1b[31m\\n[red]' is not known here"),
    ],
)
def test_a_file_that_is_no_policy_is_a_sentence(desk: Desk, content: bytes, part: str) -> None:
    Path("odd.json").write_bytes(content)
    said = desk.tts("policies", "import", "odd.json")
    assert (said.code, said.stdout) == (2, "")
    assert said.stderr.startswith("Error: odd.json: ")
    assert part in said.stderr
    assert len(said.stderr.splitlines()) == 1


def test_text_from_outside_is_shown_and_does_nothing(kept: Desk) -> None:
    nasty = "\x1b[2J[bold]mine[/bold]\n"
    told = evidence(source={"dataset": nasty, "template": nasty, "sampling": {}})
    keep("nasty", policy(generator=nasty, verifier=nasty, verifier_identity="b"), told)
    for command in (("list",), ("show", "nasty"), ("compare", "nasty", "sums")):
        said = kept.tts("policies", *command)
        assert said.code == 0
        assert "\x1b" not in said.stdout
        assert "[bold]mine[/bold]" in said.stdout


@pytest.mark.parametrize("name", ["../up", "a b", "@1"])
def test_a_name_must_be_one(kept: Desk, name: str) -> None:
    kept.tts("policies", "export", "sums", "sums.json")
    said = kept.tts("policies", "import", "sums.json", "--name", name)
    assert said.code == 2
    assert f"--name: {name!r} cannot name a policy" in said.stderr
    assert kept.tts("policies", "show", name).stderr == (
        f"Error: NAME: no policy {name!r}; there are guess, sums (versions 1 to 2)\n"
    )


def test_evidence_of_another_version_is_a_sentence(kept: Desk) -> None:
    keep("old", policy(), {"curves": []})
    said = kept.tts("policies", "show", "old")
    assert said.code == 2
    assert "old@1: its evidence was kept by another version of tts-jobs" in said.stderr
    assert kept.tts("policies", "show", "old", "--json").json["evidence"] == {"curves": []}
