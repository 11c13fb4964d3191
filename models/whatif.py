"""What jobs would have cost under other prices, from their ledger alone: nothing in the database changes."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row, bindparam, text

from models import prices
from models.errors import UserError
from models.settings import Price

LEDGER = """
SELECT {owner} AS owner, model, COUNT(*) AS parts,
       CASE WHEN COUNT(*) = COUNT(prompt_tokens) THEN SUM(prompt_tokens) END AS prompt,
       SUM(cached_tokens) AS cached,
       CASE WHEN COUNT(*) = COUNT(generated_tokens) THEN SUM(generated_tokens) END AS generated,
       CASE WHEN COUNT(*) = COUNT(gpu_seconds) THEN SUM(gpu_seconds) END AS seconds,
       CASE WHEN COUNT(*) = COUNT(dollars) THEN SUM(dollars) END AS booked
FROM usage WHERE job_id IN :jobs AND query_id IS NOT NULL
GROUP BY {owner}, model
"""


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices by the name of a model. `everywhere` is what every other model costs; None: what was booked for it."""

    by_model: Mapping[str, Price] = field(default_factory=dict)
    everywhere: Price | None = None

    def of(self, model: str) -> Price | None:
        return self.by_model.get(model, self.everywhere)


AS_BOOKED = Prices()


def gpu_hour(dollars: float, option: str = "--gpu-hour") -> Prices:
    """Every model for so many dollars an hour of its GPU.

    Raises:
        UserError: negative, infinite or not a number.
    """
    return Prices(everywhere=_price({"gpu_hour": dollars}, option))


def read_prices(path: Path, known: Iterable[str], option: str = "--prices") -> Prices:
    """Prices from a TOML file: one table a model, with the fields of `models.settings.Price`.

    `known` are the models that there are in the ledger; those that the file does not name keep what was booked.

    Raises:
        UserError: the file cannot be read, or it names a model or a field that there is not.
    """
    try:
        tables = tomllib.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{option} {path}: {error.strerror}; give a TOML file of prices") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{option} {path}: {error}; correct the file") from None
    if not tables:
        raise UserError(f"{option} {path}: there is no price in it; write a table such as [MODEL] with generated = 0.6")
    there = sorted(known)
    found = {}
    for model, fields in tables.items():
        if not isinstance(fields, dict):
            raise UserError(
                f"{option} {path}: {model} stands outside a table; write it under the [MODEL] that it is of"
            )
        if model not in there:
            quoted = '; a name with a dot is written in quotes, as ["qwen2.5"]' if _has_table(fields) else ""
            raise UserError(
                f"{option} {path}: [{model}]: no job used a model of that name; there are {', '.join(there) or 'none'}{quoted}"
            )
        found[model] = _price(fields, f"{option} {path}: [{model}]")
    return Prices(found)


def _has_table(fields: Mapping[str, Any]) -> bool:
    return any(isinstance(value, dict) for value in fields.values())


def _price(fields: Mapping[str, Any], where: str) -> Price:
    try:
        price = Price(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            said = f"there is no field {name}; there are {', '.join(Price.model_fields)}"
        else:
            said = f"{name}: {first['msg'][0].lower()}{first['msg'][1:]}; correct it"
        raise UserError(f"{where}: {said}") from None
    if not price.model_fields_set:
        raise UserError(f"{where}: there is no price in it; give one of {', '.join(Price.model_fields)}")
    return price


def models_used(connection: Connection, job_ids: Sequence[int] | None = None) -> list[str]:
    """The models in the ledger of these jobs, or of all."""
    chosen = "SELECT DISTINCT model FROM usage WHERE query_id IS NOT NULL"
    if job_ids is None:
        return sorted(connection.execute(text(chosen)).scalars())
    picked = text(f"{chosen} AND job_id IN :jobs").bindparams(bindparam("jobs", list(job_ids), expanding=True))
    return sorted(connection.execute(picked).scalars())


def dollars_by_job(connection: Connection, job_ids: Sequence[int], prices: Prices) -> dict[int, float | None]:
    """What each job's queries cost, reused and wasted work included; None where a part of it has no price, or is not known
    well enough to be priced. A job without any work is 0."""
    found: dict[int, float | None] = dict.fromkeys(job_ids, 0.0)
    return _summed(_ledger(connection, "job_id", job_ids), prices, found)


def dollars_by_query(connection: Connection, job_id: int, prices: Prices) -> dict[int, float | None]:
    """The same for every query of a job that has any work, by its id."""
    return _summed(_ledger(connection, "query_id", [job_id]), prices, {})


def unpriced(connection: Connection, job_id: int, prices: Prices) -> list[str]:
    """The models for which a job's dollars are not known."""
    return sorted(row.model for row in _ledger(connection, "job_id", [job_id]) if _dollars(row, prices) is None)


def _ledger(connection: Connection, owner: str, job_ids: Sequence[int]) -> Iterable[Row[Any]]:
    statement = text(LEDGER.format(owner=owner)).bindparams(bindparam("jobs", list(job_ids), expanding=True))
    return connection.execute(statement)


def _summed(rows: Iterable[Row[Any]], prices: Prices, found: dict[int, float | None]) -> dict[int, float | None]:
    for row in rows:
        before, more = found.get(row.owner, 0.0), _dollars(row, prices)
        found[row.owner] = None if before is None or more is None else before + more
    return found


def _dollars(row: Row[Any], given: Prices) -> float | None:
    """Of one model's part; it is linear in the tokens, so that sums are priced as their parts would be."""
    price = given.of(row.model)
    if price is None:
        return None if row.booked is None else float(row.booked)
    by_token = not (price.prompt is None and price.cached is None and price.generated is None)
    if by_token and (row.prompt is None or row.generated is None):
        return None
    return prices.dollars(
        price,
        prompt=int(row.prompt or 0),
        # Where an engine does not say what it had cached, nothing counts as cached, as in the ledger.
        cached=None if row.cached is None else int(row.cached),
        generated=int(row.generated or 0),
        gpu_seconds=None if row.seconds is None else float(row.seconds),
    )
