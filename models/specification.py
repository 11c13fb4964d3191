"""What defines a job: everything that its answers depend on, and the fingerprint that finds it again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from models.templates import Template

KeepTree = Literal["full", "winners", "none"]
"""What a query leaves behind in the database: every candidate, those that led to an end, or the answer's own steps."""


READING = ("answer", "tolerance", "last_number_fallback")
"""The fields of a template that say how an answer is read and compared, and not what is asked."""


class JobSpecification(BaseModel):
    """One job's specification, stored as JSON beside it.

    `sampling` holds the fields of `strategies.protocols.Sampling`, `template` those of `models.templates.Template`
    (the whole text, so that a worker on another machine needs no file). Identities are hashes of weights where
    they are local. `packages` are those whose strategy, verifier or grader it uses, with their versions. A job
    whose queries are answered in stages has its policy in `plan` (the fields of `scheduler.policy.Policy`), called
    `policy`; `difficulty` is where it has from how hard a query is, `allocation` how its budget is shared out. What may
    change later (cap, deadline, priority, prices) is not in here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    generator: str
    generator_identity: str
    verifier: str | None = None
    verifier_identity: str | None = None
    strategy: str
    parameters: dict[str, Any] = {}
    budget_amount: float
    budget_unit: str
    sampling: dict[str, Any]
    template: dict[str, Any]
    seed: int = 0
    difficulty: str = "none"
    policy: str | None = None
    allocation: str = "uniform"
    plan: dict[str, Any] | None = None
    keep_tree: KeepTree = "full"
    packages: dict[str, str] = {}

    def fingerprint(self, dataset_hash: str) -> str:
        """Names the job: the same command on the same data finds the same job, whatever it leaves behind."""
        without = {"keep_tree"} if self.plan is not None else {"keep_tree", "plan"}
        return _digest({"dataset": dataset_hash, **self.model_dump(mode="json", exclude=without)})

    @property
    def sampling_key(self) -> str:
        """Names what makes candidates interchangeable between jobs: model, template, sampling, seed.

        How an answer is read and compared changes no candidate, so that grading anew draws nothing.
        """
        return _digest(
            {
                "generator": self.generator_identity,
                "template": {name: value for name, value in self.template.items() if name not in READING},
                "sampling": self.sampling,
                "seed": self.seed,
            }
        )


def template_to_dict(template: Template) -> dict[str, Any]:
    fields = asdict(template)
    # The temperature is in the job's sampling.
    del fields["path"], fields["temperature"]
    return fields


def template_from_dict(fields: dict[str, Any]) -> Template:
    examples = tuple((role, content) for role, content in fields["examples"])
    return Template(**{**fields, "examples": examples, "stop": tuple(fields["stop"])})


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:24]
