"""Words of settings that have a form of their own: how fast (`10/second`, `300/minute`, `5000/hour`), also by domain; and currencies."""

from babel.numbers import list_currencies

UNITS = {"second": 1, "minute": 60, "hour": 3600}


def rate_of(words: str) -> float:
    """Mails per second, of words such as `10/second`, `300/minute` or `5000/hour`. Raises ValueError."""
    number, _slash, unit = words.strip().partition("/")
    if unit not in UNITS or not number.isdecimal() or not int(number):
        raise ValueError(f"{words!r} is no rate: write it as 10/second, 300/minute or 5000/hour")
    return int(number) / UNITS[unit]


def rates_of(words: str) -> dict[str, float]:
    """Mails per second by domain, of words such as `gmail.com=120/minute, *=600/minute`. Raises ValueError."""
    pairs = [part.partition("=") for part in words.split(",") if part.strip()]
    return {domain.strip().lower(): rate_of(rate) for domain, _equals, rate in pairs}


def checked_rate(words: str) -> str:
    """A rate as it was typed. Raises ValueError where it is none."""
    if words.strip():
        rate_of(words)
    return words.strip()


def checked_rates(words: str) -> str:
    """Rates by domain as they were typed. Raises ValueError where they are none."""
    rates_of(words)
    return words.strip()


def checked_currencies(words: str) -> str:
    """Currencies as they were typed, in lower case. Raises ValueError where one is none of ISO 4217's."""
    codes = [code.strip().lower() for code in words.split(",") if code.strip()]
    for code in codes:
        if code.upper() not in list_currencies():
            raise ValueError(f"{code!r} is no currency: write the three letters of each, such as eur, usd")
    return ", ".join(codes)
