"""Visitors: real guests who came in through /start, and fresh ones who are about to."""

import itertools
from dataclasses import dataclass
from urllib.parse import urlencode

from bench.harness import Ground, Web

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
COMMON = (
    f"User-Agent: {AGENT}\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\nAccept-Encoding: gzip, deflate, br\r\n"
)
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Visitor:
    """One browser: its network, its cookie, its form token."""

    network: str
    cookie: str
    token: str


def new_network() -> str:
    """An address nobody has come from yet, so that the rate limits, which stay on, count each visitor apart."""
    number = next(_numbers)
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def get(web: Web, path: str, network: str, cookie: str = "") -> str:
    """A GET, ready to be sent."""
    more = f"Cookie: {cookie}\r\n" if cookie else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{web.port}\r\nX-Forwarded-For: {network}\r\n{COMMON}{more}\r\n"


def post(web: Web, path: str, network: str, cookie: str, fields: dict[str, str]) -> str:
    """A form's POST, ready to be sent."""
    body = urlencode(fields)
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{web.port}\r\nX-Forwarded-For: {network}\r\n{COMMON}Cookie: {cookie}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )


def fresh(ground: Ground, web: Web, count: int) -> list[Visitor]:
    """Visitors who have opened /start and not yet sent its form."""
    networks = [new_network() for _ in range(count)]
    window = ground.load(web, [get(web, "/start", network) for network in networks], 8, 120, "200", cycle=False, collect=True)
    if window.wrong or window.count != count:
        raise RuntimeError(f"/start: {window.statuses}")
    return [Visitor(network, row["cookie"], row["token"]) for network, row in zip(networks, window.collected, strict=True)]


def guests(ground: Ground, web: Web, count: int, lesson: str) -> list[Visitor]:
    """Guests who take the course: each came through /start and has opened a lesson, whose form holds their token."""
    found = fresh(ground, web, count)
    posts = [post(web, "/start", guest.network, guest.cookie, {"csrf_token": guest.token, "address": ""}) for guest in found]
    begun = ground.load(web, posts, 8, 120, "303", cycle=False, collect=True)
    if begun.wrong:
        raise RuntimeError(f"starting as a guest: {begun.statuses}")
    cookies = [row["cookie"] for row in begun.collected]
    gets = [get(web, f"/lessons/{lesson}", guest.network, cookie) for guest, cookie in zip(found, cookies, strict=True)]
    opened = ground.load(web, gets, 8, 120, "200", cycle=False, collect=True)
    if opened.wrong:
        raise RuntimeError(f"the first lesson: {opened.statuses}")
    rows = zip(found, cookies, opened.collected, strict=True)
    return [Visitor(guest.network, row.get("cookie", cookie), row["token"]) for guest, cookie, row in rows]


def enrolment(web: Web, visitor: Visitor) -> str:
    """The start form of a fresh visitor who types a new address and asks for mails with the course."""
    address = f"learner.{visitor.network.replace('.', '-')}@example.org"
    return post(web, "/start", visitor.network, visitor.cookie, {"csrf_token": visitor.token, "address": address, "course_mail": "y"})


def floor_visitors(ground: Ground, web: Web, count: int) -> list[str]:
    """Cookies of signed-in users of the floor, spread over its 10,000."""
    users = [1 + index * 9973 % 10_000 for index in range(count)]
    window = ground.load(web, [get(web, f"/sign-in/{user}", "10.255.0.1") for user in users], 8, 60, "302", cycle=False, collect=True)
    if window.wrong:
        raise RuntimeError(f"the floor's sign-in: {window.statuses}")
    return [row["cookie"] for row in window.collected]
