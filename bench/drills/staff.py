"""Staff at a browser, and what an installation holds before and after: for drills of uploads, and of whatever staff do by page."""

import os
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.drills.browser import Answer, Browser
from bench.drills.ground import DrillError, Ground, Sums, soon, wait_for
from bench.processes import PYTHON, free_port
from courseapp.authoring.preparing import HELD_WITHIN

WORK = "authoring.work_uploads"


class Staff:
    """An instructor, or somebody of another role, at a browser, and a worker that is woken by hand."""

    def __init__(self, ground: Ground, database: str, environment: dict[str, str], role: str = "instructor") -> None:
        self.ground, self.database, self.environment = ground, database, environment
        flask = [PYTHON, "-m", "flask", "--app", "courseapp"]
        address = f"{role}@example.org"
        ground.run([*flask, "user", "create", address, "--role", role], environment)
        link = ground.run([*flask, "user", "signin-link", address], environment).strip()
        self.browser = Browser(int(environment["PORT"]), "10.5.0.1", patience=120)
        path = urlsplit(link).path
        answer = self.browser.post(path, csrf_token=self.browser.get(path).token)
        if answer.status != 303:
            raise DrillError(f"the {role} could not sign in: {answer.status}")

    def send(self, *files: tuple[str, bytes], **fields: str) -> Answer:
        """Send files by the form of the upload page."""
        return self.browser.send("/staff/uploads", files, csrf_token=self.browser.get("/staff/uploads").token, **fields)

    def upload(self, *files: tuple[str, bytes], **fields: str) -> str:
        """Send files that are taken; the upload's public id."""
        answer = self.send(*files, **fields)
        if answer.status != 303 or answer.location.count("/") != 3:
            raise DrillError(f"an upload was answered {answer.status} {answer.location}: {words_of(answer)[:300]}")
        return answer.location.rpartition("/")[2]

    def decide(self, public_id: str, choice: str, **more: str) -> None:
        """Press a button of an upload's page."""
        path = f"/staff/uploads/{public_id}"
        self.browser.post(path, csrf_token=self.browser.get(path).token, choice=choice, **more)

    def accept(self, public_id: str) -> None:
        """Have an upload published."""
        self.decide(public_id, "publish", without_review="1")

    def shown(self, public_id: str) -> str:
        """What the page of an upload says, as words."""
        return words_of(self.browser.get(f"/staff/uploads/{public_id}"))

    def state(self, public_id: str) -> str:
        """Where an upload stands."""
        return str(self.ground.rows(self.database, "SELECT state FROM uploads WHERE public_id = %s", public_id)[0][0])

    def until(self, public_id: str, *states: str, seconds: float = 60) -> str:
        """Wake the worker and wait until an upload stands in one of these."""
        self.ground.wake(WORK)
        wait_for(lambda: self.state(public_id) in states, seconds, f"an upload to be {' or '.join(states)}; it is {self.state(public_id)}")
        return self.state(public_id)


def words_of(answer: Answer) -> str:
    """What a page says, without its frame."""
    main = answer.text.partition("<main")[2].partition(">")[2].partition("</main>")[0]
    return " ".join(re.sub(r"<[^>]*>", " ", main).split())


def installation(ground: Ground, database: str, **more: str) -> dict[str, str]:
    """A database, Redis, a web server and the environment of them all; workers are the drill's own affair."""
    ground.database(database)
    environment = ground.environment(database, free_port(), REDIS_URL=ground.start_redis(), **more)
    ground.web(f"{database}-web", environment)
    return environment


def content_of(ground: Ground, database: str) -> dict[str, Any]:
    """How many rows each table of courses has, and a sum over what they hold."""
    tables = ("courses", "modules", "lessons", "revisions", "assets", "imports", "prepared_files", "copies")
    return {name: ground.rows(database, f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY id)) FROM {name} t")[0] for name in tables}


def files_of(environment: dict[str, str]) -> set[str]:
    """Every file of an installation, but for the uploads' own and the printed copies, which are made whenever a course changes."""
    data = Path(environment["DATA_DIR"])
    found = {path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith(("files/uploads/", "files/health/", "files/copies/"))}


def judge_files(ground: Ground, environment: dict[str, str], before: set[str], sums: Sums) -> None:
    """After the tidying that runs every hour nothing is left, neither of what was thrown away nor of what died half written."""
    data = Path(environment["DATA_DIR"])
    for half in (data / "files" / ".halves").glob("*"):
        os.utime(half, (0, 0))  # a day old and more
    time.sleep(HELD_WITHIN + 1)
    ground.wake("operations.tidy")
    soon(lambda: not left_in(data) and not (files_of(environment) - before), 20)
    sums.expect(not left_in(data), f"left over: {left_in(data)[:5]}")
    strange = sorted(files_of(environment) - before)
    sums.expect(not strange, f"{len(strange)} files nobody knows: {strange[:5]}")


def left_in(data: Path) -> list[str]:
    """Temporary folders and half files."""
    places = (data / "tmp", data / "files" / ".halves")
    return [path.name for place in places if place.exists() for path in place.iterdir()]
