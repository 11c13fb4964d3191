"""Each published format, on a small random model of its architecture, scores as a plain transformers forward pass does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from models.settings import CONFIG_FILE, settings
from strategies.protocols import ProblemView, QueryError, Scores, Step, TransientError, Verifier
from tests import servers
from tests.vllm import reward_models
from tests.vllm.reward_models import RewardModel
from worker.verifiers import Verifiers

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.asyncio(loop_scope="session"),
    # The engine's own libraries warn about each other.
    pytest.mark.filterwarnings("default"),
]

PROBLEM = ProblemView("p", "What is 2 + 3 * 4? " + "Think of which comes first before you write anything down. " * 3)
STEPS = [Step("First, 3 * 4 = 12.\n\n"), Step("Then 2 + 12:\nit is 15.\n\n"), Step("The answer is 15.")]
LINES = [step.text.strip() for step in STEPS]
LONG = [*STEPS, Step("So it goes on. " * 80)]
"""More than the 1,024 tokens that the models read."""

CONTEXT = 1024
ENGINE = 'engine_args = { enforce_eager = true, dtype = "float32" }'


def math_shepherd(model: RewardModel) -> list[float]:
    """The model card: softmax of "+" and "-" at the position of the tag itself."""
    numbered = "".join(f"Step {number}: {line} ки\n" for number, line in enumerate(LINES, 1))
    tokens = model.tokenizer(f"{PROBLEM.prompt} {numbered}")["input_ids"]
    tag, right, wrong = (model.tokenizer.convert_tokens_to_ids(text) for text in ("▁ки", "▁+", "▁-"))
    chances = torch.softmax(model.forward(tokens)[:, [right, wrong]], -1)[:, 0]
    return chances[torch.tensor(tokens) == tag].tolist()


def rlhflow(model: RewardModel) -> list[float]:
    """One forward pass over the whole chat: softmax of "+" and "-" where the assistant's token is predicted."""
    chat = []
    for place, line in enumerate(LINES):
        chat += [{"role": "user", "content": line if place else f"{PROBLEM.prompt} {line}"}]
        chat += [{"role": "assistant", "content": "+"}]
    tokens = model.tokenizer.apply_chat_template(chat, return_dict=False)
    right, wrong = model.tokenizer.convert_tokens_to_ids(["+", "-"])
    chances = torch.softmax(model.forward(tokens)[:, [right, wrong]], -1)[:, 0]
    written = model.tokenizer("assistant\n+<|end|>")["input_ids"]
    ends = [at + len(written) - 2 for at in range(len(tokens)) if tokens[at : at + len(written)] == written]
    return chances[[end - 1 for end in ends]].tolist()


def qwen_prm(model: RewardModel) -> list[float]:
    """The model card: softmax of two labels at every tag, of which the second is meant."""
    system = "Please reason step by step, and put your final answer within \\boxed{}."
    chat = [{"role": "system", "content": system}, {"role": "user", "content": PROBLEM.prompt}]
    chat += [{"role": "assistant", "content": "<extra_0>".join(LINES) + "<extra_0>"}]
    tokens = model.tokenizer.apply_chat_template(chat, return_dict=False)
    tag = model.tokenizer.convert_tokens_to_ids("<extra_0>")
    return torch.softmax(model.forward(tokens), -1)[torch.tensor(tokens) == tag, 1].tolist()


def skywork(model: RewardModel) -> list[float]:
    """Skywork's inference code: every line ends in a newline's token, whose value's sigmoid is the line's score."""
    encode = model.tokenizer.encode
    tokens, ends = encode(f"<|begin|>{PROBLEM.prompt}\n"), []
    for line in LINES:
        for part in line.split("\n"):
            tokens += [*encode(part), encode("\n")[-1]]
        ends.append(len(tokens) - 1)
    return torch.sigmoid(model.forward(tokens)[ends, 0]).tolist()


def orm(model: RewardModel) -> list[float]:
    """The sigmoid of the one value of a chat; of a step, of the chat that ends with it."""
    chances = []
    for end in range(1, len(STEPS) + 1):
        answer = "".join(step.text for step in STEPS[:end]).strip()
        chat = [{"role": "user", "content": PROBLEM.prompt}, {"role": "assistant", "content": answer}]
        tokens = model.tokenizer.apply_chat_template(chat, return_dict=False)
        chances.append(torch.sigmoid(model.forward(tokens)[0, 0]).item())
    return chances


FORMATS: dict[str, Callable[[RewardModel], list[float]]] = {
    "math-shepherd": math_shepherd,
    "rlhflow": rlhflow,
    "qwen-prm": qwen_prm,
    "skywork": skywork,
    "orm": orm,
}
HEADS = ("qwen-prm", "skywork", "orm")


def made(name: str, folder: Path) -> tuple[RewardModel, list[float]]:
    """A model for the format `name` in `folder`, and what it should say of STEPS."""
    make = getattr(reward_models, name.replace("-", "_"))
    model = make(folder)
    with torch.inference_mode():
        expected = FORMATS[name](model)
    assert len(expected) == len(STEPS)
    assert max(expected) - min(expected) > 0.01, "nearly even scores would show nothing"
    return model, expected


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TTS_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


async def grade(text: str, reference: str) -> bool:
    raise AssertionError("asked by the oracle alone")


async def asked(verifier: Verifier) -> tuple[Scores, Scores]:
    """All steps' scores and the last one's alone; a candidate that is too long is refused in between."""
    every = await verifier.score(PROBLEM, STEPS)
    with pytest.raises(QueryError, match=rf"\d+ tokens and the model's context holds {CONTEXT}"):
        await verifier.score(PROBLEM, LONG)
    return every, await verifier.score(PROBLEM, STEPS, first=2)


@pytest.mark.parametrize("name", FORMATS)
async def test_a_published_format_scores_as_transformers_does(here: Path, name: str) -> None:
    (here / "model").mkdir()
    _, expected = made(name, here / "model")
    # The table's own name is not the format's: my-prm says which it has.
    table = f'[verifiers.my-prm]\nformat = "{name}"\nengine = "vllm"\nmodel = "{here / "model"}"\nmax_sequences = 4\n'
    (here / CONFIG_FILE).write_text(table + ENGINE)
    verifiers = Verifiers()
    try:
        verifier, costs = await verifiers.find("my-prm", None, grade)
        every, last = await asked(verifier)
    finally:
        await verifiers.close()
    assert every.steps == pytest.approx(expected, abs=1e-3)
    assert last.steps == pytest.approx(expected[2:], abs=1e-3)
    assert costs is not None
    assert costs.architecture is not None
    assert (costs.rereads, costs.architecture.logits) == (name in HEADS, name not in HEADS)
    again = last.passes[-1]
    if name in HEADS:
        assert {one.cached_tokens for one in every.passes + last.passes} == {0}, "a head's pass reads everything"
        assert len(every.passes) == (3 if name == "orm" else 1)
    else:
        assert len(every.passes) == 3
        assert again.cached_tokens is not None
        assert again.cached_tokens > again.prompt_tokens // 2, "what was read before is not read again"


@pytest.mark.parametrize("name", ["math-shepherd", "qwen-prm"])
async def test_a_published_format_scores_the_same_behind_a_server(here: Path, name: str) -> None:
    (here / "model").mkdir()
    model, expected = made(name, here / "model")
    options = ["--max-num-seqs", "4"]
    if name == "qwen-prm":
        # Of the published model vLLM knows the tag by itself.
        tag = json.dumps({"step_tag_id": model.tokenizer.convert_tokens_to_ids("<extra_0>")})
        options += ["--runner", "pooling", "--pooler-config", tag]
    with servers.vllm_serving(here / "model", "prm", here / "log", *options) as url:
        wrong, complaint = ("orm", "does not pool") if name == "math-shepherd" else ("rlhflow", "completes nothing")
        table = f'engine = "openai"\nmodel = "prm"\nurl = "{url}"\narchitecture = "{here / "model"}"\n'
        (here / CONFIG_FILE).write_text(f"[verifiers.{name}]\n{table}[verifiers.{wrong}]\n{table}")
        verifiers = Verifiers()
        try:
            verifier, costs = await verifiers.find(name, None, grade)
            every, last = await asked(verifier)
            with pytest.raises((TransientError, QueryError), match=complaint):
                await _found_and_asked(verifiers, wrong)
        finally:
            await verifiers.close()
    assert every.steps == pytest.approx(expected, abs=1e-3)
    assert last.steps == pytest.approx(expected[2:], abs=1e-3)
    assert costs is not None
    assert costs.architecture is not None
    assert every.passes[0].prompt_tokens > 128


async def _found_and_asked(verifiers: Verifiers, name: str) -> None:
    verifier, _ = await verifiers.find(name, None, grade)
    await verifier.score(PROBLEM, STEPS)
