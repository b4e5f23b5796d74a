"""Money as people type and read it. Everywhere else it is whole minor units with a currency (ISO 4217, lower case).

How many decimals a currency has is Stripe's word (Stripe, "Supported currencies"): Unicode's tables, which know what is in use,
have fewer for some that Stripe counts in hundredths. How a number is written is the reader's language's.
"""

import re
from copy import copy
from decimal import Decimal
from typing import Any

from babel import Locale
from babel.numbers import NumberPattern, format_currency, format_decimal, get_decimal_symbol
from flask_babel import get_locale
from flask_babel import gettext as _

from courseapp.errors import Refusal

ZERO_DECIMAL = frozenset({"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"})
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
WHOLE = frozenset({"isk", "ugx"})
"""Counted in hundredths by Stripe, and yet charged in whole units alone."""
LARGEST = 99_999_999  # minor units; Stripe takes eight digits
_SIGNS = re.compile(r"[.,٫]")
_FIGURES = re.compile(r"\d+")
_SPACES = re.compile(r"[\s'’]")


def digits_of(currency: str) -> int:
    """How many digits the minor units of a currency are."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


def decimals_of(currency: str) -> int:
    """How many decimals people may type and read."""
    return 0 if currency in WHOLE else digits_of(currency)


def minor_of(typed: str, currency: str) -> int:
    """What somebody typed in major units, as minor units. Raises Refusal (400) in words.

    "12.50" and "12,50" are the same in every language. Where one sign stands for thousands and the other for decimals, the last
    is of the decimals; a single sign before three figures is refused where it could be either, never guessed.
    """
    whole, decimals = _parts_of(typed, currency)
    places = digits_of(currency)
    minor = int(whole + decimals.ljust(places, "0"))
    if minor > LARGEST:
        most = amount_words(LARGEST // 10**places * 10**places, currency)
        raise Refusal(_("“%(typed)s” is more than can be paid at once. Write %(most)s at most.", typed=typed.strip(), most=most), 400)
    if currency in THREE_DECIMAL and minor % 10:
        raise Refusal(_("“%(typed)s”: cards are charged to the last but one decimal. Write 0 as the third.", typed=typed.strip()), 400)
    return minor


def _parts_of(typed: str, currency: str) -> tuple[str, str]:
    """The figures before and behind the decimal sign."""
    written, most = _SPACES.sub("", typed), decimals_of(currency)
    *groups, last = _SIGNS.split(written)
    if not all(_FIGURES.fullmatch(part) for part in (*groups, last)):
        raise Refusal(_("“%(typed)s” is no amount. Write it like %(like)s.", typed=typed.strip(), like=_example(currency)), 400)
    signs = _SIGNS.findall(written)
    if not signs:
        return last, ""
    is_grouping = len(last) == 3 and all(len(part) == 3 for part in groups[1:]) and 0 < len(groups[0]) <= 3
    if len(signs) > 1 and len(set(signs)) == 1 and is_grouping:
        return "".join([*groups, last]), ""  # 1.000.000
    has_order = len(signs) == 1 or (len(set(signs[:-1])) == 1 and signs[-1] != signs[0] and all(len(part) == 3 for part in groups[1:]))
    if has_order and len(last) <= most and not (len(signs) == 1 and is_grouping and groups[0] != "0" and signs[0] != _decimal_sign()):
        return "".join(groups), last
    facts = {"typed": typed.strip(), "currency": currency.upper(), "like": _example(currency)}
    words = _("“%(typed)s” cannot be read as an amount in %(currency)s. Write it like %(like)s, without signs between thousands.", **facts)
    raise Refusal(words, 400)


def amount_words(amount: int, currency: str, locale: Locale | str | None = None) -> str:
    """An amount with its currency as the reader, or a language, writes it: €12.50, 12,50 €, ¥1,250."""
    found = _locale(locale)
    pattern: NumberPattern = copy(found.currency_formats["standard"])
    places = digits_of(currency) if amount % 10 ** digits_of(currency) else decimals_of(currency)
    pattern.frac_prec = (places, places)
    chosen: Any = pattern
    return format_currency(_major(amount, currency), currency.upper(), chosen, found, currency_digits=False)


def typed_amount(amount: int, currency: str) -> str:
    """An amount as the field of a form holds it: 12.50, or 12,50."""
    places = decimals_of(currency)
    pattern = "0." + "0" * places if places else "0"
    return format_decimal(_major(amount, currency), pattern, _locale(None))


def _example(currency: str) -> str:
    return typed_amount(12 * 10 ** digits_of(currency) + (10 ** digits_of(currency) // 2), currency) if decimals_of(currency) else "12"


def _major(amount: int, currency: str) -> Decimal:
    return Decimal(amount).scaleb(-digits_of(currency))


def _decimal_sign() -> str:
    return get_decimal_symbol(_locale(None))


def _locale(locale: Locale | str | None) -> Locale:
    found = locale or get_locale() or "en"
    return found if isinstance(found, Locale) else Locale.parse(found.replace("-", "_"))
