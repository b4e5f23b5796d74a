"""Up, ready and counted: each part that is not well is named, with the reason."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.extensions import db
from courseapp.mailing.models import State
from courseapp.operations.health import beat, readiness
from courseapp.operations.models import Heartbeat
from tests.client import Client
from tests.conftest import NOW
from tests.factories import make_course, make_enrolment, make_message


def ready(client: Client) -> tuple[int, dict[str, str]]:
    """The status and the words of each part."""
    answer = client.visit("health.readyz")
    return answer.status_code, answer.json["checks"]


def test_a_process_that_is_up_says_so_without_asking_anyone(client: Client) -> None:
    answer = client.visit("health.healthz")
    assert (answer.status_code, answer.json) == (200, {"ok": True})
    assert answer.headers["Cache-Control"] == "no-store"


def test_ready_means_database_storage_broker_and_worker(client: Client) -> None:
    beat("worker", NOW)
    status, parts = ready(client)
    assert status == 200
    assert set(parts) == {"database", "storage", "broker", "worker"}


def test_without_a_worker_it_is_not_ready_and_says_why(client: Client, pass_time) -> None:
    assert ready(client) == (503, {**ready(client)[1], "worker": "it has never been seen"})
    beat("worker", NOW)
    assert ready(client)[0] == 200
    pass_time(minutes=2)
    status, parts = ready(client)
    assert status == 503
    assert "last seen" in parts["worker"]


def test_without_storage_it_is_not_ready_and_says_why(client: Client) -> None:
    beat("worker", NOW)
    files = client.application.config["SETTINGS"].data_dir / "files"
    files.write_text("a file stands where the folder should")
    status, parts = ready(client)
    assert (status, parts["storage"]) == (503, "files cannot be kept")


@pytest.mark.one_database
@pytest.mark.settings(redis_url="redis://127.0.0.1:1/0")
def test_without_a_broker_it_is_not_ready_and_pages_still_work(client: Client) -> None:
    beat("worker", NOW)
    status, parts = ready(client)
    assert status == 503
    assert parts["broker"].startswith("it cannot be reached")
    assert client.visit("accounts.sign_in").status_code == 200


@pytest.mark.one_database
def test_without_a_database_it_says_so_and_every_page_is_an_honest_503(make_app, app: Flask) -> None:
    away = make_app(database_url="postgresql://nobody@127.0.0.1:1/none")
    client = away.test_client()
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json["checks"]["database"].startswith("it does not answer")
    assert answer.json["checks"]["worker"].startswith("cannot be told")
    page = client.get("/start")
    assert page.status_code == 503
    assert page.headers["Retry-After"] == "30"
    assert "127.0.0.1" not in page.text + answer.text
    assert "psycopg" not in page.text
    assert client.get("/healthz").status_code == 200


def test_numbers_are_for_the_holder_of_the_token_alone(make_app, client: Client) -> None:
    assert client.visit("health.metrics").status_code == 404
    token = {"Authorization": "Bearer the-token"}
    assert client.get("/metrics", headers=token).status_code == 404
    make_enrolment(course=make_course())
    make_message(state=State.FAILED)
    make_message(due_at=NOW - timedelta(seconds=60))
    holder = make_app(metrics_token="the-token").test_client()
    for wrong in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer the-tokem"}, {"Authorization": "the-tokenx"}):
        assert holder.get("/metrics", headers=wrong).status_code == 404
    page = holder.get("/metrics", headers=token)
    assert page.status_code == 200
    for line in ('courseapp_outbox_messages{state="failed"} 1.0', "courseapp_enrolments 1.0", 'courseapp_ready{part="worker"} 0.0'):
        assert line in page.text
    oldest = next(line for line in page.text.splitlines() if line.startswith("courseapp_outbox_oldest_due_seconds "))
    assert 59 < float(oldest.split()[1]) < 120


def test_a_heartbeat_is_one_row_however_often_it_beats(app: Flask) -> None:
    for seconds in range(3):
        beat("worker", NOW + timedelta(seconds=seconds))
    db.session.commit()
    assert [(row.name, row.at) for row in db.session.scalars(sa.select(Heartbeat))] == [("worker", NOW + timedelta(seconds=2))]
    assert [check.name for check in readiness(NOW)] == ["database", "storage", "broker", "worker"]
