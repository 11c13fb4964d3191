"""A policy as a file, to be given to others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from models.errors import UserError
from scheduler.measured import Measured
from scheduler.policies import NAME_PATTERN
from scheduler.policy import Policy
from strategies import registry

FORMAT: Literal["tts-jobs-policy/1"] = "tts-jobs-policy/1"


class PolicyFile(BaseModel):
    """What is in the file: one JSON object. `name` and `version` are those it had where it was written."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal["tts-jobs-policy/1"]
    name: str = Field(pattern=NAME_PATTERN)
    version: int = Field(ge=1)
    policy: Policy
    evidence: dict[str, Any] | None = None

    @field_validator("evidence")
    @classmethod
    def _can_be_read(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            Measured.model_validate(value)
        return value

    def to_json(self) -> str:
        return self.model_dump_json(indent=2) + "\n"


def read_policy_file(path: Path) -> PolicyFile:
    """A policy from a file of anybody's making: its form, its numbers and its strategies are checked.

    Raises:
        UserError: it cannot be read, is no policy, has a format that is not known here, or needs a strategy that is not
            installed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name a file that `tts-jobs policies export` wrote") from None
    try:
        found = PolicyFile.model_validate_json(content)
        # NaN passes for JSON in Python, and nowhere else.
        json.dumps(found.evidence, allow_nan=False)
    except ValidationError as error:
        raise UserError(f"{path}: {_what_is_wrong(error)}") from None
    except ValueError:
        raise UserError(f"{path}: no policy: its evidence holds a number that is none; export it again") from None
    for arm in found.policy.arms:
        try:
            registry.build(arm.strategy, arm.parameters)
        except ValueError as error:
            raise UserError(f"{path}: this policy cannot be followed here: {error}") from None
    return found


def _what_is_wrong(error: ValidationError) -> str:
    for one in error.errors():
        if one["loc"] == ("format",) and one["type"] == "literal_error":
            return f"its format {one['input']!r:.60} is not known here; upgrade tts-jobs, or export it as {FORMAT}"
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"no policy: {f'{where!r:.80}: ' if where else ''}{first['msg']:.200}; export it again"
