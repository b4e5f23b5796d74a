"""Films and sound in a real browser: they play, show what is said, and go on at the second on another device."""

import base64
import contextlib
import io
import threading
import wave
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask

from courseapp import delivery
from courseapp.accounts.models import User
from courseapp.catalog.markdown import AssetPlace, Surroundings, box_titles, render
from courseapp.catalog.models import Asset, Course, Lesson
from courseapp.extensions import db
from courseapp.learning.models import MediaPosition
from tests.client import Client
from tests.conftest import LiveServer
from tests.factories import lessons_of, make_asset, make_course, make_enrolment, make_position, make_revision, make_user
from tests.journeys.test_every_page import faults_of

if TYPE_CHECKING:  # importing Playwright takes 0.3 s, and most runs open no browser
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.one_database

SECONDS = 400
STATE = """media => ({ at: media.currentTime, paused: media.paused, length: media.duration, error: media.error && media.error.message })"""
RECORD = """async () => {
  const canvas = document.createElement("canvas");
  canvas.width = 160; canvas.height = 90;
  const drawing = canvas.getContext("2d");
  const recorder = new MediaRecorder(canvas.captureStream(10), { mimeType: "video/webm;codecs=vp8" });
  const pieces = [];
  recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
  const done = new Promise((resolve) => recorder.addEventListener("stop", resolve));
  recorder.start();
  for (let turn = 0; turn < 25; turn += 1) {
    drawing.fillStyle = turn % 2 ? "teal" : "orange";
    drawing.fillRect(0, 0, 160, 90);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  recorder.stop();
  await done;
  const bytes = new Uint8Array(await new Blob(pieces).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}"""
CAPTIONS = b"WEBVTT\n\n00:00.000 --> 01:00.000\nBreathe in.\n\n05:00.000 --> 06:00.000\nBreathe out.\n"
SAID = """() => document.querySelector("video").textTracks[0].activeCues?.[0]?.text === "Breathe out." """


def tone() -> bytes:
    """Some minutes of silence, larger than what is sent at once."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(b"\x80" * 8000 * SECONDS)
    assert len(file.getvalue()) > delivery.AT_ONCE
    return file.getvalue()


def sign_in(app: Flask, page: "Page", user: User, base: str = "") -> None:
    """Open a session of this person's in a browser."""
    client = app.test_client()
    assert isinstance(client, Client)
    client.sign_in(user)
    cookie = client.get_cookie("session")
    assert cookie is not None
    page.goto(f"{base}/healthz")
    page.context.add_cookies([{"name": "session", "value": cookie.value, "url": page.url}])


def lesson_with(course: Course, html: str, index: int = 0) -> str:
    """The address of a lesson that shows this."""
    lesson: Lesson = lessons_of(course)[index]
    make_revision(lesson, html=html)
    db.session.commit()
    return f"/lessons/{lesson.public_id}"


@pytest.fixture
def films(app: Flask) -> Course:
    """A course of its own, to put films into."""
    return make_course(slug="films")


@pytest.fixture
def sound(films: Course) -> Asset:
    """A long sound."""
    return make_asset(films, tone(), path="m/breath.wav", media_type="audio/wav")


@pytest.fixture
def learner(films: Course) -> User:
    """Somebody who takes the course."""
    user = make_user()
    make_enrolment(user, films)
    return user


def play(page: "Page", kind: str = "audio") -> Any:
    """Press the space bar on the player, as a person at a keyboard would; the player."""
    media = page.locator(kind)
    media.focus()
    page.keyboard.press("Space")
    page.wait_for_function("kind => document.querySelector(kind).currentTime > 0 && !document.querySelector(kind).paused", arg=kind)
    return media


def position() -> int | None:
    """The one position that is kept."""
    db.session.commit()
    found: int | None = db.session.query(MediaPosition.seconds).scalar()
    db.session.commit()  # else the server, which writes, would wait for us
    return found


def wait_for_position(page: "Page", least: int) -> int:
    """The position that is kept, once it is as far as this."""
    for _ in range(60):
        if (found := position()) is not None and found >= least:
            return found
        page.wait_for_timeout(100)
    raise AssertionError(f"no position of {least} or more was kept: {position()}")


def test_what_is_stopped_in_one_browser_goes_on_in_another_at_that_second_with_its_captions(
    app: Flask, page: "Page", other_page: "Page", films: Course, sound: Asset, learner: User
) -> None:
    captions = make_asset(films, CAPTIONS, path="m/breath.vtt", media_type="text/vtt")
    track = f'<track kind="captions" src="/assets/{captions.public_id}.vtt" default>'
    address = lesson_with(films, f'<figure><video controls preload="none" src="/assets/{sound.public_id}.wav">{track}</video></figure>')
    sign_in(app, page, learner)
    sign_in(app, other_page, learner)
    page.goto(address)
    assert page.locator("[data-stopped]").is_hidden()
    media = play(page, "video")
    media.evaluate("media => { media.currentTime = 300; }")  # far beyond what is sent at once
    page.wait_for_function("() => document.querySelector('video').currentTime > 300.5")
    page.wait_for_function(SAID)
    media.evaluate("media => media.pause()")
    stopped = wait_for_position(page, 300)
    assert stopped < 310

    other_page.goto(address)
    other_page.locator("[data-stopped]").wait_for()
    assert f"You stopped at 5:{stopped - 300:02}." in other_page.locator("[data-stopped]").inner_text()
    there = play(other_page, "video")
    other_page.wait_for_function(SAID)
    assert stopped <= there.evaluate(STATE)["at"] < stopped + 5
    assert there.evaluate(STATE)["error"] is None

    other_page.get_by_role("button", name="From the beginning").click()
    assert there.evaluate(STATE)["at"] < 2
    assert other_page.locator("[data-stopped]").is_hidden()
    there.evaluate("media => media.pause()")
    for _ in range(50):
        if (position() or 0) < 5:
            break
        page.wait_for_timeout(100)
    assert (position() or 0) < 5


def test_leaving_the_page_in_the_middle_is_remembered_and_the_end_is_not(
    app: Flask, page: "Page", films: Course, sound: Asset, learner: User
) -> None:
    address = lesson_with(films, f'<audio controls src="/assets/{sound.public_id}.wav"></audio>')
    sign_in(app, page, learner)
    page.goto(address)
    media = play(page)
    media.evaluate("media => { media.currentTime = 120; }")
    page.wait_for_function("() => document.querySelector('audio').currentTime > 120.2")
    page.goto("/learn/films")
    assert 120 <= wait_for_position(page, 120) < 130
    page.goto(address)
    page.locator("[data-stopped]").wait_for()
    media = play(page)
    media.evaluate(f"media => {{ media.currentTime = {SECONDS - 1}; }}")
    page.wait_for_function("() => document.querySelector('audio').ended")
    for _ in range(50):
        if position() is None:
            break
        page.wait_for_timeout(100)
    assert position() is None


def test_a_film_that_became_shorter_begins_at_its_beginning(app: Flask, page: "Page", films: Course, sound: Asset, learner: User) -> None:
    make_position(learner, sound, 5000)
    address = lesson_with(films, f'<audio controls preload="none" src="/assets/{sound.public_id}.wav"></audio>')
    sign_in(app, page, learner)
    page.goto(address)
    page.locator("[data-stopped]").wait_for()
    play(page)
    page.wait_for_function("() => document.querySelector('audio').currentTime < 5")  # once its length is known


def test_the_speed_is_chosen_beneath_the_film(app: Flask, page: "Page", films: Course, sound: Asset, learner: User) -> None:
    address = lesson_with(films, f'<audio controls preload="none" src="/assets/{sound.public_id}.wav"></audio>')
    sign_in(app, page, learner)
    page.goto(address)
    page.get_by_label("Speed").select_option("1.5 ×")
    media = page.locator("audio")
    assert media.evaluate("media => media.playbackRate") == 1.5
    media.evaluate("media => { media.playbackRate = 2; }")  # as the browser's own menu does
    page.wait_for_function("() => document.querySelector('.player-tools select').value === '2'")


def test_a_film_shows_what_is_said_in_it(app: Flask, page: "Page", films: Course, learner: User) -> None:
    page.goto("/help-now")
    film = make_asset(films, base64.b64decode(page.evaluate(RECORD)), path="m/film.webm", media_type="video/webm")
    captions = make_asset(films, CAPTIONS, path="m/film.vtt", media_type="text/vtt")
    track = f'<track kind="captions" src="/assets/{captions.public_id}.vtt" default>'
    address = lesson_with(films, f'<figure><video controls preload="none" src="/assets/{film.public_id}.webm">{track}</video></figure>')
    sign_in(app, page, learner)
    page.goto(address)
    media = play(page, "video")
    page.wait_for_function("() => document.querySelector('video').textTracks[0].activeCues?.length === 1")
    shown = media.evaluate("media => [media.textTracks[0].mode, media.textTracks[0].activeCues[0].text, media.videoWidth]")
    assert shown == ["showing", "Breathe in.", 160]


def test_a_lesson_with_films_is_fit_for_all_in_each_width_and_light(
    app: Flask, page: "Page", films: Course, sound: Asset, learner: User
) -> None:
    make_position(learner, sound, 5000)
    places = {
        "f.mp4": AssetPlace("/assets/x.mp4", captions_url="/assets/x.vtt", transcript=("Ada: Breathe in.", "Eve: And out.")),
        "s.wav": AssetPlace(f"/assets/{sound.public_id}.wav"),
    }
    around = Surroundings("", places, {}, box_titles=box_titles())
    address = lesson_with(films, render('![](f.mp4 "A film")\n\nWords.\n\n![](s.wav "A sound")', around).html)
    sign_in(app, page, learner)
    page.goto(address)
    page.locator("[data-stopped]").last.wait_for()
    page.locator(".transcript summary").click()
    assert faults_of(page, "a lesson with films") == []


@pytest.mark.parametrize("context_settings", [{"java_script_enabled": False}])
def test_without_scripts_it_plays_all_the_same(
    app: Flask, page: "Page", films: Course, sound: Asset, learner: User, live_server: LiveServer
) -> None:
    make_position(learner, sound, 50)
    address = lesson_with(films, f'<audio controls autoplay muted src="/assets/{sound.public_id}.wav"></audio>')
    sign_in(app, page, learner)
    with page.expect_response(f"**/assets/{sound.public_id}.wav") as answer:
        page.goto(address)
    assert answer.value.status == 206
    assert page.locator(".player-tools").count() == 0


class Front:
    """What browsers reach of a bucket: tells which addresses were asked for, and refuses those that are said to have expired."""

    def __init__(self, content: bytes) -> None:
        self.asked: list[str] = []
        self.expired: set[str] = set()
        front = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """A range of the content."""
                front.asked.append(self.path)
                first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
                self.send_response(403 if self.path in front.expired else 206)
                part = b"" if self.path in front.expired else content[first : first + 500_000]
                self.send_header("Content-Type", "audio/wav")
                self.send_header("Content-Length", str(len(part)))
                self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(content)}")
                self.end_headers()
                with contextlib.suppress(OSError):  # a browser that has enough cuts the line
                    self.wfile.write(part)

            def log_message(self, *_words: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def front() -> Iterator[Front]:
    """The front of a bucket that holds one sound."""
    made = Front(tone())
    yield made
    made.stop()


def test_a_sound_in_a_bucket_plays_and_goes_on_after_its_address_has_expired(
    make_app: Any, bucket: dict[str, Any], browser: "Browser", front: Front
) -> None:
    app = make_app(**bucket, s3_public_endpoint=front.url)
    with app.app_context():
        course = make_course(slug="films")
        sound = make_asset(course, path="m/breath.wav", media_type="audio/wav")
        user = make_user()
        make_enrolment(user, course)
        address = lesson_with(course, f'<audio controls preload="none" src="/assets/{sound.public_id}.wav"></audio>')
        server, context = LiveServer(app), browser.new_context()
        try:
            page = context.new_page()
            said: list[str] = []
            page.on("console", lambda message: said.append(message.text))
            sign_in(app, page, user, server.url)
            page.goto(server.url + address)
            play(page)
            assert len(set(front.asked)) == 1
            front.expired.update(front.asked)
            page.locator("audio").evaluate("media => { media.currentTime = 300; }")
            page.wait_for_function("() => document.querySelector('audio').currentTime > 300.3", timeout=15_000)
            assert len(set(front.asked)) == 2
            assert not any("Content Security Policy" in words for words in said)
        finally:
            context.close()
            server.stop()
