"""The doctor: each part is ok, warn or fail with how to mend it, and only a failure ends it with an error."""

import json
import socket
import time
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.config import Settings
from courseapp.extensions import db
from courseapp.mailing import breaker
from courseapp.mailing.streams import stream_of
from courseapp.operations.diagnosis import check_configuration, check_disk, clock_apart, diagnosis, disk_left
from courseapp.operations.health import beat
from tests.client import Client
from tests.conftest import NOW, SECRET
from tests.factories import make_course, make_message
from tests.recording_smtp import HANG, RecordingSmtp

PRODUCTION = {
    "mode": "production",
    "secret_key": SECRET,
    "base_url": "https://learn.example",
    "smtp_url": "smtp://127.0.0.1:1",
    "sender_address": "course@learn.example",
    "postal_address": "1 Road, Town",
    "database_url": "postgresql://nobody@127.0.0.1:1/none",
    "trusted_proxies": 1,
}
PARTS = ["configuration", "database", "worker", "tables", "clock", "queue", "sending", "course", "storage", "disk", "broker", "mail"]


def levels(app: Flask) -> dict[str, str]:
    """Each part's level now."""
    return {check.name: check.level.value for check in diagnosis(NOW)}


def test_it_looks_at_every_part_and_says_how_to_mend_what_is_not_well(app: Flask) -> None:
    ended = app.test_cli_runner().invoke(args=["doctor", "--json"])
    found = {row["name"]: row for row in json.loads(ended.output)}
    assert list(found) == PARTS
    assert ended.exit_code == 1
    assert {name: row["level"] for name, row in found.items() if row["level"] != "ok"} == {"worker": "fail", "course": "warn"}
    assert [name for name, row in found.items() if not row["ok"]] == ["worker"]
    assert all(bool(row["mend"]) == (row["level"] != "ok") for row in found.values())


def test_a_warning_alone_is_no_error(app: Flask) -> None:
    beat("worker", NOW)
    db.session.commit()
    warned = app.test_cli_runner().invoke(args=["doctor"])
    assert warned.exit_code == 0
    assert "warn  course" in warned.output
    assert "→ Run: flask --app courseapp course import" in warned.output
    make_course()
    db.session.commit()
    well = app.test_cli_runner().invoke(args=["doctor"])
    assert (well.exit_code, "warn" in well.output, "fail" in well.output) == (0, False, False)


@pytest.mark.parametrize(("minutes", "level"), [(1, "ok"), (3, "warn"), (11, "fail")])
def test_mail_that_waits_is_first_a_warning_then_a_failure(app: Flask, minutes: int, level: str) -> None:
    make_message(due_at=NOW - timedelta(minutes=minutes))
    assert levels(app)["queue"] == level


def test_tables_of_another_version_are_seen(app: Flask) -> None:
    db.session.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
    db.session.commit()
    try:
        assert levels(app)["tables"] == "fail"
    finally:
        head = (Path(app.root_path).parent / "migrations" / "HEAD").read_text().strip()
        db.session.execute(sa.text("UPDATE alembic_version SET version_num = :head"), {"head": head})
        db.session.commit()
    assert levels(app)["tables"] == "ok"


@pytest.mark.one_database
def test_without_a_database_the_other_parts_are_told_all_the_same(make_app, app: Flask) -> None:
    with make_app(database_url="postgresql://nobody@127.0.0.1:1/none").app_context():
        found = levels(app)
    assert found == {
        "configuration": "ok",
        "database": "fail",
        "worker": "fail",
        "storage": "ok",
        "disk": "ok",
        "broker": "ok",
        "mail": "ok",
    }


@pytest.mark.one_database
def test_a_mail_server_that_answers_is_well_and_gets_no_mail(make_app, app: Flask, smtp: RecordingSmtp) -> None:
    with make_app(smtp_url=smtp.url).app_context():
        assert levels(app)["mail"] == "ok"
    assert (smtp.connections, smtp.received) == (1, [])


@pytest.mark.one_database
def test_a_mail_server_that_refuses_or_is_away_or_silent_fails_soon(make_app, app: Flask, smtp: RecordingSmtp) -> None:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        closed = f"smtp://name:canary@127.0.0.1:{line.getsockname()[1]}"
        smtp.script("connect", "554 5.7.1 canary@example.org is not welcome")
        for address in (closed, smtp.url):
            with make_app(smtp_url=address).app_context():
                found = {check.name: check for check in diagnosis(NOW)}["mail"]
            assert found.level == "fail"
            assert "SMTP_URL" in found.mend
            assert "canary" not in found.words
    smtp.script("connect", HANG)
    with make_app(smtp_url=smtp.url).app_context():
        began = time.monotonic()
        assert levels(app)["mail"] == "fail"
        assert time.monotonic() - began < 10


@pytest.mark.one_database
@pytest.mark.settings(smtp_url="smtp://127.0.0.1:1")
def test_readiness_does_not_ask_the_mail_server(client: Client) -> None:
    beat("worker", NOW)
    answer = client.visit("health.readyz")
    assert (answer.status_code, set(answer.json["checks"])) == (200, {"database", "storage", "broker", "worker"})


@pytest.mark.parametrize(("free", "level"), [(50_000_000_000, "ok"), (1_500_000_000, "warn"), (100_000_000, "fail")])
def test_little_space_is_a_warning_and_hardly_any_a_failure(free: int, level: str) -> None:
    assert disk_left(free).level == level


def test_a_data_folder_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    assert check_disk(Settings(data_dir=tmp_path / "none")).level == "warn"
    assert check_disk(Settings(data_dir=tmp_path)).words.endswith("GB free")


@pytest.mark.parametrize(("seconds", "level"), [(0.1, "ok"), (-5, "warn"), (5, "warn"), (-40, "fail"), (40, "fail")])
def test_clocks_apart_are_told_with_their_direction(seconds: float, level: str) -> None:
    found = clock_apart(seconds)
    assert found.level == level
    assert level == "ok" or ("ahead" if seconds > 0 else "behind") in found.words


@pytest.mark.parametrize(
    ("changed", "level", "words"),
    [
        ({}, "ok", ""),
        ({"base_url": "http://learn.example"}, "warn", "BASE_URL"),
        ({"trusted_proxies": 0}, "warn", "TRUSTED_PROXIES"),
        ({"web_workers": 4}, "warn", "REDIS_URL"),
        ({"web_workers": 4, "redis_url": "redis://localhost"}, "ok", ""),
        ({"rate_limits": False}, "fail", "RATE_LIMITS"),
        ({"clock_file": "/tmp/clock"}, "fail", "CLOCK_FILE"),
        ({"mode": "embedded", "rate_limits": False}, "ok", ""),
    ],
)
def test_settings_that_do_not_go_together_are_named(changed: dict, level: str, words: str) -> None:
    found = check_configuration(Settings(**{**PRODUCTION, **changed}))
    assert (found.level, words in found.mend, bool(found.mend)) == (level, True, bool(words))


def test_trouble_of_the_mail_server_and_paused_mail_are_told(app: Flask) -> None:
    assert levels(app)["sending"] == "ok"
    stream_of("marketing").paused_at = NOW
    assert levels(app)["sending"] == "warn"
    breaker.trip("files", "535 5.7.8 wrong password", NOW - timedelta(minutes=9))
    assert levels(app)["sending"] == "warn"
    breaker.close("files")
    breaker.trip("files", "535 5.7.8 wrong password", NOW - timedelta(minutes=10))
    found = {check.name: check for check in diagnosis(NOW)}["sending"]
    assert (found.level.value, "535 5.7.8 wrong password" in found.words) == ("fail", True)
