"""Recordings as streams: every format gives problems with solutions, and what is missing is named by file, line and field."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from models.errors import UserError
from models.recorded import Prediction, Recorded, Sample, Spent
from scheduler.fields import Row
from scheduler.readers import open_dataset
from scheduler.recordings.gathering import Entry, Recording, gather
from scheduler.recordings.imports import Wish, specify
from scheduler.recordings.values import without_marks
from tests.recordings import EVALUATED, MARK, PLAIN, SEARCHED, boxed, generated, replied, write


def quiet(doing: str, rows: int) -> None:
    pass


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Recording]:
    """Gather records as files of one run: a list for each file."""

    def gathered(*files: list[Any], format: str | None = None, dataset: list[Any] | None = None) -> Recording:
        names = [write(tmp_path / f"r{number}.jsonl", records) for number, records in enumerate(files)]
        reader = None if dataset is None else open_dataset(write(tmp_path / "dataset.jsonl", dataset))
        return gather(names, format=format, dataset=reader, progress=quiet)

    return gathered


def entries(recording: Recording) -> list[Entry]:
    with closing(recording):
        return list(recording.entries())


def test_search_and_learn(read: Callable[..., Recording]) -> None:
    recording = read([SEARCHED])
    assert recording.layout.name == "search-and-learn"
    [entry] = entries(recording)
    one = entry.recorded
    assert (entry.key, one.prompt, one.answer, one.subject, one.level) == (
        "a/1", "One half of three?", "\\frac{3}{2}", "Algebra", "2",
    )  # fmt: skip
    assert one.samples[1] == Sample(boxed("1.5"), score=0.9, step_scores=(0.2, 0.9)), "0 tokens are not known tokens"
    assert one.chosen == boxed("1.5")
    assert Prediction("pred_maj@4", "majority_vote", 4, "\\boxed{7}") in one.predictions
    assert {(one.rule, one.samples) for one in one.predictions} == {
        (rule, count) for rule in ("best_of_n", "majority_vote", "weighted_vote") for count in (1, 4)
    }


def test_qwen_math(read: Callable[..., Recording]) -> None:
    recording = read([EVALUATED])
    assert recording.layout.name == "qwen-math"
    [entry] = entries(recording)
    assert (entry.key, entry.recorded.prompt, entry.recorded.answer) == ("0", "One and one?", "2")
    assert [(one.prediction, one.verdict, one.finish_reason) for one in entry.recorded.samples] == [
        ("2", True, "stop"), ("3", False, "stop"), ("2.0", False, "length"),
    ]  # fmt: skip


def test_the_files_of_a_nemo_skills_run_are_samples_of_the_same_problems(read: Callable[..., Recording]) -> None:
    first = [generated(1, "2", reward_model_score=-3.5), generated(2, "4", num_generated_tokens=11)]
    second = [generated(2, "3"), {**generated(1, "2"), "predicted_answer": None}]
    recording = read(first, second)
    assert recording.layout.name == "nemo-skills"
    one, two = entries(recording)
    assert (one.key, two.key) == ("n/1", "n/2"), "in the order of the first file"
    assert [sample.prediction for sample in one.recorded.samples] == ["2", ""]
    assert [sample.score for sample in one.recorded.samples] == [-3.5, None]
    assert [(sample.prediction, sample.verdict) for sample in two.recorded.samples] == [("4", False), ("3", True)]
    assert two.recorded.requests == (Spent(generated_tokens=11), Spent())


def test_an_older_nemo_skills_file_without_ids_is_joined_by_its_problems(read: Callable[..., Recording]) -> None:
    def older(number: int, answer: str) -> dict[str, Any]:
        record = generated(number, answer)
        del record["id"]
        return {**record, "is_correct": record.pop("symbolic_correct")}

    found = entries(read([older(1, "2"), older(2, "4")], [older(2, "3"), older(1, "2")]))
    assert [(one.key, len(one.recorded.samples)) for one in found] == [("1", 2), ("2", 2)]
    assert [sample.verdict for sample in found[1].recorded.samples] == [False, True]


def test_the_output_of_a_batch_is_brought_to_its_dataset(read: Callable[..., Recording]) -> None:
    dataset = [{"id": f"k{n}", "problem": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(3)]
    lines = [replied("k2", boxed("3"), boxed("4")), replied("k0-1", boxed("1")), replied("k0-0", boxed("2"))]
    first, second = entries(read(lines, dataset=dataset))
    assert (first.key, first.recorded.prompt) == ("k2", "What is 2 + 1?")
    assert [sample.generated_tokens for sample in first.recorded.samples] == [None, None], "14 tokens for both of them"
    assert first.recorded.requests == (Spent(20, 16, 14),)
    assert second.key == "k0"
    assert [sample.text for sample in second.recorded.samples] == [boxed("1"), boxed("2")]
    assert [sample.generated_tokens for sample in second.recorded.samples] == [7, 7]


def test_a_dataset_is_found_by_the_prompt_or_by_the_key(read: Callable[..., Recording]) -> None:
    dataset = [
        {"id": "other name", "problem": "Two and two?", "answer": "4"},
        {"id": "p2", "problem": "Say A or B.\nA. one\nB. two", "answer": "A"},
    ]
    found = entries(read([PLAIN, {**PLAIN, "key": "p2", "problem": "Say A  or B."}], dataset=dataset))
    assert [entry.key for entry in found] == ["other name", "p2"]


def test_the_plain_format(read: Callable[..., Recording]) -> None:
    recording = read([PLAIN])
    assert recording.layout.name == "plain"
    [entry] = entries(recording)
    assert entry.recorded.answer == "4"
    assert entry.recorded.chosen == "4"
    assert entry.recorded.samples[0] == Sample(
        boxed("4"), score=0.5, step_scores=(0.9, 0.5), generated_tokens=6, logprob=-0.25
    )
    assert entry.recorded.samples[1].verdict is False
    assert entry.recorded.requests == (Spent(9, None, 6), Spent(9, None, 8))


def test_what_is_recorded_survives_as_json() -> None:
    one = Recorded("k", "p", None, (Sample("t", step_scores=(0.5,)), Sample("u")), requests=(Spent(1),), predictions=(Prediction("f", "best_of_n", 1, "2"),))  # fmt: skip
    assert Recorded.from_dict(json.loads(json.dumps(one.to_dict()))) == one


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (MARK + "It is 4.", "It is 4."),
        ("<|im_start|>assistant\nIt is 4.<|im_end|>\n", "It is 4."),
        ("It is 4.<|eot_id|><|eot_id|>", "It is 4."),
        ("It is 4.</s>", "It is 4."),
        (" It is 4.\n", " It is 4.\n"),
        ("<|eot_id|> is a token.", "<|eot_id|> is a token."),
    ],
)
def test_what_a_chat_template_left_is_no_part_of_a_solution(text: str, clean: str) -> None:
    assert without_marks(text) == clean


def without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


BAD: list[tuple[list[Any], str | None, str]] = [
    ([{"question": "1?", "answer": "2"}], None, r"r0.jsonl line 1: has the fields 'question', 'answer', which are those of no known recording"),
    ([SEARCHED, without(SEARCHED, "completions")], None, r"r0.jsonl line 2 \(search-and-learn\): field 'completions' is missing or empty"),
    ([{**SEARCHED, "agg_scores": [0.5]}], None, "field 'agg_scores' has 1 values for 4 solutions"),
    ([{**SEARCHED, "scores": [[0.5, "high"], [1], [1], [1]]}], None, "field 'scores' holds 'high', which is no finite number"),
    ([{**SEARCHED, "pred_maj@5": "1"}], None, "field 'pred_maj@5' is of 5 solutions, and there are 4"),
    ([SEARCHED, SEARCHED], None, r"line 2 \(search-and-learn\): its problem is already at .*r0.jsonl line 1; import each run by itself"),
    ([without(EVALUATED, "question")], "qwen-math", "field 'question' is missing or empty"),
    ([{**EVALUATED, "score": [1, 0, 2]}], None, "field 'score' holds 2, which is neither true nor false"),
    ([generated(1, "2"), generated(1, "2") | {"problem": "Another?"}], None, r"line 2 \(nemo-skills\): key 'n/1' is already that of another problem at .* line 1"),
    ([without(generated(1, "2"), "problem")], None, "field 'problem' or 'question' is missing or empty"),
    ([replied("k0", "1")], None, "a batch's output holds no problems; name their dataset with --dataset FILE"),
    ([{**PLAIN, "candidates": [{"score": 1}]}], None, r"field 'candidates\[0\].text' is missing or no text"),
    ([PLAIN, without(PLAIN, "problem")], None, r"line 2 \(plain\): field 'problem' is missing or empty"),
    (["text"], None, "r0.jsonl: its first row is no object with named fields"),
    ([PLAIN, [1]], None, "r0.jsonl line 2: is not an object with named fields"),
]  # fmt: skip


@pytest.mark.parametrize(("records", "format", "says"), BAD)
def test_what_is_missing_is_named(read: Callable[..., Recording], records: Any, format: str | None, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read(records, format=format)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (replied("k9", "1"), r"the problem 'k9' is not in .*dataset.jsonl; name the dataset that was run"),
        ({**replied("k0"), "response": None, "error": {"message": "too long"}}, r"the request failed \(too long\)"),
        ({**replied("k0"), "response": {"status_code": 429}}, "the request failed with status 429"),
        (replied("k0"), "field 'response.body.choices' is missing or empty"),
    ],
)
def test_a_request_without_an_answer_is_named(read: Callable[..., Recording], line: Any, says: str) -> None:
    with pytest.raises(UserError, match=rf"r0.jsonl line 1 \(openai-batch\): {says}"):
        read([line], dataset=[{"id": "k0", "problem": "0 + 1?", "answer": "1"}])


def test_a_key_of_another_problem_is_no_match(read: Callable[..., Recording]) -> None:
    with pytest.raises(UserError, match=r"its problem is another than that of key 'p1' in .*dataset\.jsonl"):
        read([PLAIN], dataset=[{"id": "p1", "problem": "Three and three?", "answer": "6"}])


def test_two_recordings_of_the_same_problems_share_a_dataset(tmp_path: Path) -> None:
    made = []
    for name, answers in (("one", "25"), ("other", "55"), ("turned", "25")):
        records = [generated(number, answer) for number, answer in enumerate(answers, 1)]
        path = write(tmp_path / f"{name}.jsonl", records[:: -1 if name == "turned" else 1])
        made.append(gather([path], format=None, dataset=None, progress=quiet))
    one, other, turned = made
    assert one.content_hash() == other.content_hash() != turned.content_hash()
    assert one.files_hash() != other.files_hash()
    assert next(one.rows()) == Row(1, "n/1", "1 and 1?", "2", None, None)
    assert one.where(2).endswith("one.jsonl line 2")
    for recording in made:
        recording.close()


def strategy(recording: Recording, **wishes: Any) -> str:
    return specify(recording, Wish(**wishes)).strategy


def test_how_answers_were_chosen_shows_in_the_recording(read: Callable[..., Recording]) -> None:
    counted = {**SEARCHED, "completion_tokens": [5, 5, 5, 5]}
    unscored = without(without(counted, "scores"), "agg_scores")
    assert strategy(read([SEARCHED])) == "beam_search", "scores without token counts are those of a search"
    assert strategy(read([counted])) == "best_of_n"
    assert strategy(read([unscored])) == "majority_vote"
    alike = {**without(unscored, "completion_tokens"), "completions": [boxed("1")] * 4}
    assert strategy(read([alike])) == "beam_search", "solutions that repeat word for word are no independent samples"
    assert strategy(read([generated(1, "2", reward_model_score=1.5)])) == "best_of_n"
    assert strategy(read([generated(1, "2")])) == "majority_vote"
    assert strategy(read([PLAIN])) == "best_of_n"
    assert strategy(read([PLAIN]), strategy="weighted-vote") == "weighted_vote"


def test_a_file_is_known_by_the_name_that_its_program_gives_it(tmp_path: Path) -> None:
    for name, expected in (
        ("bon_completions", "best_of_n"),
        ("dvts_completions", "dvts"),
        ("beam_search_x", "beam_search"),
    ):
        path = write(tmp_path / f"{name}.jsonl", [SEARCHED])
        assert strategy(gather([path], format=None, dataset=None, progress=quiet)) == expected


def test_the_aggregation_that_gives_the_recorded_scores_is_found(read: Callable[..., Recording]) -> None:
    lowest = [{**PLAIN, "candidates": [{"text": "a", "score": 0.25, "step_scores": [0.25, 0.5]}]}]
    assert specify(read(lowest), Wish()).parameters["aggregation"] == "min"
    assert specify(read(lowest), Wish(aggregation="mean")).parameters["aggregation"] == "mean"


@pytest.mark.parametrize(
    ("wishes", "says"),
    [
        ({"strategy": "best_of_n"}, "best_of_n chooses by scores, and .* line 1, solution 1 has none"),
        ({"strategy": "best"}, "--strategy: unknown strategy 'best'"),
        ({"strategy": "beam_search"}, "how beam_search chose must be recorded, and .* line 1 has neither"),
        ({"strategy": "compute-optimal"}, "--strategy: compute_optimal answers in stages, and a recording holds none"),
        ({"strategy": "greedy"}, "--strategy: greedy is one solution, and a problem here has 2"),
        ({"verifier": "prm"}, "--verifier: the recording holds no scores of a verifier"),
        ({"aggregation": "min"}, "--aggregation: .* line 1, solution 1 has no step scores"),
    ],
)
def test_what_does_not_go_with_the_recording_is_refused(
    read: Callable[..., Recording], wishes: dict[str, Any], says: str
) -> None:
    with closing(read([generated(1, "2")], [generated(1, "3")])) as recording, pytest.raises(UserError, match=says):
        specify(recording, Wish(**wishes))


def test_a_file_named_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", [generated(1, "2")])
    with pytest.raises(UserError, match="is named twice"):
        gather([path, path], format=None, dataset=None, progress=quiet)


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    write(path, [generated(number, "x" * 4000) for number in range(2000)])
    tracemalloc.start()
    recording = gather([str(path)], format=None, dataset=None, progress=quiet)
    assert sum(1 for _ in recording.entries()) == 2000
    recording.close()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**21 < path.stat().st_size / 4
