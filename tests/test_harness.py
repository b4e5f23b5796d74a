"""The harness itself: what the fixtures promise."""

import smtplib
from email.message import EmailMessage

import pytest
import redis
import sqlalchemy as sa

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.extensions import celery, csrf, db, limiter
from tests.client import forms_of
from tests.factories import (
    lessons_of,
    make_course,
    make_enrolment,
    make_event,
    make_message,
    make_outcome,
    make_run,
    make_sequence,
    make_user,
)
from tests.recording_smtp import DROP, HANG, RecordingSmtp


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_a_fresh_database_and_an_empty_folder(app, db_session, turn):
    kept = app.config["SETTINGS"].data_dir / "files" / "left.txt"
    assert db_session.scalar(sa.select(sa.func.count()).select_from(User)) == 0
    assert not kept.exists()
    assert make_user().id == 1
    db_session.commit()
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("left by one turn")


def test_the_factories_make_rows_the_database_accepts(app, db_session):
    user, course = make_user("someone@example.org", roles=["owner"], password="a long sentence of words"), make_course()
    make_enrolment(user, course)
    make_outcome(user)
    make_message(user.contact)
    make_run(make_sequence(), user.contact, course)
    make_event(readers=["campaigns"])
    db_session.commit()
    assert [lesson.needs_check.value for lesson in lessons_of(course)] == ["none", "none", "gentle", "touch"]


def test_the_clock_stands_at_now_and_is_shifted_for_everyone(app, now, pass_time):
    assert 0 <= (clock.now() - now).total_seconds() < 60
    later = pass_time(days=3)
    assert 0 <= (clock.now() - later).total_seconds() < 60
    assert (pass_time(hours=1) - now).total_seconds() == 3 * 86400 + 3600


def test_a_request_sees_what_the_test_wrote_and_the_test_what_the_request_wrote(app, make_app):
    planted_app = make_app()

    @planted_app.post("/planted")
    @csrf.exempt
    def planted() -> str:
        user = db.session.get_one(User, 1)
        user.name = "Changed"
        db.session.commit()
        return "done"

    user = make_user()
    assert planted_app.test_client().post("/planted").text == "done"
    assert user.name == "Changed"


@pytest.mark.settings(rate_limits=True)
@pytest.mark.one_database
def test_a_test_may_have_an_application_of_its_own(app):
    assert app.config["RATELIMIT_ENABLED"]
    assert limiter.enabled


@pytest.mark.one_database
def test_and_the_next_one_has_the_usual_again(app):
    assert not limiter.enabled
    assert celery.flask_app is app


@pytest.mark.one_database
def test_the_client_signs_in_and_fills_in_real_forms(client):
    assert client.visit("accounts.settings").status_code == 302
    client.sign_in(make_user())
    assert client.visit("accounts.settings").status_code == 200
    assert client.submit("accounts.settings", {"name": "Somebody"}, to="accounts.change_own_name").status_code in {302, 303}
    with pytest.raises(AssertionError, match="no POST form to /nowhere"):
        client.submit("accounts.settings", to="/nowhere")


def test_a_form_is_read_as_a_browser_would():
    page = """<form method="post" action="/a?b=1"><input type="hidden" name="t" value="1"><input type="checkbox" name="on" checked>
      <input type="checkbox" name="off"><select name="s"><option value="x"><option value="y" selected></select>
      <textarea name="text">words</textarea><button name="go" value="1"></button></form><form action="?q"></form>"""
    first, second = forms_of(page, "/here")
    assert (first.action, first.method, first.fields) == ("/a?b=1", "post", {"t": "1", "on": "on", "s": "y", "text": "words"})
    assert (second.action, second.method) == ("/here?q", "get")


def test_redis_is_real_and_empty(redis_url):
    with redis.Redis.from_url(redis_url) as connection:
        assert connection.dbsize() == 0
        connection.set("left", "behind")


def test_the_mail_server_answers_as_it_is_told(smtp):
    answers = [("rcpt", "450 4.2.1 later", smtplib.SMTPRecipientsRefused), ("data", "421 4.3.2 bye", smtplib.SMTPDataError)]
    for stage, answer, error in [
        *answers,
        ("dot", "550 5.7.1 no", smtplib.SMTPDataError),
        ("mail", "421 4.3.2 no", smtplib.SMTPSenderRefused),
    ]:
        smtp.script(stage, answer)
        with pytest.raises(error):
            _send(smtp)
    assert smtp.received == []
    _send(smtp)
    assert [mail.message["Subject"] for mail in smtp.received] == ["A subject"]
    assert smtp.recipients() == ["to@example.org"]


@pytest.mark.parametrize("answer", [DROP, HANG])
@pytest.mark.parametrize("stage", ["connect", "mail", "rcpt", "data", "dot"])
def test_the_mail_server_hangs_up_or_hangs_at_every_stage(smtp, stage, answer):
    smtp.script(stage, answer, takes_it=True)
    with pytest.raises((TimeoutError, smtplib.SMTPServerDisconnected, ConnectionError)):
        _send(smtp, patience=0.5)
    assert len(smtp.received) == (1 if stage == "dot" else 0)


def test_a_page_opens_in_the_browser(page, live_server):
    make_course()
    assert page.goto(live_server.path("catalog.landing")).status == 200


def _send(smtp: RecordingSmtp, patience: float = 10) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "from@example.org", "to@example.org", "A subject"
    mail.set_content("Words.")
    with smtplib.SMTP("127.0.0.1", smtp.port, timeout=patience) as line:
        line.send_message(mail)
