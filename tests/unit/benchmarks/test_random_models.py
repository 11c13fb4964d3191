"""Random texts have steps and ends in the shares that are said, where the prompt template looks for them."""

from __future__ import annotations

from pathlib import Path

from benchmarks import random_models
from models.templates import load_template

WORDS = 64 * 256


def test_the_template_ends_a_text_where_the_vocabulary_does(tmp_path: Path) -> None:
    template = load_template(str(random_models.template(tmp_path)))
    endings = [random_models.behind(number).replace("Ġ", " ").replace("Ċ", "\n") for number in range(WORDS)]
    ends = [ending for ending in endings if any(stop in ending for stop in template.stop)]
    steps = [ending for ending in endings if template.step_stop in ending]
    assert (len(ends), len(steps)) == (WORDS / 256, WORDS / 64)
    assert {ending.split(template.stop[0])[0] for ending in ends} == {" \\boxed{7}"}
