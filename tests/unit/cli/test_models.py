"""`tts-jobs models`: what is listed, what is written to tts-jobs.toml, and what is refused."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.models import models
from models.catalogue import generator_entries
from models.errors import UserError
from models.settings import settings

QWEN = {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 16,
    "vocab_size": 32,
}
FILE = Path("tts-jobs.toml")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    yield
    settings.cache_clear()


def run(*arguments: str) -> Result:
    settings.cache_clear()
    return CliRunner().invoke(models, arguments)


def refusal(*arguments: str) -> str:
    """The sentence that a command is refused with."""
    error = run(*arguments).exception
    assert isinstance(error, UserError), error
    return str(error)


def listed() -> dict[str, dict[str, Any]]:
    done = run("list", "--json")
    assert done.exit_code == 0, done.output
    return {row["name"]: row for row in json.loads(done.output)}


def test_what_is_added_is_listed_and_can_be_used() -> None:
    added = run(
        *("add", "qwen-1.5b", "--engine", "vllm", "--model", "weights", "--context-length", "4096"),
        *("--price-gpu-hour", "1.8", "--price-prompt", "1e-05", "--flops-per-second", "1e14"),
        *("--engine-arg", "gpu_memory_utilization=0.9", "--engine-arg", "dtype=auto", "--engine-arg", "sizes=[1, 2]"),
        *("--engine-arg", "compilation_config.level=3", "--engine-arg", "enforce_eager=true"),
    )
    assert added.exit_code == 0, added.exception
    settings.cache_clear()
    entry = generator_entries()["qwen-1.5b"]
    assert (entry.engine, entry.model, entry.context_length) == ("vllm", "weights", 4096)
    assert (entry.price.gpu_hour, entry.price.prompt, entry.flops_per_second) == (1.8, 1e-5, 1e14)
    assert entry.engine_args == {
        "gpu_memory_utilization": 0.9,
        "dtype": "auto",
        "sizes": [1, 2],
        "compilation_config.level": 3,
        "enforce_eager": True,
    }
    row = listed()["qwen-1.5b"]
    assert (row["engine"], row["from"], row["weights"], row["flops_known"]) == ("vllm", "tts-jobs.toml", None, False)


def test_a_directory_with_a_known_architecture_has_a_size_and_flops() -> None:
    Path("weights").mkdir()
    Path("weights", "config.json").write_text(json.dumps(QWEN))
    run("add", "small", "--engine", "vllm", "--model", "weights")
    row = listed()["small"]
    assert row["flops_known"]
    assert row["family"] == "qwen2"
    assert row["parameters"] == 2 * (8 * 4 * 4 + 8 * 8 + 3 * 8 * 16)
    assert row["bytes"] == len(json.dumps(QWEN))
    assert "known" in run("list").output


def test_the_builtin_model_says_that_it_is_not_here() -> None:
    row = listed()["smollm2"]
    assert (row["from"], row["weights"], row["parameters"]) == ("built-in", None, None)
    assert "not pulled" in run("list").output


def test_a_broken_architecture_does_not_hide_the_other_models() -> None:
    Path("weights").mkdir()
    Path("weights", "config.json").write_text("{")
    run("add", "broken", "--engine", "vllm", "--model", "weights")
    rows = listed()
    assert "not valid JSON" in rows["broken"]["problem"]
    assert rows["smollm2"]["problem"] is None


def test_the_rest_of_the_file_stays_as_it_was() -> None:
    before = '# mine\nlease_seconds = 30.0  # short\n\n[generators.own]\nengine = "instant"\nmodel = "instant"'
    FILE.write_text(before)
    run("add", "quoted.name", "--engine", "instant", "--model", 'a "quoted"\\ \x7f\n name é')
    after = FILE.read_text()
    assert after.startswith(before)
    assert tomllib.loads(after)["generators"]["quoted.name"]["model"] == 'a "quoted"\\ \x7f\n name é'
    assert "there already" in refusal("add", "own", "--engine", "instant", "--model", "x")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a b", "--engine", "instant", "--model", "x"), "cannot name a queue"),
        (("x", "--engine", "openai", "--model", "x"), "needs --url"),
        (("x", "--engine", "openai", "--model", "x", "--url", "ftp://host"), "--url: give http://"),
        (("x", "--engine", "vllm", "--model", "x", "--max-sequences", "0"), "--max-sequences"),
        (("x", "--engine", "vllm", "--model", "x", "--price-gpu-hour", "-1"), "--price-gpu-hour"),
        (("x", "--engine", "vllm", "--model", "x", "--engine-arg", "dtype"), "--engine-arg: 'dtype'"),
    ],
)
def test_a_wrong_entry_is_refused_by_its_option(arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in refusal("add", *arguments)
    assert not FILE.exists()


@pytest.mark.parametrize(
    "secret",
    [("--url", "https://me:river-stone@host/v1"), ("--url", "https://host/v1", "--api-key-env", "sk-river-stone")],
)
def test_a_secret_is_neither_kept_nor_repeated(secret: tuple[str, ...]) -> None:
    assert "river" not in refusal("add", "hosted", "--engine", "openai", "--model", "x", *secret)
    assert not FILE.exists()


def test_a_file_that_takes_no_more_tables_is_left_alone() -> None:
    FILE.write_text('generators = { own = { engine = "instant", model = "x" } }\n')
    before = FILE.read_text()
    assert "a table cannot be appended" in refusal("add", "x", "--engine", "instant", "--model", "x")
    assert FILE.read_text() == before
    assert list(Path().iterdir()) == [FILE]


def test_pull_finds_what_is_here_and_refuses_what_has_no_weights(tmp_path: Path) -> None:
    run("add", "served", "--engine", "openai", "--model", "x", "--url", "http://localhost:1/v1")
    Path("weights.gguf").write_bytes(b"GGUF")
    run("add", "local", "--engine", "llamacpp", "--model", "weights.gguf")
    assert run("pull", "local").output.strip() == "weights.gguf"
    assert json.loads(run("pull", "local", "--json").output) == {
        "name": "local",
        "path": str(tmp_path / "weights.gguf"),
        "bytes": 4,
    }
    assert "nothing to pull" in refusal("pull", "served")
    assert "no model is called 'nobody'" in refusal("pull", "nobody")


def test_the_help_of_every_command_holds_an_example() -> None:
    commands: Callable[[str], str] = lambda name: CliRunner().invoke(models, [name, "--help"]).output  # noqa: E731
    assert all("tts-jobs models" in commands(name) for name in ("list", "add", "pull"))


def test_the_published_verifiers_are_listed_as_not_here_yet() -> None:
    row = listed()["qwen-prm"]
    assert (row["kind"], row["format"], row["engine"]) == ("verifier", "qwen-prm", "vllm")
    assert (row["model"], row["from"]) == ("Qwen/Qwen2.5-Math-PRM-7B", "built-in")
    assert (row["weights"], row["flops_known"]) == (None, False)


def test_a_verifier_of_ones_own_is_listed_with_the_format_it_names() -> None:
    Path("prm").mkdir()
    Path("prm/config.json").write_text(json.dumps({**QWEN, "architectures": ["Qwen2ForProcessRewardModel"]}))
    tables = '[generators.qwen-prm]\nengine = "instant"\nmodel = "x"\n'
    tables += '[verifiers.mine]\nformat = "qwen-prm"\nengine = "vllm"\nmodel = "prm"\n'
    FILE.write_text(tables)
    rows = json.loads(run("list", "--json").output)
    mine = next(row for row in rows if row["name"] == "mine")
    assert (mine["kind"], mine["format"], mine["from"]) == ("verifier", "qwen-prm", "tts-jobs.toml")
    assert (mine["weights"], mine["flops_known"]) == ("prm", True)
    published = next(row for row in rows if (row["name"], row["kind"]) == ("qwen-prm", "verifier"))
    assert published["from"] == "built-in", "a generator's table says nothing of the verifier of its name"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("[verifiers.mine]", r"\[verifiers.mine\] needs a format, one of tiny-prm, math-shepherd"),
        ('[verifiers.mine]\nformat = "mystery"', "verifiers.mine.format: Input should be"),
        ('[generators.mine]\nformat = "orm"', r"\[generators.mine\]: format is for verifiers; leave it out"),
    ],
)
def test_a_format_that_is_missing_or_out_of_place_is_told(table: str, words: str) -> None:
    FILE.write_text(f'{table}\nengine = "vllm"\nmodel = "prm"\n')
    with pytest.raises(UserError, match=words):
        raise run("list").exception or AssertionError
