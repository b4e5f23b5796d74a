"""Amounts: integers in the currency's smallest unit."""

from decimal import ROUND_HALF_UP, Decimal

from tests.fakes.stripe.wire import Thing

# Stripe's page "Supported currencies": these have no smaller unit, and these have three digits.
ZERO_DECIMAL = frozenset(["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"])
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])


def rounded(amount: Decimal) -> int:
    """To the nearest unit, a half away from zero."""
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def discount_on(amount: int, coupon: Thing | None, currency: str) -> int:
    """What a coupon takes off an amount, never more than the amount."""
    if coupon is None or amount <= 0:
        return 0
    if coupon["percent_off"] is not None:
        return rounded(Decimal(amount) * Decimal(str(coupon["percent_off"])) / 100)
    return min(amount, int(coupon["amount_off"])) if coupon["currency"] == currency else 0


def share(amount: int, part: int, whole: int) -> int:
    """The part of an amount that falls on `part` seconds of `whole`."""
    return rounded(Decimal(amount) * Decimal(part) / Decimal(whole))


def shared_out(total: int, amounts: list[int]) -> list[int]:
    """A total shared out over amounts in proportion; what rounding leaves goes to the last, so that the sum is right."""
    whole = sum(amounts)
    shares = [share(total, amount, whole) if whole else 0 for amount in amounts]
    return [*shares[:-1], total - sum(shares[:-1])]


def in_words(amount: int, currency: str) -> str:
    """For the hosted pages: 12.50 EUR, 1200 JPY."""
    digits = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    return f"{Decimal(amount).scaleb(-digits):.{digits}f} {currency.upper()}"


def amount_of(price: Thing, currency: str) -> int:
    """A price's amount in a currency it has. Raises KeyError where it has none in it."""
    if price["currency"] == currency:
        return int(price["unit_amount"])
    return int(price["currency_options"][currency]["unit_amount"])
