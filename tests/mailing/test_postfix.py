"""A real peer: Postfix as the relay of an owner, with TLS and a login; each class of its answers, and its own reports read back."""

import os
import shutil
import smtplib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.contacts.address import address_mac
from courseapp.contacts.consent import holds_consent
from courseapp.contacts.models import Purpose, Suppression
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing import breaker, loops
from courseapp.mailing.models import Message, Return, ReturnOutcome, State
from courseapp.mailing.refusals import Kind, kind_of
from courseapp.mailing.returning import return_path, stop_link
from tests import services
from tests.certificates import Authority
from tests.factories import make_letter
from tests.mailing.conftest import make_course_mail
from tests.mailing.returned import sample
from tests.postfix import LARGEST, Postfix, why_not
from tests.recording_smtp import RecordingSmtp

pytestmark = [pytest.mark.one_database, pytest.mark.xdist_group("postfix")]
LOGIN = "courseapp:a%20word%20with%20%40%20and%20%3A@"


@pytest.fixture(scope="module")
def far() -> Iterator[RecordingSmtp]:
    """The world behind the relay."""
    server = RecordingSmtp()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs for the relay."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def started(far: RecordingSmtp, authority: Authority) -> Iterator[Postfix]:
    """One Postfix for all tests here; its daemons are other users, so it stands where they may enter."""
    if why := why_not():
        pytest.skip(f"POSTFIX CANNOT RUN HERE: {why}")
    folder = Path(tempfile.mkdtemp(prefix=f"{services.PREFIX}{os.getpid()}-", dir="/tmp"))
    folder.chmod(0o711)
    try:
        made = Postfix(folder / "postfix", far.port, authority.certificate_for("127.0.0.1"))
        yield made
        made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def relay(started: Postfix, far: RecordingSmtp) -> Postfix:
    """The relay, of which nothing of another test is left."""
    for place in ("new", "cur"):
        for path in (started.returned / place).iterdir():
            path.unlink()
    far.received.clear()
    far._scripts.clear()
    return started


@pytest.fixture
def through(relay: Postfix, authority: Authority, with_smtp: Callable[..., Flask]) -> Callable[..., Flask]:
    """through(door, login): an application whose mail leaves by a door of the relay, and comes back to its Maildir."""

    def make(door: str = "submission", login: str = LOGIN, query: str = "", ca_file: Path | None = authority.file) -> Flask:
        returns = {"bounce_domain": "bounce.example.org", "bounces_url": f"maildir://{relay.returned}"}
        return with_smtp(smtp_url=relay.url(door, login, query), smtp_ca_file=ca_file, **returns)

    return make


def ends() -> dict[str, tuple[State, str | None]]:
    """How the mail to each address stands."""
    db.session.expire_all()
    return {str(row.contact.address): (row.state, row.reason) for row in db.session.scalars(sa.select(Message))}


def suppressed(*addresses: str) -> bool:
    """Whether these addresses, and no others, get nothing more."""
    return set(db.session.scalars(sa.select(Suppression.address_mac))) == {address_mac(address) for address in addresses}


@pytest.mark.parametrize(
    ("door", "login", "by"), [("open", "", "ESMTP"), ("submission", LOGIN, "ESMTPSA"), ("submissions", LOGIN, "ESMTPSA")]
)
def test_mail_is_accepted_at_each_door_and_arrives_whole(
    through, far: RecordingSmtp, relay: Postfix, drain, door: str, login: str, by: str
) -> None:
    through(door, login)
    for name in ("one", "two"):
        make_course_mail(f"{name}@far.example", letter=make_letter(subject="Grüße 🌿", body="Wörter\n\n.\n\nund mehr."))
    assert drain() == Counter(accepted=2)
    loops.close_door()
    wait_for(lambda: len(far.received) == 2)
    assert sorted(far.recipients()) == ["one@far.example", "two@far.example"]
    for mail in far.received:
        assert mail.message["Subject"] == "Grüße 🌿"
        assert f"with {by} " in str(mail.message["Received"])
        assert "Wörter\n\n.\n\nund mehr." in mail.message.get_body(("plain",)).get_content().replace("\r\n", "\n")
        assert not [defect for part in mail.message.walk() for defect in part.defects]
    assert ("sasl_username=courseapp" in relay.log()) or not login


def test_each_answer_is_sorted_and_none_hinders_the_next_mail(through, drain) -> None:
    through("open", "")
    for name in ("ada", "nobody", "later", "full", "bob"):
        make_course_mail(f"{name}@here.example")
    make_course_mail("refused@far.example", letter=make_letter(subject="Something forbidden"))
    make_course_mail("large@far.example", letter=make_letter(body="Many words. " * (LARGEST // 12)))
    make_course_mail("last@far.example")
    assert drain() == Counter(accepted=3, bounced=1, transient=2, permanent=2)
    found = ends()
    assert {name for name, (state, _why) in found.items() if state is State.ACCEPTED} == {
        *("ada@here.example", "bob@here.example", "last@far.example")
    }
    for name, state, begins, kind in (
        ("nobody@here.example", State.BOUNCED, "550 5.1.1 ", Kind.UNKNOWN),
        ("later@here.example", State.PENDING, "450 4.2.1 ", Kind.OTHER),
        ("full@here.example", State.PENDING, "452 4.2.2 ", Kind.FULL),
        ("refused@far.example", State.FAILED, "550 5.7.1 ", Kind.POLICY),
        ("large@far.example", State.FAILED, "552 5.3.4 ", Kind.SIZE),
    ):
        assert (found[name][0], found[name][1][:10], kind_of(found[name][1])) == (state, begins, kind)
        assert "@" not in found[name][1]
    assert suppressed("nobody@here.example")


@pytest.mark.parametrize(
    ("door", "login", "query", "why"),
    [
        ("submission", "courseapp:wrong@", "", "535, b'5.7.8"),
        ("submissions", "courseapp:wrong@", "", "535, b'5.7.8"),
        ("open", LOGIN, "", "no TLS|AUTH extension not supported"),
        ("open", "", "?tls=required", "no TLS"),
    ],
    ids=["wrong-password", "wrong-password-tls-from-the-start", "no-login-is-offered", "no-tls-is-offered"],
)
def test_what_is_wrong_with_the_sender_costs_no_mail_an_attempt(through, drain, door: str, login: str, query: str, why: str) -> None:
    app = through(door, login, query)
    message = make_course_mail("ada@here.example")
    drain()
    db.session.refresh(message)
    assert (message.state, message.attempts) == (State.PENDING, 0)
    outage = breaker.outage_of(breaker.server_of(app.config["SETTINGS"]))
    assert outage is not None
    assert any(words in outage.why for words in why.split("|"))
    assert "wrong" not in outage.why


def test_a_certificate_that_is_not_believed_lets_no_mail_out(through, drain) -> None:
    through("submission", LOGIN, ca_file=None)
    message = make_course_mail("ada@here.example")
    drain()
    db.session.refresh(message)
    assert (message.state, message.attempts) == (State.PENDING, 0)
    assert "CERTIFICATE_VERIFY_FAILED" in message.reason


def test_a_login_that_was_forgotten_is_no_address_at_fault(through, drain) -> None:
    through("submission", "")
    make_course_mail("ada@here.example")
    drain()
    state, why = ends()["ada@here.example"]
    assert state is State.FAILED
    assert why.startswith("554 5.7.1 ")
    assert suppressed()


FAR = {
    # who: (stage, what the far server says, the state in the end, what is noted, whether the address gets nothing more)
    "gone@far.example": ("rcpt", "550 5.1.1 no such user", State.BOUNCED, "bounced 5.1.1", True),
    "old@far.example": ("rcpt", "550 no such user here", State.BOUNCED, "bounced 5.0.0", True),
    "grüße@far.example": ("rcpt", "550 5.1.1 no such user", State.BOUNCED, "bounced 5.1.1", True),
    "policy@far.example": ("dot", "554 5.7.1 we do not like this", State.BOUNCED, "soft 5.7.1", False),
    "spam@far.example": ("rcpt", "550 blocked as spam", State.BOUNCED, "soft 5.0.0", False),
    "quota@far.example": ("rcpt", "552 5.2.2 the mailbox is full", State.BOUNCED, "soft 5.2.2", False),
    "slow@far.example": ("rcpt", "450 4.2.0 come back later", State.BOUNCED, "soft 4.2.0", False),
    "ada@down.example": ("", "", State.BOUNCED, "soft 4.4.1", False),
    "large@far.example": ("rcpt", "550 5.1.1 no such user", State.BOUNCED, "bounced 5.1.1", True),
    "well@far.example": ("", "", State.ACCEPTED, None, False),
}
LATE = ("slow@far.example", "ada@down.example")


def test_its_own_reports_are_read_matched_and_followed(through, relay: Postfix, far: RecordingSmtp, drain) -> None:
    through()
    for address, (stage, answer, *_rest) in FAR.items():
        if stage:
            far.script(stage, answer, times=None, to=address)
        # what is large comes back as its headers alone
        make_course_mail(address, letter=make_letter(body="Many words. " * (3500 if address.startswith("large") else 1)))
    assert drain() == Counter(accepted=len(FAR))
    relay.wait_for_returned(len(FAR) - 1)  # of what is late a warning comes first
    read = loops.read_returned(clock.now)
    assert read["delayed"] == len(LATE)
    assert {address for address, (_state, why) in ends().items() if (why or "").startswith("delayed 4.")} == set(LATE)
    relay.wait_for_returned(len(LATE))
    loops.read_returned(clock.now)
    assert ends() == {address: (state, why) for address, (_stage, _answer, state, why, _gone) in FAR.items()}
    assert suppressed(*(address for address, (*_rest, is_gone) in FAR.items() if is_gone))
    assert set(db.session.scalars(sa.select(Return.outcome))) == {ReturnOutcome.APPLIED}
    assert Counter(db.session.scalars(sa.select(Event.type)))["mail_bounced"] == len(FAR) - 1
    assert list((relay.returned / "new").iterdir()) == []


def test_a_forged_return_address_comes_through_the_relay_and_is_refused(through, relay: Postfix, far: RecordingSmtp, drain) -> None:
    through()
    message = make_course_mail("ada@far.example")
    drain()
    own, guessed = return_path(message.public_id), f"<{message.public_id}.00000000@example.org>"
    name, _at, domain = own.partition("@")
    forged = f"{name[:-1]}{'1' if name.endswith('0') else '0'}@{domain}"
    from_outside(relay, forged, sample("postfix-failed", forged, message.message_id))
    from_outside(relay, "bounces@bounce.example.org", sample("postfix-failed", "us@example.org", guessed))
    relay.wait_for_returned(2)
    loops.read_returned(clock.now)
    assert list(db.session.scalars(sa.select(Return.outcome))) == [ReturnOutcome.FORGED] * 2
    assert ends()["ada@far.example"][0] is State.ACCEPTED
    assert suppressed()
    from_outside(relay, own, sample("postfix-failed", own, message.message_id))  # and the right one is believed
    relay.wait_for_returned(1)
    loops.read_returned(clock.now)
    assert ends()["ada@far.example"][0] is State.BOUNCED


def test_a_mail_that_asks_to_stop_comes_through_the_relay(through, relay: Postfix) -> None:
    through()
    contact = make_course_mail("ada@far.example").contact
    to = stop_link(contact.public_id, Purpose.COURSE).removeprefix("mailto:").partition("?")[0]
    from_outside(relay, to, f"From: ada@far.example\r\nTo: {to}\r\nSubject: stop\r\n\r\n".encode())
    relay.wait_for_returned(1)
    loops.read_returned(clock.now)
    assert not holds_consent(contact, Purpose.COURSE)


def from_outside(relay: Postfix, to: str, content: bytes) -> None:
    """A mail arrives from somewhere, as anybody may send it."""
    with smtplib.SMTP("127.0.0.1", relay.ports["open"], timeout=10) as server:
        server.sendmail("", [to], content)


def wait_for(holds: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait until Postfix has done what it does behind our back."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
