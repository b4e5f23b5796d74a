"""The protocol as others speak it: tuspy sends a file to a real web server, over a line that breaks, to a server that is killed."""

import hashlib
import io
import os
import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from flask import Flask
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed

from bench.processes import GUNICORN, PYTHON, ROOT, end, family, free_port, start
from courseapp import storage
from courseapp.authoring import parts
from courseapp.authoring.models import Upload
from courseapp.authoring.sending import views
from courseapp.extensions import db
from tests.authoring.sending import PIECE, Sender, metadata
from tests.client import Client
from tests.conftest import SECRET, LiveServer
from tests.databases import Database
from tests.factories import make_user
from tests.lines import BreakingLine

SIZE = 20_000_000  # the drill `upload_cut` sends two hundred
PIECE_HEADERS = {"Tus-Resumable": "1.0.0", "Content-Type": PIECE, "Upload-Offset": "0"}
PIECES = {"whole": None, "in checked pieces": 5_000_000}


class WebServer:
    """gunicorn as the Procfile has it, over the test's database and its folder."""

    def __init__(self, app: Flask, database: Database, folder: Path) -> None:
        self.port, self._log = free_port(), folder / "web.log"
        settings = app.config["SETTINGS"]
        told = {
            "DATABASE_URL": database.url,
            "SECRET_KEY": SECRET,
            "DATA_DIR": str(settings.data_dir),
            "CLOCK_FILE": str(settings.clock_file),
        }
        self._environment = {**os.environ, **told, "BASE_URL": f"http://127.0.0.1:{self.port}", "LOG_LEVEL": "WARNING"}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait for its first answer."""
        command = [PYTHON, "-m", "gunicorn", *GUNICORN, "--bind", f"127.0.0.1:{self.port}", "--log-level", "warning"]
        self._process = start(command, self._log, cwd=ROOT, env=self._environment)
        ends = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < ends, self._log.read_text()
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthz", timeout=2).ok
        except requests.RequestException:
            return False

    def kill(self) -> None:
        """SIGKILL to it and its worker: nothing is finished."""
        assert self._process is not None
        for pid in family(self._process.pid):
            os.kill(pid, signal.SIGKILL)
        self._process.wait(10)

    def memory(self) -> float:
        """Megabytes that its largest process has had at most."""
        assert self._process is not None
        told = [Path(f"/proc/{pid}/status").read_text() for pid in family(self._process.pid)]
        return max(int(re.search(r"VmHWM:\s+(\d+) kB", words)[1]) / 1000 for words in told)  # type: ignore[index]  # each has one

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            end(self._process)


@pytest.fixture
def server(app: Flask, database: Database, tmp_path: Path) -> Iterator[WebServer]:
    """A web server that has started."""
    db.session.commit()
    made = WebServer(app, database, tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def sender(client: Client) -> Sender:
    """An instructor's browser; its session is good at the server too."""
    client.sign_in(make_user(roles=["instructor"]))
    return Sender(client)


@pytest.fixture
def headers(sender: Sender) -> dict[str, str]:
    """What a program sends along: the session, and the form's token."""
    cookie = sender.client.get_cookie("session")
    assert cookie is not None
    return {"Cookie": f"session={cookie.value}", "X-CSRFToken": sender.token}


@pytest.fixture
def content() -> bytes:
    """A file that no two pieces of are alike."""
    return random.Random(7).randbytes(SIZE)


def upload(line: str, headers: dict[str, str], content: bytes, chunk: int | None) -> str:
    """Send a file by tuspy, with its checksums where it sends pieces; the file's address."""
    client = TusClient(f"{line}/staff/uploads/parts", headers=headers)
    told: dict[str, Any] = {"chunk_size": chunk, "upload_checksum": True} if chunk else {}
    sending = client.uploader(file_stream=io.BytesIO(content), metadata={"filename": "film.mp4"}, retries=150, retry_delay=0.2, **told)
    try:
        sending.upload()
    except (TusCommunicationError, TusUploadFailed) as error:
        raise AssertionError(f"tuspy gave up: {error}") from None  # hundreds of them hang on each other
    assert sending.url is not None
    return str(sending.url)


def wait_until(is_so: Callable[[], bool], seconds: float = 30) -> None:
    """Until it is so."""
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.mark.parametrize("way", PIECES)
def test_a_file_arrives_whole_over_a_line_that_breaks_five_times_to_a_server_killed_once(
    server: WebServer, sender: Sender, headers: dict[str, str], content: bytes, way: str
) -> None:
    line = BreakingLine(server.port, [SIZE * tenth // 10 for tenth in (1, 2, 3, 6, 9)])
    before = server.memory()

    with ThreadPoolExecutor() as threads:  # the server is started here, for it ends with the thread that starts it
        sending = threads.submit(upload, line.url, headers, content, PIECES[way])
        wait_until(lambda: line.sent > SIZE // 2)
        server.kill()
        server.start()
        url = sending.result(60)
    line.close()
    assert line.broken == 5
    grown = server.memory() - before
    print(f"{way}: {line.sent / 1e6:.1f} MB went up for {SIZE / 1e6:.1f}; the server's memory grew by {grown:.1f} MB")
    assert grown < 40
    assert sender.offset(url.removeprefix(line.url)) == SIZE
    assert sender.finish(url).status_code == 303
    made = db.session.scalars(sa.select(Upload)).one()
    with storage.open_stored(made.storage_key(0)) as file:
        assert hashlib.sha256(file.read()).digest() == hashlib.sha256(content).digest()


def test_while_a_piece_arrives_others_may_write_and_a_second_line_is_refused(
    server: WebServer, sender: Sender, headers: dict[str, str]
) -> None:
    """On SQLite too, which has one writer."""
    path = sender.begin("film.mp4", 1000).location
    assert path is not None
    told = {**headers, **PIECE_HEADERS}

    def slowly() -> Iterator[bytes]:
        yield b"a" * 400
        time.sleep(0.3)
        assert sender.send("other.md", b"written meanwhile")
        assert requests.patch(server.url + path, b"b" * 600, headers=told, timeout=10).status_code == 423
        yield b"a" * 600

    answer = requests.patch(server.url + path, slowly(), headers=told, timeout=30)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "1000")


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("wrong", "status", "words"),
    [
        ({"X-CSRFToken": "another"}, 400, "signed in anew"),
        ({"Upload-Offset": "1"}, 409, "Another part of the file"),
        ({"Upload-Checksum": "sha256 YWJj"}, 400, "The checksum"),
        ({"Tus-Resumable": "0.2.2"}, 412, "not the version"),
    ],
)
def test_a_refusal_is_heard_though_a_large_piece_is_on_its_way(
    server: WebServer, sender: Sender, headers: dict[str, str], wrong: dict[str, str], status: int, words: str
) -> None:
    path = sender.begin("film.mp4", SIZE).location
    assert path is not None
    piece = bytes(5_000_000)
    with requests.Session() as browser:
        for _turn in range(3):
            answer = browser.patch(server.url + path, piece, headers={**headers, **PIECE_HEADERS, **wrong}, timeout=30)
            assert (answer.status_code, words in answer.text) == (status, True)
    assert sender.offset(path) == 0


def test_of_two_who_send_the_form_at_once_both_are_led_to_one_upload(
    live_server: LiveServer, sender: Sender, headers: dict[str, str]
) -> None:
    path = sender.send("film.mp4", b"a" * 1000)
    form = {"csrf_token": sender.token, "parts": path.rpartition("/")[2]}

    def send(_turn: int) -> str:
        answer = requests.post(f"{live_server.url}/staff/uploads", form, headers=headers, allow_redirects=False, timeout=30)
        return f"{answer.status_code} {answer.headers.get('Location')}"

    with ThreadPoolExecutor(4) as threads:
        answers = set(threads.map(send, range(4)))
    db.session.commit()
    made = db.session.scalars(sa.select(Upload)).one()
    assert answers == {f"303 /staff/uploads/{made.public_id}"}


def test_two_who_begin_at_once_do_not_pass_the_bound_together(
    live_server: LiveServer, sender: Sender, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "MOST_OPEN", 2)
    told = {**headers, "Tus-Resumable": "1.0.0", "Upload-Length": "10", "Upload-Metadata": metadata("a.md")}
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: requests.post(f"{live_server.url}/staff/uploads/parts", headers=told, timeout=30), range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 413, 413, 413, 413]


@pytest.mark.one_database
def test_a_line_that_falls_silent_is_given_up_and_another_may_go_on(
    live_server: LiveServer, sender: Sender, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "PATIENCE", 0.3)
    path = sender.begin("film.mp4", 10).location
    assert path is not None
    told = {**headers, **PIECE_HEADERS, "Host": "127.0.0.1", "Content-Length": "10"}
    with socket.create_connection(("127.0.0.1", int(live_server.url.rpartition(":")[2]))) as line:
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        line.sendall(f"PATCH {path} HTTP/1.1\r\n{head}\r\n01234".encode())
        wait_until(lambda: b"204" in line.recv(100))
        offset = sender.offset(path)
        assert sender.add(path, offset, b"0123456789"[offset:]).headers["Upload-Offset"] == "10"
