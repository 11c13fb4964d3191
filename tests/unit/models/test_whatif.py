"""Dollars under other prices, by hand from the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from models.database import Database
from models.errors import UserError
from models.settings import Price
from models.transitions import USAGE
from models.whatif import (
    AS_BOOKED,
    Prices,
    dollars_by_job,
    dollars_by_query,
    gpu_hour,
    models_used,
    read_prices,
    unpriced,
)
from tests.answered import add_answered, add_problems
from tests.builders import Shelf, rows

MILLION = 1_000_000


@pytest.fixture
def shelf(database: Database) -> Shelf:
    """Two queries; each: 3M tokens of prompts (1M of them cached) and 2M generated in 60 s, 4M read by `judge` in 120 s,
    and 1M generated that an earlier job had paid for."""
    generated = {
        "prompt_tokens": 3 * MILLION, "cached_tokens": MILLION, "generated_tokens": 2 * MILLION, "gpu_seconds": 60.0, "dollars": 1.5,
    }  # fmt: skip
    read = {
        "phase": "score", "model": "judge", "prompt_tokens": 4 * MILLION, "cached_tokens": None, "generated_tokens": 0,
        "gpu_seconds": 120.0, "dollars": None,
    }  # fmt: skip
    reused = {"reused": True, "prompt_tokens": 0, "generated_tokens": MILLION, "gpu_seconds": 30.0, "dollars": 0.5}
    return add_answered(database, add_problems(database, 2), [True, False], [generated, read, reused])


def of(database: Database, shelf: Shelf, prices: Prices) -> float | None:
    with database.reading() as connection:
        by_query = dollars_by_query(connection, shelf.job_id, prices)
        whole = dollars_by_job(connection, [shelf.job_id], prices)[shelf.job_id]
    assert set(by_query) == set(shelf.queries)
    if whole is not None:
        assert sum(by_query.values()) == pytest.approx(whole)  # type: ignore[arg-type]
    else:
        assert None in by_query.values()
    return whole


@pytest.mark.parametrize(
    ("prices", "dollars"),
    [
        # A query: (3 - 1) * 1 + 1 * 0.5 + (2 + 1) * 10, and 4 * 2 as nobody knows what the judge had cached.
        ({"fast": {"prompt": 1, "cached": 0.5, "generated": 10}, "judge": {"prompt": 2, "cached": 0}}, 2 * 40.5),
        # Cached tokens without a price cost what the others do.
        ({"fast": {"prompt": 1, "generated": 10}, "judge": {"prompt": 2}}, 2 * 41.0),
        # An hour is 3600 s: 90 s of one and 120 of the other; tokens besides.
        ({"fast": {"gpu_hour": 40}, "judge": {"gpu_hour": 30, "prompt": 1}}, 2 * (1 + 1 + 4)),
        # What the prices do not name keeps what was booked.
        ({"judge": {"prompt": 2}}, 2 * (1.5 + 0.5 + 8)),
        # Nothing was booked for the judge, so that the whole is unknown.
        ({"fast": {"gpu_hour": 40}}, None),
        # A kind of token that was used has no price.
        ({"fast": {"prompt": 1}, "judge": {"prompt": 1}}, None),
    ],
)
def test_the_ledger_under_other_prices(
    database: Database, shelf: Shelf, prices: dict[str, dict[str, float]], dollars: float | None
) -> None:
    given = Prices({model: Price(**fields) for model, fields in prices.items()})
    found = of(database, shelf, given)
    assert found == (None if dollars is None else pytest.approx(dollars))


def test_every_model_by_the_hour(database: Database, shelf: Shelf) -> None:
    assert of(database, shelf, gpu_hour(2.5)) == pytest.approx(2 * 210 / 3600 * 2.5)
    assert of(database, shelf, gpu_hour(0)) == 0


def test_what_was_booked_is_unknown_where_a_model_has_no_price(database: Database, shelf: Shelf) -> None:
    assert of(database, shelf, AS_BOOKED) is None
    with database.reading() as connection:
        assert unpriced(connection, shelf.job_id, AS_BOOKED) == ["judge"]
        assert unpriced(connection, shelf.job_id, gpu_hour(1)) == []
        assert models_used(connection) == models_used(connection, [shelf.job_id]) == ["fast", "judge"]
        assert models_used(connection, []) == []


def test_nothing_is_written(database: Database, shelf: Shelf) -> None:
    before = rows(database, USAGE)
    of(database, shelf, gpu_hour(2.5))
    assert rows(database, USAGE) == before


def test_a_job_without_work_cost_nothing(database: Database) -> None:
    untouched = add_answered(database, add_problems(database, 1), [None], [])
    with database.reading() as connection:
        assert dollars_by_job(connection, [untouched.job_id], AS_BOOKED) == {untouched.job_id: 0.0}
        assert dollars_by_query(connection, untouched.job_id, AS_BOOKED) == {}


def test_the_sum_over_jobs_is_of_each_alone(database: Database, shelf: Shelf) -> None:
    other = add_answered(database, add_problems(database, 1, "others"), [True], [{"gpu_seconds": 36.0}])
    with database.reading() as connection:
        found = dollars_by_job(connection, [shelf.job_id, other.job_id], gpu_hour(100))
    assert found == {shelf.job_id: pytest.approx(2 * 210 / 36), other.job_id: pytest.approx(1.0)}


def test_a_file_of_prices(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('["qwen2.5"]\nprompt = 0.1\ngenerated = 0.4\n[judge]\ngpu_hour = 2.5\n')
    found = read_prices(path, ["qwen2.5", "judge", "other"])
    assert found.of("qwen2.5") == Price(prompt=0.1, generated=0.4)
    assert found.of("judge") == Price(gpu_hour=2.5)
    assert found.of("other") is None


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("[fats]\nprompt = 1", r"\[fats\]: no job used a model of that name; there are fast, judge$"),
        ("[fast]\npromt = 1", r"\[fast\]: there is no field promt; there are prompt, cached, generated, gpu_hour$"),
        ("[fast]\nprompt = -1", r"\[fast\]: prompt: input should be greater than or equal to 0; correct it$"),
        ("[fast]\nprompt = inf", r"\[fast\]: prompt: input should be a finite number; correct it$"),
        ('[fast]\nprompt = "much"', r"\[fast\]: prompt: input should be a valid number"),
        ("[fast]", r"\[fast\]: there is no price in it"),
        ("prompt = 1", r"prompt stands outside a table; write it under the \[MODEL\]"),
        ("", "there is no price in it"),
        ("[fast", "correct the file$"),
        ("[qwen2.5]\nprompt = 1", r'\[qwen2\]: no job .* a name with a dot is written in quotes, as \["qwen2.5"\]$'),
    ],
)
def test_what_is_wrong_with_a_file_is_a_sentence(tmp_path: Path, written: str, sentence: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(written)
    with pytest.raises(UserError, match=sentence) as error:
        read_prices(path, ["judge", "fast"])
    assert str(error.value).startswith(f"--prices {path}: ")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give a TOML file of prices"):
        read_prices(tmp_path / "none.toml", [])


@pytest.mark.parametrize("dollars", [-1.0, float("nan"), float("inf")])
def test_an_hour_has_a_price_that_can_be(dollars: float) -> None:
    with pytest.raises(UserError, match=r"--gpu-hour: gpu_hour: .*; correct it"):
        gpu_hour(dollars)


def test_tokens_that_nobody_knows_have_no_price(sqlite_url: str) -> None:
    """As in a ledger that allows them to be unknown."""
    database = Database(sqlite_url)
    with database.engine.begin() as connection:
        columns = "job_id, query_id, model, prompt_tokens, cached_tokens, generated_tokens, gpu_seconds, dollars"
        connection.execute(text(f"CREATE TABLE usage ({columns})"))
        connection.execute(
            text("INSERT INTO usage VALUES (1, 1, 'm', NULL, NULL, 5, NULL, NULL), (1, 1, 'm', 5, 0, 5, 1, 1)")
        )
    with database.engine.connect() as connection:
        for price in (Price(generated=1), Price(gpu_hour=1)):
            assert dollars_by_job(connection, [1], Prices({"m": price})) == {1: None}
    database.close()
