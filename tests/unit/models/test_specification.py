"""What names a job and what makes candidates interchangeable."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from models.specification import JobSpecification, template_from_dict, template_to_dict
from models.templates import load_template, template_names


def specification(**changes: Any) -> JobSpecification:
    fields: dict[str, Any] = {
        "generator": "smollm2",
        "generator_identity": "gguf:1234",
        "verifier": "mean_logprob",
        "verifier_identity": "mean_logprob",
        "strategy": "best_of_n",
        "parameters": {"aggregation": "last"},
        "budget_amount": 16,
        "budget_unit": "samples",
        "sampling": {"temperature": 0.7, "max_tokens": 256},
        "template": template_to_dict(load_template("math-boxed")),
        "seed": 1,
    }
    return JobSpecification(**fields | changes)


CHANGES: list[tuple[dict[str, Any], bool]] = [
    ({"generator_identity": "gguf:5678"}, True),
    ({"sampling": {"temperature": 0.8, "max_tokens": 256}}, True),
    ({"template": template_to_dict(load_template("plain"))}, True),
    ({"seed": 2}, True),
    ({"verifier": "exact", "verifier_identity": "exact"}, False),
    ({"strategy": "majority_vote"}, False),
    ({"parameters": {"aggregation": "min"}}, False),
    ({"budget_amount": 32}, False),
    ({"budget_unit": "tokens"}, False),
    ({"template": template_to_dict(replace(load_template("math-boxed"), answer="text"))}, False),
    ({"template": template_to_dict(replace(load_template("math-boxed"), answer="number", tolerance=0.01))}, False),
    ({"template": template_to_dict(replace(load_template("math-boxed"), stop=("END",)))}, True),
]


@pytest.mark.parametrize(("change", "candidates_too"), CHANGES, ids=lambda value: str(value)[:40])
def test_every_change_is_another_job_but_not_every_change_other_candidates(
    change: dict[str, Any], candidates_too: bool
) -> None:
    one, other = specification(), specification(**change)
    assert one.fingerprint("data") != other.fingerprint("data")
    assert (one.sampling_key != other.sampling_key) == candidates_too


def test_the_data_is_part_of_the_fingerprint() -> None:
    assert specification().fingerprint("a") != specification().fingerprint("b")


def test_the_same_job_is_found_again_after_storage() -> None:
    made = specification()
    stored = JobSpecification(**json.loads(json.dumps(made.model_dump(mode="json"))))
    assert stored.fingerprint("data") == made.fingerprint("data")
    assert stored.sampling_key == made.sampling_key
    reordered = specification(sampling={"max_tokens": 256, "temperature": 0.7}, budget_amount=16.0)
    assert reordered.fingerprint("data") == made.fingerprint("data")


@pytest.mark.parametrize("name", template_names())
def test_a_template_survives_storage(name: str) -> None:
    template = load_template(name)
    again = template_from_dict(json.loads(json.dumps(template_to_dict(template))))
    assert again == replace(template, temperature=None)  # it is in the job's sampling
    assert again.messages("1 + 1") == template.messages("1 + 1")


def test_the_path_of_a_users_template_is_not_stored(tmp_path: Any) -> None:
    file = tmp_path / "mine.j2"
    file.write_text("Solve {{ problem }}")
    template = load_template(file)
    assert "path" not in template_to_dict(template)
    assert template_from_dict(template_to_dict(template)) == template


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError):
        specification(cap_amount=5)
