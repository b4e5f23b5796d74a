"""The row media_first_byte: how long a learner waits for the first byte of the middle of a film."""

import os
import re
import socket
import time
from pathlib import Path

from bench import visitors
from bench.harness import Ground, Web, end, middle
from bench.pages import Pages
from bench.result import Row

SIZE = 200_000_000
MIDDLE, PART = 100_000_000, 1_000_000
DIGEST = "b" * 64
PUBLIC_ID = "benchfilm0000001"
LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


def media_first_byte(pages: Pages) -> list[Row]:
    """One learner after the other asks for a megabyte from the middle of a film of 200 MB, over one kept-alive line.

    Measured is the time from sending the request to the first byte of the body; the rest is read and not timed. The floor answers
    with the first megabyte of the same file by Flask's `send_file`, behind its login with its one SELECT: from the middle it would
    read half the file first (under gunicorn Werkzeug cannot seek), and be no floor.
    """
    film = lay_out(pages.ground)
    floor = pages.ground.gunicorn("floor-film", "bench.floor:create_app()", "bench", FLOOR_SELECT="orm", FLOOR_FILM=str(film))
    guest = pages.guests[0]
    sides = {
        "app": (pages.app, with_range(visitors.get(pages.app, f"/assets/{PUBLIC_ID}.mp4", guest.network, guest.cookie), MIDDLE)),
        "floor": (floor, with_range(visitors.get(floor, "/film", "10.255.0.1", pages.cookies[0]), 0)),
    }
    found: dict[str, list[float]] = {name: [] for name in sides}
    rounds: list[float] = []
    for index in range(pages.plan.rounds + 1):
        for name, (web, request) in list(sides.items())[:: 1 if index % 2 else -1]:
            times = first_bytes(web, request, 40 if pages.plan.quick else 150)
            if index:  # the first round warms up
                found[name].append(middle(times, 3))
        if index:
            rounds.append(found["app"][-1] / found["floor"][-1])
    end(floor.process)
    value = middle(rounds)
    detail = {
        "app_ms": middle(found["app"], 3),
        "floor_ms": middle(found["floor"], 3),
        "ratio_of_rounds": [round(each, 3) for each in rounds],
        "what": "median wait for the first of 1 MB, from the middle of 200 MB, signed in; the floor: from its beginning, by send_file",
    }
    return [Row("media_first_byte", value, "× floor's wait", "<= 2", value <= 2, detail)]


def lay_out(ground: Ground) -> Path:
    """A film in the application's storage and a row that names it; where it lies."""
    film = ground.folder / "data-bench" / "files" / "assets" / DIGEST[:2] / DIGEST
    film.parent.mkdir(parents=True, exist_ok=True)
    piece = os.urandom(1_000_000)
    with film.open("wb") as file:
        for _ in range(SIZE // len(piece)):
            file.write(piece)
    with ground.connection("bench") as connection:
        connection.execute(
            "INSERT INTO assets (public_id, course_id, path, digest, source_digest, media_type, size, need, is_public, is_shown) "
            "SELECT %s, id, 'film.mp4', %s, %s, 'video/mp4', %s, 'none', false, true FROM courses WHERE slug = 'introduction'",
            [PUBLIC_ID, DIGEST, DIGEST, SIZE],
        )
    return film


def with_range(request: str, first: int) -> str:
    """A request for a part of the film from this byte on."""
    return request.replace("\r\n\r\n", f"\r\nRange: bytes={first}-{first + PART - 1}\r\n\r\n")


def first_bytes(web: Web, request: str, count: int) -> list[float]:
    """Milliseconds until the first byte of each of so many answers. Raises RuntimeError where one is not the range asked for."""
    times = []
    with socket.create_connection(("127.0.0.1", web.port), 10) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            began = time.perf_counter()
            line.sendall(request.encode("latin-1"))
            got = b""
            while (head := got.find(b"\r\n\r\n")) < 0 or len(got) == head + 4:
                got += line.recv(65536) or _cut(web)
            times.append(1000 * (time.perf_counter() - began))
            length = LENGTH.search(got, 0, head)
            if got[9:12] != b"206" or length is None or int(length.group(1)) != PART:
                raise RuntimeError(f"{web.name} answers {got[:head].decode('latin-1')}")
            left = head + 4 + int(length.group(1)) - len(got)
            while left:
                left -= len(line.recv(min(left, 262_144)) or _cut(web))
    return times


def _cut(web: Web) -> bytes:
    raise RuntimeError(f"{web.name} closed the line")
