"""A large file over a line that breaks, to a server that is killed."""

import hashlib
import io
import os
import random
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed
from tusclient.uploader import Uploader

from bench.drills.browser import Browser
from bench.drills.ground import DrillError, Ground, Sums, wait_for
from bench.processes import PYTHON, family, free_port
from tests.lines import BreakingLine

SIZE = 200_000_000
PIECE = 5_000_000
NAME = "upload"


def upload_cut(ground: Ground, dice: random.Random) -> Sums:
    """tuspy sends 200 MB twice. First in one request, cut off at 99 %; then in pieces with checksums, over a line that breaks five
    times, to a web server that is killed in the middle of one. What the server says it has must be true each time."""
    sums = Sums()
    ground.database(NAME)
    port = free_port()
    environment = ground.environment(NAME, port)
    web = [ground.web("upload-web", environment)]
    browser = _instructor(ground, environment, port)
    content = dice.randbytes(SIZE)

    line = BreakingLine(port, [SIZE * 99 // 100])
    sending, told = _sending(line, browser, content, None), time.monotonic()
    _finished(sending)
    sums.expect(line.broken == 1, f"the line broke {line.broken} times instead of once")
    again = line.sent - SIZE
    sums.expect(again < 1_000_000, f"after 99 % {again / 1e6:.1f} MB went up a second time")
    sums.detail["cut_at_99_percent"] = {"sent_again_mb": round(again / 1e6, 2), "seconds": round(time.monotonic() - told, 1)}
    _judge(ground, browser, sending, content, sums)
    sums.detail["web_peak_mb"] = [_peak_mb(web[0].pid)]

    cuts = sorted(dice.sample(range(SIZE // 20, SIZE), 5))
    kill_at, line = dice.randrange(SIZE // 5, 4 * SIZE // 5), BreakingLine(port, cuts)
    sending, told = _sending(line, browser, content, PIECE), time.monotonic()
    with ThreadPoolExecutor(1) as threads:
        over = threads.submit(_finished, sending)
        wait_for(lambda: line.sent > kill_at or over.done(), 120, "the middle of the file")
        known = sending.offset
        for pid in family(web[0].pid):
            os.kill(pid, signal.SIGKILL)
        web[0].wait(10)
        web.append(ground.web("upload-web-again", environment))
        held = _offset(browser, sending, port)
        sums.lost += max(0, known - held)
        sums.expect(held >= known, f"{known} bytes were acknowledged before the kill, {held} are there after it")
        over.result(150)
    sums.expect(line.broken == 5, f"the line broke {line.broken} times instead of five")
    sums.detail["cut_five_times_and_killed"] = {
        "cuts_mb": [round(cut / 1e6) for cut in cuts],
        "killed_at_mb": round(kill_at / 1e6),
        "sent_again_mb": round((line.sent - SIZE) / 1e6, 1),
        "seconds": round(time.monotonic() - told, 1),
    }
    _judge(ground, browser, sending, content, sums)
    sums.detail["web_peak_mb"].append(_peak_mb(web[1].pid))
    sums.expect(max(sums.detail["web_peak_mb"]) < 130, f"the web process took {sums.detail['web_peak_mb']} MB")
    left = list((Path(environment["DATA_DIR"]) / "parts").iterdir())
    sums.expect(not left, f"files were left behind: {left}")
    return sums


def _instructor(ground: Ground, environment: dict[str, str], port: int) -> Browser:
    """A browser in which somebody is signed in who may upload."""
    for words in (("create", "ida@example.org", "--role", "instructor"), ("signin-link", "ida@example.org")):
        said = ground.run([PYTHON, "-m", "flask", "--app", "courseapp", "user", *words], environment)
    link = urlsplit(re.search(r"http://\S+", said)[0]).path  # type: ignore[index]  # the command prints it
    browser = Browser(port)
    answer = browser.post(link, csrf_token=browser.get(link).token)
    if answer.status != 303:
        raise DrillError(f"signing in by a link answered {answer.status}")
    return browser


def _headers(browser: Browser) -> dict[str, str]:
    token = browser.get("/staff/uploads").token  # first, for it comes with a cookie
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items()), "X-CSRFToken": token}


def _sending(line: BreakingLine, browser: Browser, content: bytes, chunk: int | None) -> Uploader:
    client = TusClient(f"{line.url}/staff/uploads/parts", headers=_headers(browser))
    more: dict[str, Any] = {"chunk_size": chunk, "upload_checksum": True} if chunk else {}
    return client.uploader(file_stream=io.BytesIO(content), metadata={"filename": "film.mp4"}, retries=150, retry_delay=0.2, **more)


def _finished(sending: Uploader) -> None:
    try:
        sending.upload()
    except (TusCommunicationError, TusUploadFailed) as error:
        raise DrillError(f"tuspy gave up at {sending.offset}: {error}") from None


def _offset(browser: Browser, sending: Uploader, port: int) -> int:
    """What the server says it has."""
    address = f"http://127.0.0.1:{port}{urlsplit(str(sending.url)).path}"
    answer = requests.head(address, headers={**_headers(browser), "Tus-Resumable": "1.0.0"}, timeout=20)
    return int(answer.headers.get("Upload-Offset", "-1"))


def _judge(ground: Ground, browser: Browser, sending: Uploader, content: bytes, sums: Sums) -> None:
    """Send the form, twice as impatient people do, and hold what was stored against what was sent."""
    before = ground.rows(NAME, "SELECT count(*) FROM uploads")[0][0]
    form = {"csrf_token": browser.get("/staff/uploads").token, "parts": str(sending.url).rpartition("/")[2]}
    first, second = (browser.post("/staff/uploads", **form) for _ in range(2))
    sums.expect(first.status == 303 and first.location == second.location, f"the form led to {first.location} and {second.location}")
    made = ground.rows(NAME, "SELECT public_id, size FROM uploads ORDER BY id")[before:]
    sums.duplicated += max(0, len(made) - 1)
    sums.expect(len(made) == 1, f"{len(made)} uploads came of one form")
    if made:
        public_id, size = made[0]
        stored = ground.folder / f"data-{NAME}" / "files" / "uploads" / public_id / "0"
        sums.lost += abs(SIZE - size)
        with stored.open("rb") as file:
            is_same = hashlib.file_digest(file, "sha256").digest() == hashlib.sha256(content).digest()
        sums.expect(is_same, "what was stored is not what was sent")


def _peak_mb(pid: int) -> int:
    """The most memory that a process or one below it has had."""
    told = [Path(f"/proc/{member}/status").read_text() for member in family(pid)]
    return round(max(int(re.search(r"VmHWM:\s+(\d+) kB", words)[1]) / 1000 for words in told))  # type: ignore[index]  # each has one
