"""A tiny model's two formats are one model: transformers, vLLM and llama.cpp read the same tokens and agree on them."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from lab.formats import gguf_name, save
from lab.text import START, decode, encode, prompt
from lab.training import Shape
from models import hub
from models.settings import ModelEntry
from strategies.protocols import Message, ProblemView, Reader, Sampling, Step
from worker.engines import start_engine
from worker.verifiers.label_token import TINY_PRM, LabelToken

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.asyncio(loop_scope="session"),
    # The engine's own libraries warn about each other.
    pytest.mark.filterwarnings("default"),
]

PROBLEM = "(47*36)+(5-812)"
ATTEMPT = "47*36=692\n5-812=192\n692+192=884"
TURNS = [Message("user", PROBLEM), Message("assistant", ATTEMPT), Message("user", "Try again.")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights, spread until the next token is anything but certain or even."""
    folder = tmp_path_factory.mktemp("tiny")
    model = Shape(layers=2, width=64).new(seed=0)
    with torch.no_grad():
        for matrix in model.parameters():
            if matrix.ndim > 1:
                matrix.mul_(6)
        # Half a character has no text of its own: greedy text stays ASCII, since some other logit is above zero.
        model.model.embed_tokens.weight[128:] = 0
    save(model, "tiny", folder)
    return folder


@pytest.fixture(scope="module")
def reference(folder: Path) -> LlamaForCausalLM:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(params=["llamacpp", "vllm"])
def entry(request: pytest.FixtureRequest, folder: Path) -> ModelEntry:
    if request.param == "llamacpp":
        return ModelEntry(engine="llamacpp", model=str(folder / "model.gguf"), max_sequences=4)
    arguments = {"enforce_eager": True, "dtype": "float32"}
    return ModelEntry(engine="vllm", model=str(folder), max_sequences=4, engine_args=arguments)


async def test_every_engine_agrees_with_transformers(entry: ModelEntry, reference: LlamaForCausalLM) -> None:
    generator = await start_engine("tiny", entry)
    try:
        first = await generator.encode(TURNS[:1])
        again = await generator.encode(TURNS)
        (completion,) = await generator.generate(
            again, n=1, stop=[], max_tokens=48, sampling=Sampling(temperature=0.0), seeds=[0]
        )
    finally:
        await generator.close()
    assert first.tokens == tuple(prompt(PROBLEM))
    assert again.tokens == tuple(prompt(PROBLEM, [ATTEMPT]))
    assert completion.tokens is not None
    assert completion.logprobs is not None
    assert len(set(completion.tokens)) > 5
    read = torch.tensor([[*again.tokens, *completion.tokens]])
    with torch.inference_mode():
        known = torch.log_softmax(reference(input_ids=read).logits[0], -1)
    start = len(again.tokens) - 1
    expected = [known[start + index, token].item() for index, token in enumerate(completion.tokens)]
    assert completion.logprobs == pytest.approx(expected, abs=1e-2)
    best = known[start:-1].argmax(-1).tolist()
    agreed = [token == other for token, other in zip(completion.tokens, best, strict=True)]
    assert sum(agreed) >= len(agreed) - 1  # two tokens may be as likely as each other


async def test_text_goes_through_the_tokens_unchanged() -> None:
    assert decode(encode("47*36=692\n####692 é")) == "47*36=692\n####692 é"


@pytest.fixture(params=["llamacpp", "vllm"])
def labeller(request: pytest.FixtureRequest) -> ModelEntry:
    arguments = {"enforce_eager": True, "dtype": "float32"} if request.param == "vllm" else {}
    return ModelEntry(engine=request.param, model="tiny-prm", max_sequences=4, engine_args=arguments)


async def test_the_shipped_verifier_gives_the_same_labels_everywhere(labeller: ModelEntry) -> None:
    folder = hub.resolve("tiny-prm", Path())
    assert folder is not None
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    lines = ATTEMPT.split("\n")
    expected = [_chance_of_plus(model, lines[: count + 1]) for count in range(len(lines))]
    reader = await start_engine("tiny-prm", labeller)
    assert isinstance(reader, Reader)
    try:
        steps = [Step(line + "\n") for line in lines]
        scores = await LabelToken("tiny-prm", reader, TINY_PRM).score(ProblemView("p", PROBLEM), steps)
    finally:
        await reader.close()
    assert scores.steps == pytest.approx(expected, abs=1e-2)


def _chance_of_plus(model: LlamaForCausalLM, lines: list[str]) -> float:
    text = PROBLEM + "\n" + "@\n".join(lines) + "@"
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[START, *encode(text)]])).logits[0, -1]
    right, wrong = torch.softmax(logits[[ord("+"), ord("-")]], -1).tolist()
    assert right + wrong == pytest.approx(1.0)
    return float(right)


@pytest.mark.parametrize("name", hub.SHIPPED)
async def test_the_shipped_formats_hold_the_same_numbers(name: str) -> None:
    folder = hub.resolve(name, Path())
    assert folder is not None
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(folder / hub.GGUF).tensors}
    state = model.model.state_dict()
    assert len(tensors) == len(state)
    for key, value in state.items():
        if not key.endswith(("q_proj.weight", "k_proj.weight")):  # llama.cpp orders their rows in another way
            tensor, numbers = tensors[gguf_name(key)], value.float()
            stored = torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type)).reshape(numbers.shape)
            # Eight bits: a block's numbers are whole multiples of a 127th of its largest.
            off = numbers.abs().max() / 127 if tensor.tensor_type == gguf.GGMLQuantizationType.Q8_0 else 0.0
            assert (stored - numbers).abs().max() <= off, key


async def test_eight_bits_are_for_the_largest_alone() -> None:
    for name in hub.SHIPPED:
        folder = hub.resolve(name, Path())
        assert folder is not None
        kinds = {tensor.tensor_type for tensor in gguf.GGUFReader(folder / hub.GGUF).tensors if len(tensor.shape) > 1}
        expected = gguf.GGMLQuantizationType.Q8_0 if name == "tiny-large" else gguf.GGMLQuantizationType.F16
        assert kinds == {expected}, name
