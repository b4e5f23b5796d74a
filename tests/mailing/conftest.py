"""What the tests of mailing share: mail that may go, an application with a mail server, a clean door."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from courseapp import clock
from courseapp.contacts.models import Contact, Purpose
from courseapp.extensions import db
from courseapp.mailing import loops
from courseapp.mailing.models import Message
from tests.factories import make_consent, make_contact, make_message
from tests.recording_smtp import RecordingSmtp


@pytest.fixture(autouse=True)
def clean_door() -> Iterator[None]:
    """No test finds another's connection, or its rest after trouble."""
    loops.close_door()
    loops.stopping.clear()
    yield
    loops.close_door()
    loops.stopping.clear()


@pytest.fixture
def with_smtp(app: Flask, make_app: Callable[..., Flask], smtp: RecordingSmtp) -> Iterator[Callable[..., Flask]]:
    """with_smtp(**settings): an application on the test's database whose mail goes to the recording server, its context pushed."""
    contexts = []

    def make(**settings: Any) -> Flask:
        made = make_app(**{"smtp_url": smtp.url, **settings})
        context = made.app_context()
        context.push()
        contexts.append(context)
        return made

    yield make
    for context in reversed(contexts):
        db.session.remove()
        context.pop()


@pytest.fixture
def drain(app: Flask) -> Callable[..., Counter[str]]:
    """drain(): send what is due, as a worker would; how the messages ended."""

    def run(**more: Any) -> Counter[str]:
        db.session.commit()
        return loops.drain(clock.now, **more)

    return run


def make_course_mail(address: str | None = None, contact: Contact | None = None, **kw: Any) -> Message:
    """A mail of the course stream, to somebody who asked for it."""
    contact = contact or make_contact(address)
    make_consent(contact, Purpose.COURSE)
    return make_message(contact, stream="course", **kw)


def make_sign_in_mail(address: str | None = None, contact: Contact | None = None, **kw: Any) -> Message:
    """A sign-in mail, with a link and a code."""
    fields = {"secret_url": "http://127.0.0.1/sign-in/link/canary-token", "secret_code": "123456"}
    return make_message(
        contact or make_contact(address, confirmed=False), **{"stream": "sign-in", "template": "accounts/sign_in", "fields": fields, **kw}
    )
