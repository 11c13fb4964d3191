import pytest

from models.prices import dollars, gpu_dollars, token_dollars
from models.settings import Price

TOKENS = Price(prompt=2.0, cached=0.5, generated=8.0)


def test_each_kind_of_token_has_its_price() -> None:
    assert token_dollars(TOKENS, 1_000_000, 400_000, 250_000) == pytest.approx(0.6 * 2 + 0.4 * 0.5 + 0.25 * 8)


def test_cached_tokens_fall_back_to_the_prompt_price() -> None:
    price = Price(prompt=2.0, generated=8.0)
    assert token_dollars(price, 1_000_000, 400_000, 0) == pytest.approx(2.0)


def test_an_unknown_cache_counts_as_uncached() -> None:
    assert token_dollars(TOKENS, 1_000_000, None, 0) == pytest.approx(2.0)


@pytest.mark.parametrize("price", [Price(), Price(gpu_hour=3.0)])
def test_no_token_price_is_unknown(price: Price) -> None:
    assert token_dollars(price, 10, 0, 10) is None


def test_a_used_kind_of_token_without_a_price_is_unknown() -> None:
    assert token_dollars(Price(prompt=2.0), 10, 0, 1) is None
    assert token_dollars(Price(prompt=2.0), 1_000_000, 0, 0) == pytest.approx(2.0)
    assert token_dollars(Price(generated=8.0), 10, 0, 1) is None
    assert token_dollars(Price(cached=0.5), 1_000_000, 1_000_000, 0) == pytest.approx(0.5)


def test_free_is_not_unknown() -> None:
    assert token_dollars(Price(prompt=0.0, generated=0.0), 10, 0, 10) == 0.0
    assert gpu_dollars(Price(gpu_hour=0.0), 10.0) == 0.0


def test_gpu_time_is_priced_by_the_hour() -> None:
    assert gpu_dollars(Price(gpu_hour=3.6), 1000.0) == pytest.approx(1.0)
    assert gpu_dollars(Price(gpu_hour=3.6), None) is None
    assert gpu_dollars(TOKENS, 1000.0) is None


def test_dollars_are_of_whichever_prices_there_are() -> None:
    both = Price(prompt=2.0, generated=8.0, gpu_hour=3.6)
    used = {"prompt": 1_000_000, "cached": 0, "generated": 0}
    assert dollars(TOKENS, **used, gpu_seconds=None) == pytest.approx(2.0)
    assert dollars(Price(gpu_hour=3.6), **used, gpu_seconds=1000.0) == pytest.approx(1.0)
    assert dollars(both, **used, gpu_seconds=1000.0) == pytest.approx(3.0)
    assert dollars(both, **used, gpu_seconds=None) is None
    assert dollars(Price(), **used, gpu_seconds=1000.0) is None
