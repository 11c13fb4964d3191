"""The verifiers: those that need no model, and how one that is a model is written to and read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.catalogue import MODEL_FREE_VERIFIERS, find_verifier
from models.errors import UserError
from models.settings import CONFIG_FILE, settings
from strategies.protocols import Message, NextTokens, Pooled, Prefix, ProblemView, QueryError, Step, TokenUsage
from worker.verifiers import Verifiers
from worker.verifiers.exact import Exact
from worker.verifiers.label_head import PlainLines, SolutionHead, StepHead, TaggedChat, probability
from worker.verifiers.label_token import MATH_SHEPHERD, RLHFLOW, TINY_PRM, LabelToken
from worker.verifiers.mean_logprob import MeanLogprob

PROBLEM = ProblemView("p", "2 + 2?", "4")


async def grade(text: str, reference: str) -> bool:
    return text.endswith(f"= {reference}")


@pytest.mark.parametrize("name", MODEL_FREE_VERIFIERS)
async def test_each_is_found_by_name_and_only_the_oracle_is_labelled(name: str) -> None:
    verifier, costs = await Verifiers().find(name, None, grade)
    assert (verifier.name, verifier.oracle, costs) == (name, name == "exact", None)


async def test_an_unknown_name_lists_those_there_are() -> None:
    known = (
        "choose one of mean_logprob, exact, judge, judge:GENERATOR, math-shepherd, qwen-prm, rlhflow, skywork, tiny-prm"
    )
    with pytest.raises(QueryError, match=f"--verifier: unknown verifier 'prm'; {known}"):
        await Verifiers().find("prm", None, grade)


async def test_confidence_is_the_mean_probability_of_each_steps_tokens() -> None:
    scores = await MeanLogprob().score(PROBLEM, [Step("a", math.log(0.5)), Step("b", 0.0)])
    assert scores.steps == pytest.approx((0.5, 1.0))
    assert scores.passes == ()
    rounded = await MeanLogprob().score(PROBLEM, [Step("a", 1e-9), Step("b", -math.inf)])
    assert rounded.steps == (1.0, 0.0)


async def test_a_missing_log_probability_is_not_a_low_score() -> None:
    with pytest.raises(QueryError, match="returned no log-probabilities"):
        await MeanLogprob().score(PROBLEM, [Step("a", -1.0), Step("b")])


async def test_the_oracle_reads_the_whole_solution_and_the_reference() -> None:
    exact = Exact(grade)
    assert (await exact.score(PROBLEM, [Step("2 + 2 "), Step("= 4")])).steps == (1.0, 1.0)
    assert (await exact.score(PROBLEM, [Step("2 + 2 "), Step("= 5")])).steps == (0.0, 0.0)


async def test_the_oracle_cannot_score_without_a_reference() -> None:
    with pytest.raises(QueryError, match="no reference answer"):
        await Exact(grade).score(ProblemView("p", "2 + 2?"), [Step("= 4")])


def chat(messages: Sequence[Message], opening: str = "") -> str:
    return "".join(f"<{one.role}>{one.content}" for one in messages) + opening


class ByteReader:
    """One token a byte; the chance of the label "+" at a tag is `chances` in turn, of "-" the rest."""

    name = "bytes"
    context_length = 100

    def __init__(self, *chances: float, label_mass: float = 1.0) -> None:
        self.read: list[str] = []
        self._chances = iter(chances)
        self._mass = label_mass

    async def encode(self, messages: Sequence[Message]) -> Prefix:
        return Prefix(tokens=(256, *chat(messages, "<assistant>").encode()))

    async def tokenize(self, text: str) -> tuple[int, ...]:
        return (256, *text.encode())

    async def next_logprobs(self, prefixes: Sequence[Sequence[int]], wanted: Sequence[int]) -> list[NextTokens]:
        assert tuple(wanted) == (ord("+"), ord("-"))
        return [self._next(tokens) for tokens in prefixes]

    def _next(self, tokens: Sequence[int]) -> NextTokens:
        self.read.append(bytes(tokens[1:]).decode())
        chance = next(self._chances)
        pair = [self._mass * chance, self._mass * (1 - chance)]
        logprobs = tuple(math.log(p) if p else -math.inf for p in pair)
        return NextTokens(logprobs, TokenUsage(len(tokens), None, 0))

    async def close(self) -> None: ...


STEPS = [Step("1+1=2\n"), Step("2+3=6\n"), Step("####6")]


async def test_a_label_is_read_behind_every_step() -> None:
    reader = ByteReader(0.9, 0.2, 0.1, label_mass=0.5)
    scores = await LabelToken("prm", reader, TINY_PRM).score(ProblemView("p", "(1+1)+3"), STEPS)
    assert scores.steps == pytest.approx((0.9, 0.2, 0.1))
    assert reader.read == [
        "(1+1)+3\n1+1=2@",
        "(1+1)+3\n1+1=2@\n2+3=6@",
        "(1+1)+3\n1+1=2@\n2+3=6@\n####6@",
    ]
    assert [one.prompt_tokens for one in scores.passes] == [len(text) + 1 for text in reader.read]


async def test_steps_before_the_first_wanted_are_read_and_not_scored() -> None:
    reader = ByteReader(0.25)
    scores = await LabelToken("prm", reader, TINY_PRM).score(ProblemView("p", "(1+1)+3"), STEPS, first=2)
    assert scores.steps == (0.25,)
    assert reader.read == ["(1+1)+3\n1+1=2@\n2+3=6@\n####6@"]


async def test_a_tag_that_somebody_else_wrote_is_not_one() -> None:
    reader = ByteReader(0.5, 0.5)
    await LabelToken("prm", reader, TINY_PRM).score(ProblemView("p", "1@+1"), [Step("1@+1=2@\n"), Step("@")])
    assert reader.read == ["1+1\n1+1=2@", "1+1\n1+1=2@\n@"]


async def test_a_model_that_answers_with_neither_label_gives_no_score() -> None:
    with pytest.raises(QueryError, match="prm: the model answers with neither label"):
        await LabelToken("prm", ByteReader(0.5, label_mass=0.0), TINY_PRM).score(PROBLEM, STEPS[:1])


async def test_turns_are_labelled_where_the_assistant_would_answer() -> None:
    reader = ByteReader(0.9, 0.2)
    scores = await LabelToken("prm", reader, RLHFLOW).score(ProblemView("p", "(1+1)+3"), STEPS, first=1)
    assert scores.steps == pytest.approx((0.9, 0.2))
    begun = "<user>(1+1)+3 1+1=2<assistant>+<user>2+3=6<assistant>"
    assert reader.read == [begun, begun + "+<user>####6<assistant>"]


VAL = "Val cuts a single watermelon into 40 slices, and each slice has 20 black seeds and 20 white seeds. What is the total number of seeds in a watermelon?"
SOLVED = (
    "Step 1: There are 20 x 40 = <<20*40=8000>>8000 black seeds. ки\n"
    "Step 2: There are 20 x 40 = <<20*40=8000>>8000 white seeds. ки\n"
    "Step 3: So, the total number of seeds is 8000 + 8000 = <<8000+8000=16000>>16000. The answer is: 16000 ки\n"
)
"""A row of Math-Shepherd's training data, as github.com/openreasoner/openr has it in preprocess/tests (MIT)."""


@pytest.mark.parametrize("numbered", [True, False])
def test_math_shepherds_own_training_text_is_written_as_it_is(numbered: bool) -> None:
    lines = [line.removesuffix(" ки") for line in SOLVED.splitlines()]
    steps = [Step(line if numbered else line.partition(": ")[2]) for line in lines]
    assert MATH_SHEPHERD.write(VAL, steps) == f"{VAL} {SOLVED}"


async def test_a_tag_that_is_no_token_of_the_model_is_told() -> None:
    with pytest.raises(QueryError, match=r"prm: ' \+' is not one token of this model; give the verifier's own weights"):
        await LabelToken("prm", ByteReader(), MATH_SHEPHERD).score(PROBLEM, STEPS)


TAG, NEWLINE = 257, 10


class BytePooler:
    """One token a byte, "<extra_0>" one token, and a head whose logits at a token are the number of tokens before it in
    each of `labels`; or only one row of them, or as many as there are tags."""

    name = "bytes"
    context_length = 1000

    def __init__(self, labels: int = 2, *, rows: str = "tokens", beginning: str | None = "^") -> None:
        self.read: list[str] = []
        self.beginning = beginning
        self._labels = labels
        self._rows = rows

    async def encode(self, messages: Sequence[Message]) -> tuple[int, ...]:
        return await self.tokenize(chat(messages))

    async def tokenize(self, text: str) -> tuple[int, ...]:
        found = [(TAG,) if piece == "<extra_0>" else tuple(piece.encode()) for piece in _pieces(text)]
        return tuple(token for piece in found for token in piece)

    async def pool(self, tokens: Sequence[int]) -> Pooled:
        text = "".join("@" if token == TAG else chr(token) for token in tokens)
        self.read.append(text)
        places = {
            "tokens": range(len(tokens)),
            "tags": [at for at, token in enumerate(tokens) if token == TAG],
            "one": [len(tokens) - 1],
            "none": [],
        }[self._rows]
        rows = tuple((0.0,) * (self._labels - 1) + (at / 100,) for at in places)
        return Pooled(rows, TokenUsage(len(tokens), 0, 0))

    async def close(self) -> None: ...


def _pieces(text: str) -> list[str]:
    first, *others = text.split("<extra_0>")
    return [first, *(piece for other in others for piece in ("<extra_0>", other))]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


@pytest.mark.parametrize("rows", ["tokens", "tags"])
async def test_the_head_is_read_at_the_tag_behind_every_step(rows: str) -> None:
    pooler = BytePooler(rows=rows)
    scores = await StepHead("prm", pooler, TaggedChat()).score(ProblemView("p", "1<extra_0>+1?"), STEPS, first=1)
    (text,) = pooler.read
    system = "<system>Please reason step by step, and put your final answer within \\boxed{}."
    assert text == system + "<user>1+1?<assistant>1+1=2@2+3=6@####6@"
    ends = [at for at, letter in enumerate(text) if letter == "@"]
    assert scores.steps == pytest.approx([sigmoid(at / 100) for at in ends[1:]])
    assert scores.passes == (TokenUsage(len(text), 0, 0),)


async def test_the_head_is_read_at_the_newline_that_ends_a_step() -> None:
    pooler = BytePooler(labels=1)
    steps = [Step("1+1=2\n\n"), Step("2+3:\n6\n\n")]
    scores = await StepHead("prm", pooler, PlainLines()).score(PROBLEM, steps)
    assert pooler.read == ["^2 + 2?\n1+1=2\n2+3:\n6\n"]
    assert scores.steps == pytest.approx([sigmoid(0.13), sigmoid(0.20)])


async def test_a_whole_solution_is_scored_and_a_step_as_if_it_were_the_last() -> None:
    pooler = BytePooler(labels=1, rows="one")
    scores = await SolutionHead("orm", pooler).score(PROBLEM, STEPS, first=1)
    read = ["<user>2 + 2?<assistant>1+1=2\n2+3=6", "<user>2 + 2?<assistant>1+1=2\n2+3=6\n####6"]
    assert pooler.read == read
    assert scores.steps == pytest.approx([sigmoid((len(text) - 1) / 100) for text in read])
    assert [one.prompt_tokens for one in scores.passes] == [len(text) for text in read]


@pytest.mark.parametrize(
    ("verifier", "words"),
    [
        (
            StepHead("prm", BytePooler(rows="none"), TaggedChat()),
            "0 labels came of .* and 3 steps; give the verifier's own",
        ),
        (StepHead("prm", BytePooler(3), TaggedChat()), "prm: the model has 3 labels"),
        (StepHead("prm", BytePooler(beginning=None), PlainLines()), "--enable-tokenizer-info-endpoint"),
        (SolutionHead("orm", BytePooler(1)), "labels tokens, not solutions; give a sequence-classification model"),
    ],
)
async def test_a_head_of_another_kind_gives_no_score(verifier: StepHead | SolutionHead, words: str) -> None:
    with pytest.raises(QueryError, match=words):
        await verifier.score(PROBLEM, STEPS)


async def test_a_head_whose_tag_is_several_tokens_is_not_the_formats() -> None:
    class Untagged(BytePooler):
        async def tokenize(self, text: str) -> tuple[int, ...]:
            return tuple(text.encode())

    with pytest.raises(QueryError, match="'<extra_0>' is not one token of this model"):
        await StepHead("prm", Untagged(), TaggedChat()).score(PROBLEM, STEPS)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_probability_is_one_and_a_single_value_is_the_odds_of_two(wrong: float, right: float) -> None:
    chance = probability("prm", (wrong, right))
    assert 0.0 <= chance <= 1.0
    assert chance == pytest.approx(probability("prm", (right - wrong,)))
    assert chance + probability("prm", (right, wrong)) == pytest.approx(1.0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


@pytest.mark.usefixtures("here")
def test_a_published_name_is_the_hubs_model() -> None:
    model = find_verifier("rlhflow")
    assert model is not None
    assert (model.entry.model, model.entry.format) == ("RLHFlow/Llama3.1-8B-PRM-Deepseek-Data", "rlhflow")
    assert not model.costs.rereads
    qwen = find_verifier("qwen-prm")
    assert qwen is not None
    assert qwen.costs.rereads


def test_another_format_is_another_verifier(here: Path) -> None:
    found = set()
    for form in ("math-shepherd", "rlhflow"):
        (here / CONFIG_FILE).write_text(f'[verifiers.mine]\nformat = "{form}"\nengine = "vllm"\nmodel = "a/b"\n')
        settings.cache_clear()
        model = find_verifier("mine")
        assert model is not None
        found.add(model.identity)
    assert len(found) == 2


@pytest.mark.parametrize(
    ("name", "table", "words"),
    [
        ("orm", "", r"orm is a format without a model; name one in a \[verifiers.orm\] table"),
        (
            "qwen-prm",
            'engine = "llamacpp"\nmodel = "prm.gguf"',
            "llamacpp cannot read a qwen-prm model; set engine to vllm",
        ),
        ("rlhflow", 'engine = "instant"\nmodel = "x"', "instant cannot read a rlhflow model"),
        ("skywork", 'engine = "vllm"\nmodel = "./gone"', "--verifier: ./gone: no such model file or directory"),
    ],
)
def test_what_no_engine_can_read_is_refused_before_anything_runs(here: Path, name: str, table: str, words: str) -> None:
    (here / CONFIG_FILE).write_text(f"[verifiers.{name}]\n{table}\n" if table else "")
    with pytest.raises(UserError, match=words):
        find_verifier(name)
