"""Money as it is typed and read."""

import pytest
from flask import Flask
from flask_babel import force_locale
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from courseapp.billing.amounts import LARGEST, amount_words, digits_of, minor_of, typed_amount
from courseapp.errors import Refusal

LANGUAGES = ("en", "de", "fr", "de_CH", "ja", "pt_BR", "ar")
CURRENCIES = ("eur", "usd", "jpy", "kwd", "isk", "huf", "krw")


@pytest.mark.parametrize(
    ("typed", "currency", "minor"),
    [
        ("12.50", "eur", 1250),
        ("12,50", "eur", 1250),
        (" 12 ", "eur", 1200),
        ("12,5", "eur", 1250),
        ("0", "eur", 0),
        ("0.05", "eur", 5),
        ("1.234,50", "eur", 123450),
        ("1,234.50", "eur", 123450),
        ("1 234,50", "eur", 123450),
        ("1’234.50", "chf", 123450),
        ("1.000.000", "jpy", 1000000),
        ("1200", "jpy", 1200),
        ("12.500", "kwd", 12500),
        ("12.5", "kwd", 12500),
        ("0.500", "kwd", 500),
        ("1,234.500", "kwd", 1234500),
        ("50", "isk", 5000),
        ("50", "huf", 5000),
    ],
)
def test_an_amount_is_read_as_it_was_meant(app: Flask, typed: str, currency: str, minor: int) -> None:
    assert minor_of(typed, currency) == minor


@pytest.mark.parametrize(
    ("typed", "currency"),
    [
        ("", "eur"),
        ("twelve", "eur"),
        ("-5", "eur"),
        ("1e3", "eur"),
        ("12.505", "eur"),
        ("1,200", "eur"),  # twelve hundred, or a decimal too many: it could be either
        ("12,50,3", "eur"),
        ("1.2.3,4", "eur"),
        (".50", "eur"),
        ("12.", "eur"),
        ("€12", "eur"),
        ("12.5", "jpy"),
        ("1,200", "jpy"),
        ("12.505", "kwd"),  # cards cannot be charged the last figure
        ("1,200", "kwd"),
        ("0.50", "isk"),
        ("1000000.00", "eur"),
        ("²", "eur"),
    ],
)
def test_what_is_no_amount_of_the_currency_is_refused_with_how_to_write_it(app: Flask, typed: str, currency: str) -> None:
    with pytest.raises(Refusal) as refused:
        minor_of(typed, currency)
    assert refused.value.status == 400
    assert "Write" in refused.value.words


@pytest.mark.parametrize(
    ("amount", "currency", "language", "words"),
    [
        (1250, "eur", "en", "€12.50"),
        (1250, "eur", "de", "12,50\xa0€"),
        (1250, "jpy", "en", "¥1,250"),
        (1250, "kwd", "en", "KWD1.250"),
        (0, "eur", "en", "€0.00"),
        (-900, "eur", "en", "-€9.00"),
        (5000, "isk", "en", "ISK50"),
        (5050, "isk", "en", "ISK50.50"),  # a share of something: never rounded away
        (5000, "huf", "en", "HUF50.00"),
    ],
)
def test_an_amount_reads_as_its_language_writes_it(app: Flask, amount: int, currency: str, language: str, words: str) -> None:
    assert amount_words(amount, currency, language) == words


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(language=some.sampled_from(LANGUAGES), currency=some.sampled_from(CURRENCIES), amount=some.integers(0, LARGEST))
def test_what_a_field_shows_is_read_back_as_the_same(app: Flask, language: str, currency: str, amount: int) -> None:
    step = 100 if currency == "isk" else 10 if digits_of(currency) == 3 else 1
    amount -= amount % step
    with force_locale(language):
        assert minor_of(typed_amount(amount, currency), currency) == amount
