"""Files of lessons: ranges, conditions, who is refused, and the way to a bucket."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import delivery, storage
from courseapp.accounts.models import User
from courseapp.authoring.importing import import_course
from courseapp.authoring.models import Import
from courseapp.authoring.undoing import undo
from courseapp.catalog.models import Asset, Course, Need
from courseapp.extensions import db
from courseapp.learning.models import Outcome
from tests.authoring.folders import STOP, lesson, small_course
from tests.buckets import Warden
from tests.client import Client
from tests.code.source import ROOT
from tests.databases import Database
from tests.factories import NOW, make_asset, make_course, make_enrolment, make_guest, make_outcome, make_user
from tests.services import _die_with_parent, _free_port

CONTENT = bytes(range(256)) * 40  # 10,240 bytes, of which each says where it stands
SIZE = len(CONTENT)


@pytest.fixture
def film(client: Client) -> Asset:
    """A film in a course that the client's person takes."""
    course = make_course()
    make_enrolment(client.sign_in(make_user()), course)
    return make_asset(course, CONTENT, path="m/film.mp4", media_type="video/mp4")


def address_of(asset: Asset) -> str:
    """Where a file is asked for."""
    return f"/assets/{asset.public_id}{Path(asset.path).suffix}"


# Ranges


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-", 0, SIZE - 1),
        ("bytes=5000-5099", 5000, 5099),
        ("bytes=10239-", SIZE - 1, SIZE - 1),
        ("bytes=10000-99999", 10000, SIZE - 1),
        ("bytes=0-999999999999999999999999", 0, SIZE - 1),
        ("bytes=-1", SIZE - 1, SIZE - 1),
        ("bytes=-500", SIZE - 500, SIZE - 1),
        ("bytes=-99999", 0, SIZE - 1),
        ("Bytes = 0-1".replace(" ", ""), 0, 1),
    ],
)
def test_a_range_is_answered_with_just_these_bytes(client: Client, film: Asset, asked: str, first: int, last: int) -> None:
    answer = client.get(address_of(film), headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.data == CONTENT[first : last + 1]


@pytest.mark.one_database
@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=20000-30000", "bytes=-0", "bytes=99999999999999999999999-"])
def test_a_range_past_the_end_is_refused_with_the_size(client: Client, film: Asset, asked: str) -> None:
    answer = client.get(address_of(film), headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"
    assert answer.data == b""


@pytest.mark.one_database
@pytest.mark.parametrize(
    "asked",
    [
        *("bytes=0-1,5-6", "bytes=0-1,-1", "bytes=9-2", "bytes=-", "bytes=", "bytes=a-b", "bytes=1.5-2", "bytes=--5", "bytes=0x1-2"),
        *("items=0-5", "0-5", "bytes 0-5", "bytes=٣-٤", "bytes=" + "9" * 5000 + "-", "bytes=" + "0-1," * 1000 + "0-1"),
    ],
)
def test_several_ranges_or_what_is_none_are_answered_with_the_whole_file(client: Client, film: Asset, asked: str) -> None:
    answer = client.get(address_of(film), headers={"Range": asked.encode().decode("latin-1")})
    assert (answer.status_code, answer.headers.get("Content-Range"), answer.data) == (200, None, CONTENT)
    assert answer.headers["Content-Length"] == str(SIZE)


@pytest.mark.one_database
def test_a_range_without_an_end_is_answered_a_piece_at_a_time_and_the_pieces_are_the_file(client: Client, film: Asset) -> None:
    whole = os.urandom(2 * delivery.AT_ONCE + 12345)
    long = make_asset(db.session.get(Course, film.course_id), whole, path="m/long.mp4", media_type="video/mp4")
    got = b""
    while len(got) < len(whole):
        answer = client.get(address_of(long), headers={"Range": f"bytes={len(got)}-"})
        last = min(len(got) + delivery.AT_ONCE, len(whole)) - 1
        assert answer.headers["Content-Range"] == f"bytes {len(got)}-{last}/{len(whole)}"
        got += answer.data
    assert got == whole
    assert client.get(address_of(long)).data == whole  # without a range nothing is held back
    asked_for = client.get(address_of(long), headers={"Range": f"bytes=1-{len(whole) - 2}"})
    assert asked_for.data == whole[1:-1]  # nor with an end


@pytest.mark.one_database
def test_head_tells_of_the_whole_file_and_sends_nothing(client: Client, film: Asset) -> None:
    for headers in ({}, {"Range": "bytes=5-9"}):
        answer = client.head(address_of(film), headers=headers)
        assert (answer.status_code, answer.data) == (200, b"")
        assert answer.headers["Content-Length"] == str(SIZE)
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Content-Type"] == "video/mp4"


@pytest.mark.one_database
def test_an_empty_file_has_no_ranges(client: Client, film: Asset) -> None:
    empty = make_asset(db.session.get(Course, film.course_id), b"", path="m/empty.vtt", media_type="text/vtt")
    assert client.get(address_of(empty)).data == b""
    assert client.get(address_of(empty), headers={"Range": "bytes=0-"}).status_code == 416


# Conditions


@pytest.mark.one_database
def test_if_range_gives_the_part_of_the_same_file_alone(client: Client, film: Asset) -> None:
    tag = client.get(address_of(film)).headers["ETag"]

    def answered(condition: str) -> int:
        return client.get(address_of(film), headers={"Range": "bytes=5-9", "If-Range": condition}).status_code

    assert answered(tag) == 206
    others = ['"another"', f"W/{tag}", tag.strip('"'), "Mon, 02 Nov 2026 09:00:00 GMT", f"{tag}, {tag}", ""]
    assert [answered(condition) for condition in others] == [200] * len(others)


@pytest.mark.one_database
def test_who_has_it_is_told_so_and_who_has_another_is_refused(client: Client, film: Asset) -> None:
    tag = client.get(address_of(film)).headers["ETag"]
    for range_ in ({}, {"Range": "bytes=5-9"}):
        same = client.get(address_of(film), headers={"If-None-Match": tag, **range_})
        assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", tag)
        assert "Content-Length" not in same.headers
    assert client.get(address_of(film), headers={"If-None-Match": '"another"'}).data == CONTENT
    assert client.get(address_of(film), headers={"If-Match": '"another"', "Range": "bytes=0-5"}).status_code == 412
    assert client.get(address_of(film), headers={"If-Match": tag, "Range": "bytes=0-5"}).data == CONTENT[:6]


@pytest.mark.one_database
def test_another_content_under_the_same_address_has_another_tag(client: Client, film: Asset) -> None:
    tag = client.get(address_of(film)).headers["ETag"]
    other = make_asset(db.session.get(Course, film.course_id), b"anew", path="m/other.mp4")
    film.digest, film.size = other.digest, other.size
    answer = client.get(address_of(film), headers={"Range": "bytes=0-", "If-Range": tag})
    assert (answer.status_code, answer.data) == (200, b"anew")


@pytest.mark.one_database
def test_a_file_that_got_shorter_is_not_passed_off_as_whole(app: Flask, film: Asset) -> None:
    with app.test_request_context(headers={"Range": "bytes=0-99"}):
        answer = delivery.send_stored(film.storage_key, "video/mp4", "file.mp4", tag="x")
        os.truncate(app.config["SETTINGS"].data_dir / "files" / film.storage_key, 50)
        with pytest.raises(OSError, match="shorter"):
            list(answer.response)
        answer.close()


@pytest.mark.one_database
@pytest.mark.parametrize("method", ["get", "head"])
def test_a_file_that_is_gone_is_not_found(client: Client, film: Asset, method: str) -> None:
    storage.remove(film.storage_key)
    assert getattr(client, method)(address_of(film)).status_code == 404
    assert client.get(address_of(film), headers={"Range": "bytes=0-"}).status_code == 404


# Who is refused


@pytest.fixture
def technique(app: Flask) -> Asset:
    """A film that only lessons after the safety check show."""
    return make_asset(make_course(), CONTENT, path="m/film.mp4", media_type="video/mp4", need=Need.GENTLE)


def refused(client: Client, asset: Asset) -> bool:
    """Whether a file is refused, in each way of asking for it, and nothing tells that it is there."""
    answers = [
        client.get(address_of(asset)),
        client.head(address_of(asset)),
        client.get(address_of(asset), headers={"Range": "bytes=0-0"}),
        client.get(address_of(asset), headers={"Range": f"bytes={SIZE}-"}),
        client.get(address_of(asset), headers={"If-None-Match": f'"{asset.digest[:32]}"'}),
        client.get(address_of(asset), headers={"If-Match": '"x"'}),
    ]
    told = {"Content-Range", "ETag", "Accept-Ranges", "Location"}
    return all(answer.status_code == 404 and not told & set(answer.headers.keys()) for answer in answers)


@pytest.mark.parametrize("outcome", [None, *Outcome])
def test_a_film_of_a_technique_lesson_opens_by_ones_own_outcome_alone(client: Client, technique: Asset, outcome: Outcome | None) -> None:
    other, user = make_user(), client.sign_in(make_user())
    for person in (other, user):
        make_enrolment(person, db.session.get(Course, technique.course_id))
    make_outcome(other, Outcome.AHEAD)
    if outcome is not None:
        make_outcome(user, outcome)
    assert refused(client, technique) == (outcome not in {Outcome.AHEAD, Outcome.GENTLY})


@pytest.mark.one_database
def test_a_stranger_and_who_does_not_take_the_course_and_staff_are_refused(client: Client, film: Asset, app: Flask) -> None:
    assert not refused(client, film)
    assert refused(app.test_client(), film)
    for roles in ((), ("owner",), ("instructor",), ("marketer",)):
        other = app.test_client()
        other.sign_in(make_user(roles=roles))
        assert refused(other, film)


@pytest.mark.one_database
def test_a_guest_who_takes_another_course_is_refused(film: Asset, app: Flask) -> None:
    guest = app.test_client()
    guest.submit("learning.start")  # the first course
    assert not refused(guest, film)
    theirs = make_asset(make_course(slug="another"), CONTENT, path="m/film.mp4", media_type="video/mp4")
    assert refused(guest, theirs)


@pytest.mark.one_database
def test_files_of_a_draft_course_are_refused_public_ones_too(client: Client, film: Asset) -> None:
    public = make_asset(db.session.get(Course, film.course_id), CONTENT, path="m/open.mp4", is_public=True)
    assert not refused(client, public)
    db.session.get_one(Course, film.course_id).published_at = None
    assert refused(client, film)
    assert refused(client, public)


@pytest.mark.one_database
def test_another_suffix_is_another_address(client: Client, film: Asset) -> None:
    for suffix in ("webm", "html", "4", "mp4.html"):
        assert client.get(f"/assets/{film.public_id}.{suffix}").status_code == 404


@pytest.mark.one_database
def test_a_file_of_a_lesson_taken_out_is_refused(app: Flask, client: Client, tmp_path: Path) -> None:
    touch = "02-doing/01-touch.md"
    import_course(small_course(tmp_path), NOW, publish=True)
    course = db.session.scalars(sa.select(Course)).one()
    drawing = db.session.scalars(sa.select(Asset).where(Asset.path == "02-doing/circle.svg")).one()
    address = address_of(drawing)
    learner, able = client, app.test_client()
    for person in (learner, able):
        make_enrolment(person.sign_in(make_user()), course)
    make_outcome(db.session.scalars(sa.select(User).order_by(User.id.desc()).limit(1)).one())
    assert [person.get(address).status_code for person in (learner, able)] == [404, 200]
    (tmp_path / touch).write_text(lesson("touch", STOP + "Press.\n", needs_check="touch"))  # no lesson shows the drawing
    import_course(tmp_path, NOW, publish=True)
    db.session.commit()
    assert [person.get(address).status_code for person in (learner, able)] == [404, 404]  # whatever their outcome opens
    last = db.session.scalars(sa.select(Import).order_by(Import.id.desc()).limit(1)).one()
    assert undo(last, NOW, None)
    db.session.commit()
    assert [person.get(address).status_code for person in (learner, able)] == [404, 200]  # it is shown again
    shutil.rmtree(tmp_path / "02-doing")  # the lesson is gone, and its files
    import_course(tmp_path, NOW, publish=True)
    assert [person.get(address).status_code for person in (learner, able)] == [404, 404]


# Where files lie in a bucket


@pytest.fixture
def in_bucket(make_app: Callable[..., Flask], bucket: dict[str, Any]) -> Iterator[tuple[Client, Course]]:
    """A learner of a course whose files lie in a bucket."""
    app = make_app(**bucket)
    with app.app_context():
        course, client = make_course(), app.test_client()
        assert isinstance(client, Client)
        make_enrolment(client.sign_in(make_user()), course)
        yield client, course
        db.session.rollback()


@pytest.mark.one_database
@pytest.mark.parametrize("method", ["get", "head"])
def test_a_film_in_a_bucket_is_led_to_by_an_address_that_expires(in_bucket: tuple[Client, Course], method: str) -> None:
    client, course = in_bucket
    film = make_asset(course, CONTENT, path="m/film.mp4", media_type="video/mp4")
    answer = getattr(client, method)(address_of(film), headers={"Range": "bytes=5-9"})
    assert (answer.status_code, answer.data) == (302, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    where = urlsplit(answer.headers["Location"])
    said = parse_qs(where.query)
    assert said["X-Amz-Expires"] == ["300"]
    assert said["response-content-type"] == ["video/mp4"]
    assert said["response-content-disposition"] == ["inline; filename=file.mp4"]
    policy = client.visit("accounts.settings").headers["Content-Security-Policy"]
    assert f"media-src 'self' {where.scheme}://{where.netloc};" in policy
    assert "img-src 'self';" in policy
    request = urllib.request.Request(answer.headers["Location"], headers={"Range": "bytes=5-9"})
    with urllib.request.urlopen(request, timeout=10) as found:
        assert (found.status, found.read()) == (206, CONTENT[5:10])
        assert found.headers["Content-Range"] == f"bytes 5-9/{SIZE}"


@pytest.mark.one_database
def test_an_address_of_the_bucket_opens_one_file_until_it_expires(
    make_app: Callable[..., Flask], bucket: dict[str, Any], warden: Warden
) -> None:
    app = make_app(**bucket, s3_public_endpoint=warden.url)
    with app.app_context():
        course, client = make_course(), app.test_client()
        make_enrolment(client.sign_in(make_user()), course)
        film, other = (make_asset(course, CONTENT[number:], path=f"m/{number}.mp4", media_type="video/mp4") for number in range(2))
        address = client.get(address_of(film)).headers["Location"]
        assert _asked(address, "bytes=0-0") == (206, CONTENT[:1])
        assert _asked(address, "bytes=5000-5099") == (206, CONTENT[5000:5100])
        assert _asked(address, f"bytes={SIZE}-")[0] == 416
        assert _asked(address.partition("?")[0], "") == (403, b"AccessDenied: not signed")
        forged = [address.replace(film.storage_key, other.storage_key), address.replace("X-Amz-Expires=300", "X-Amz-Expires=604800")]
        assert [_asked(one, "") for one in forged] == [(403, b"SignatureDoesNotMatch")] * 2
        warden.passed = timedelta(seconds=280)  # beside what has passed since it was made
        assert _asked(address, "bytes=-1")[0] == 206
        warden.passed = timedelta(seconds=301)
        assert _asked(address, "bytes=0-0") == (403, b"AccessDenied: Request has expired")
        warden.passed = timedelta()
        assert _asked(client.get(address_of(film)).headers["Location"], "bytes=0-0")[0] == 206
        db.session.rollback()


@pytest.mark.one_database
@pytest.mark.parametrize(("size", "seconds"), [(0, 300), (16_000_000, 1300), (10**12, 7200)])
def test_the_address_opens_for_as_long_as_playing_takes_and_no_longer(in_bucket: tuple[Client, Course], size: int, seconds: int) -> None:
    client, course = in_bucket
    film = make_asset(course, b"x", path="m/film.mp4", media_type="video/mp4", size=size, kept=False)
    assert f"X-Amz-Expires={seconds}&" in client.get(address_of(film)).headers["Location"]


@pytest.mark.one_database
@pytest.mark.parametrize(("suffix", "media_type"), [("svg", "image/svg+xml"), ("vtt", "text/vtt"), ("pdf", "application/pdf")])
def test_what_is_not_played_comes_through_us_from_the_bucket_too(in_bucket: tuple[Client, Course], suffix: str, media_type: str) -> None:
    client, course = in_bucket
    asset = make_asset(course, CONTENT, path=f"m/file.{suffix}", media_type=media_type)
    whole = client.get(address_of(asset))
    assert (whole.status_code, whole.data) == (200, CONTENT)
    assert "sandbox" in whole.headers["Content-Security-Policy"]
    for asked, first, last in (("0-0", 0, 0), ("5000-5099", 5000, 5099), ("-5", SIZE - 5, SIZE - 1)):
        part = client.get(address_of(asset), headers={"Range": f"bytes={asked}"})
        assert (part.status_code, part.headers["Content-Range"]) == (206, f"bytes {first}-{last}/{SIZE}")
        assert part.data == CONTENT[first : last + 1]
    beyond = client.get(address_of(asset), headers={"Range": f"bytes={SIZE}-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{SIZE}")
    assert client.get(address_of(asset), headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    storage.remove(asset.storage_key)
    assert client.get(address_of(asset)).status_code == 404


@pytest.mark.one_database
def test_nobody_is_led_to_the_bucket_before_the_gate_says_yes(in_bucket: tuple[Client, Course]) -> None:
    client, course = in_bucket
    film = make_asset(course, CONTENT, path="m/film.mp4", media_type="video/mp4", need=Need.TOUCH)
    assert refused(client, film)
    assert refused(client.application.test_client(), film)
    open_film = make_asset(course, CONTENT, path="m/open.mp4", media_type="video/mp4")
    assert client.get(address_of(open_film)).status_code == 302
    guest, learner, owner = (client.application.test_client() for _browser in range(3))
    make_enrolment(learner.sign_in(make_user()), make_course(slug="another"))
    make_enrolment(guest.sign_in(make_guest()), make_course(slug="a-third"))
    owner.sign_in(make_user(roles=("owner",)))
    assert [refused(other, open_film) for other in (client.application.test_client(), guest, learner, owner)] == [True] * 4
    course.published_at = None
    assert refused(client, open_film)


@pytest.mark.one_database
def test_without_a_bucket_pages_load_from_here_alone(client: Client) -> None:
    policy = client.visit("accounts.sign_in").headers["Content-Security-Policy"]
    assert "media-src 'self';" in policy
    assert "http" not in policy


# Under the real server


@pytest.mark.one_database
def test_the_real_server_sends_ranges_of_a_large_file_without_holding_it(app: Flask, database: Database, tmp_path: Path) -> None:
    content = os.urandom(1_000_000)
    film = make_asset(make_course(), content * 100, path="m/film.mp4", media_type="video/mp4", is_public=True)
    db.session.commit()
    port, data = _free_port(), app.config["SETTINGS"].data_dir
    words = ["-m", "gunicorn", "--config", ROOT / "gunicorn.conf.py", "--threads", "4", "--bind", f"127.0.0.1:{port}"]
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database.url, "DATA_DIR": str(data), "SECRET_KEY": "x" * 40}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, *words], env=environment, cwd=tmp_path, stdout=log, stderr=log, preexec_fn=_die_with_parent
        )
    try:
        url = f"http://127.0.0.1:{port}{address_of(film)}"
        assert _asked(url, "bytes=0-0") == (206, content[:1])
        assert _asked(url, "bytes=50000000-50000099") == (206, content[:100])
        worker = int(Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()[0])
        before = _resident(worker)
        assert _asked(url, "bytes=1-99999998") == (206, (content * 100)[1:-1])
        assert _asked(url, "") == (200, content * 100)
        assert _resident(worker) - before < 8_000_000
        assert _asked(url, "bytes=100000000-")[0] == 416
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)


def _asked(url: str, range_: str) -> tuple[int, bytes]:
    end = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": range_} if range_ else {}), timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
