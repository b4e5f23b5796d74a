"""What providers tell of mail: believed with the right signature or password alone, once for each event, and before its row too."""

import hmac
import json
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, request_finished
from hypothesis import given, settings
from hypothesis import strategies as st

from courseapp.contacts.address import address_mac
from courseapp.contacts.consent import holds_consent
from courseapp.contacts.models import Consent, ConsentAction, Purpose, Suppression
from courseapp.extensions import db, limiter
from courseapp.journal.models import Event
from courseapp.mailing import mailgun, postmark, ses
from courseapp.mailing.bounces import try_again
from courseapp.mailing.models import Message, Return, ReturnKind, ReturnOutcome, State
from courseapp.mailing.returning import return_mark, return_path
from tests.client import Client
from tests.conftest import NOW
from tests.factories import make_consent, make_contact, make_message
from tests.mailing.amazon import CERTIFICATE, HOST, TOPIC, AmazonsHost, certificate_of, posted, told_of
from tests.rows import all_rows, changed_tables

SECRET = "a password of the tests"
SIGNING_KEY = "0123456789abcdef0123456789abcdef"
pytestmark = pytest.mark.settings(
    ses_topic=TOPIC, postmark_secret=SECRET, mailgun_signing_key=SIGNING_KEY, bounce_domain="bounce.example.org"
)


@pytest.fixture
def amazon(app: Flask) -> None:
    """The certificate, as if it had been fetched."""
    app.extensions["sns_certificates"] = {CERTIFICATE: certificate_of()}


def sent(state: State = State.ACCEPTED, address: str = "ada@example.org") -> Message:
    """A mail that left."""
    message = make_message(make_contact(address), state=state, settled_at=NOW)
    message.message_id = f"<{message.public_id}.0a0a0a0a@example.org>"
    db.session.commit()
    return message


def from_amazon(client: Client, content: bytes) -> int:
    """SNS posts; the status it is answered with."""
    return client.application.test_client().post("/webhooks/ses", data=content, content_type="text/plain; charset=UTF-8").status_code


def from_postmark(client: Client, said: Any, password: str | None = SECRET) -> int:
    """Postmark posts; the status it is answered with."""
    headers = {"Authorization": f"Basic {b64encode(f'any:{password}'.encode()).decode()}"} if password is not None else {}
    content = said if isinstance(said, bytes) else json.dumps(said).encode()
    answer = client.application.test_client().post("/webhooks/postmark", data=content, content_type="application/json", headers=headers)
    return answer.status_code


def from_mailgun(client: Client, said: Any) -> int:
    """Mailgun posts; the status it is answered with."""
    content = said if isinstance(said, bytes) else json.dumps(said).encode()
    answer = client.application.test_client().post("/webhooks/mailgun", data=content, content_type="application/json")
    return answer.status_code


def suppressed() -> list[str]:
    """The hashes of suppressed addresses."""
    return list(db.session.scalars(sa.select(Suppression.address_mac)))


# Amazon


@pytest.mark.usefixtures("amazon")
@pytest.mark.parametrize("key", ["notificationType", "eventType"])
@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    ("name", "facts", "state", "suppresses"),
    [
        ("Bounce", {}, State.BOUNCED, True),
        ("Bounce", {"bounceType": "Transient"}, State.BOUNCED, False),
        ("Bounce", {"bounceType": "Undetermined"}, State.BOUNCED, False),
        ("Complaint", {}, State.COMPLAINED, True),
        ("Complaint", {"complaintFeedbackType": "not-spam"}, State.ACCEPTED, False),
        ("Delivery", {}, State.DELIVERED, False),
        ("DeliveryDelay", {}, State.ACCEPTED, False),
    ],
)
def test_what_amazon_tells_is_done(
    client: Client, name: str, facts: dict[str, str], state: State, suppresses: bool, version: str, key: str
) -> None:
    message = sent()
    event = told_of(message, return_path(message.public_id), name, key, **facts)
    assert from_amazon(client, posted(event, version=version)) == 200
    db.session.refresh(message)
    assert message.state is state
    assert suppressed() == [address_mac("ada@example.org")] * suppresses


@pytest.mark.usefixtures("amazon")
def test_amazon_names_the_message_by_what_we_called_it_where_the_return_path_is_not_ours(client: Client) -> None:
    message = sent()
    assert from_amazon(client, posted(told_of(message, "us@example.org"))) == 200
    db.session.refresh(message)
    assert message.state is State.BOUNCED


@pytest.mark.usefixtures("amazon")
def test_the_same_event_twice_changes_nothing(client: Client) -> None:
    message = sent()
    content = posted(told_of(message, return_path(message.public_id)))
    assert [from_amazon(client, content) for _ in range(3)] == [200, 200, 200]
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Return)) == 1
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Event)) == 1


@pytest.mark.usefixtures("amazon")
def test_an_event_before_its_mail_is_noted_as_sent_is_kept_and_tried_again(client: Client) -> None:
    message = sent(State.SUBMITTING)
    assert from_amazon(client, posted(told_of(message, return_path(message.public_id)))) == 200
    message.state = State.ACCEPTED
    db.session.commit()
    assert try_again(NOW + timedelta(minutes=5), 10) == 1
    db.session.commit()
    db.session.refresh(message)
    assert message.state is State.BOUNCED


@pytest.mark.usefixtures("amazon")
@pytest.mark.parametrize(
    "change",
    [
        {"number": 1},  # another key
        {"forged": {"Message": "{}"}},
        {"forged": {"MessageId": "another"}},
        {"forged": {"Signature": ""}},
        {"forged": {"Signature": "%%%"}},
        {"forged": {"Signature": None}},
        {"forged": {"SignatureVersion": "2"}},
        {"forged": {"SignatureVersion": "3"}},
        {"forged": {"Type": "UnsubscribeConfirmation"}},
        {"forged": {"Type": "Invented"}},
        {"forged": {"Subject": "put in afterwards"}},
        {"TopicArn": "arn:aws:sns:eu-central-1:999999999999:somebody-elses"},
        {"Timestamp": "2026-10-20T09:00:00.000Z"},
        {"Timestamp": "2026-11-03T09:00:00.000Z"},
        {"Timestamp": "2026-11-02T09:00:00"},
        {"Timestamp": "lately"},
        {"SigningCertURL": CERTIFICATE.replace("https", "http")},
        {"SigningCertURL": CERTIFICATE.replace(HOST, "sns.eu-central-1.amazonaws.com.evil.example")},
        {"SigningCertURL": CERTIFICATE.replace(HOST, "evil.example")},
        {"SigningCertURL": CERTIFICATE.replace(HOST, f"{HOST}@evil.example")},
        {"SigningCertURL": CERTIFICATE.replace(HOST, f"{HOST}:8443")},
        {"SigningCertURL": CERTIFICATE.replace(HOST, "sns.us-east-1.amazonaws.com")},
        {"SigningCertURL": CERTIFICATE.replace(HOST, "bucket.s3.amazonaws.com")},
        {"SigningCertURL": f"https://{HOST}/?Action=Other&x=.pem"},
        {"SigningCertURL": f"https://{HOST}/../SimpleNotificationService-00.pem"},
        {"SigningCertURL": "https://[broken"},
    ],
    ids=str,
)
def test_what_is_not_signed_by_amazon_for_us_is_refused_and_nobody_is_asked(
    client: Client, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    message = sent()
    before = all_rows()

    def no_network(*_: Any, **__: Any) -> None:
        pytest.fail("somebody outside was asked")

    content = posted(told_of(message, return_path(message.public_id)), **change)
    with monkeypatch.context() as patch:
        patch.setattr(socket, "create_connection", no_network)
        assert from_amazon(client, content) == 400
    assert changed_tables(before, all_rows()) == []


@pytest.mark.one_database
@pytest.mark.parametrize("days", [1, 200])
def test_a_certificate_out_of_its_time_is_refused(client: Client, app: Flask, days: int) -> None:
    app.extensions["sns_certificates"] = {CERTIFICATE: certificate_of(days=days)}
    assert from_amazon(client, posted(told_of(sent(), "us@example.org"))) == 400


@pytest.mark.one_database
@pytest.mark.parametrize("pem", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(client: Client, app: Flask, pem: bytes) -> None:
    app.extensions["sns_certificates"] = {CERTIFICATE: pem}
    assert from_amazon(client, posted(told_of(sent(), "us@example.org"))) == 400


@pytest.mark.usefixtures("amazon")
@pytest.mark.one_database
@pytest.mark.parametrize(
    "message",
    [
        "Successfully validated SNS topic for Amazon SES event publishing.",
        "[" * 100_000,
        {"notificationType": "Received"},
        {"notificationType": ["Bounce"]},
        {"notificationType": "Bounce"},
        {"notificationType": "Bounce", "bounce": 7, "mail": [{"headers": 7}]},
        {"notificationType": "Bounce", "bounce": {"bouncedRecipients": [7, {"status": 7}]}, "mail": {"headers": [7, {"name": 7}]}},
        [1, 2],
    ],
    ids=lambda message: str(message)[:60],
)
def test_other_words_of_amazon_are_heard_and_change_nothing(client: Client, message: Any) -> None:
    assert from_amazon(client, posted(message)) == 200
    assert db.session.scalars(sa.select(Return)).one().outcome in {ReturnOutcome.IGNORED, ReturnOutcome.UNMATCHED}


@pytest.mark.one_database
@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff", b'{"Type": 7}', b"[" * 100_000, b'{"TopicArn": "%s"}' % TOPIC.encode()])
def test_what_is_no_call_of_amazons_is_refused(client: Client, content: bytes) -> None:
    assert from_amazon(client, content) == 400


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AmazonsHost]:
    """Amazon's host, on loopback: names lead there, and its certificate is trusted."""
    server = AmazonsHost(tmp_path)
    connect: Callable[..., socket.socket] = socket.create_connection

    def to_loopback(_address: Any, *more: Any, **named: Any) -> socket.socket:
        return connect(("127.0.0.1", server.port), *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr(socket, "create_connection", to_loopback)
        patch.setenv("SSL_CERT_FILE", str(server.trusted))
        yield server
    server.stop()


@pytest.mark.one_database
def test_the_certificate_is_fetched_once_from_amazons_host(client: Client, host: AmazonsHost) -> None:
    message = sent()
    for number in range(3):
        assert from_amazon(client, posted(told_of(message, return_path(message.public_id)), MessageId=str(number))) == 200
    assert host.asked == [CERTIFICATE.removeprefix("https://")]


@pytest.mark.one_database
@pytest.mark.parametrize("status", [302, 404, 500])
def test_where_amazon_does_not_answer_it_is_to_call_again(client: Client, host: AmazonsHost, status: int) -> None:
    host.status = status
    assert from_amazon(client, posted(told_of(sent(), "us@example.org"))) == 503
    assert len(host.asked) == 1  # and led nowhere else
    host.status = 200
    assert from_amazon(client, posted(told_of(sent_again(), "us@example.org"))) == 200


def sent_again() -> Message:
    return db.session.scalars(sa.select(Message)).one()


@pytest.mark.one_database
def test_a_host_without_a_trusted_certificate_is_not_believed(
    client: Client, host: AmazonsHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "none.pem").write_bytes(certificate_of(2))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    assert from_amazon(client, posted(told_of(sent(), "us@example.org"))) == 503
    assert host.asked == []


@pytest.mark.one_database
def test_the_question_whether_we_want_to_be_told_is_answered_at_amazon_alone(client: Client, host: AmazonsHost) -> None:
    own = f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=abc"
    asks = {"Type": "SubscriptionConfirmation", "Token": "abc"}
    assert from_amazon(client, posted("You have chosen …", SubscribeURL=own, **asks)) == 200
    assert host.asked[-1] == own.removeprefix("https://")
    count = len(host.asked)
    assert from_amazon(client, posted("You have chosen …", SubscribeURL="https://evil.example/", **asks)) == 400
    assert from_amazon(client, posted("You have chosen …", **asks)) == 400
    assert from_amazon(client, posted("Gone.", Type="UnsubscribeConfirmation", Token="abc", SubscribeURL=own)) == 200
    assert len(host.asked) == count
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Return)) == 0


# Postmark


def event_of(message: Message, record: str = "Bounce", kind: str = "HardBounce", **facts: Any) -> dict[str, Any]:
    """What Postmark posts."""
    said = {
        "RecordType": record,
        "ID": 42,
        "Type": kind,
        "TypeCode": 1,
        "MessageID": "00000000-0000-0000-0000-000000000000",
        "Metadata": {"message": return_mark(message.public_id)},
        "Details": "smtp;550 5.1.1 unknown",
        "Email": "ada@example.org",
        "Inactive": True,
        **facts,
    }
    if record == "Delivery":
        del said["ID"], said["Type"], said["Email"]
        said |= {"Recipient": "ada@example.org", "DeliveredAt": "2026-11-02T09:00:01Z", "Details": "250 taken"}
    return said


@pytest.mark.parametrize(
    ("record", "kind", "state", "suppresses"),
    [
        ("Bounce", "HardBounce", State.BOUNCED, True),
        ("Bounce", "BadEmailAddress", State.BOUNCED, True),
        ("Bounce", "SoftBounce", State.BOUNCED, False),
        ("Bounce", "Blocked", State.BOUNCED, False),
        ("Bounce", "Transient", State.ACCEPTED, False),
        ("Bounce", "AutoResponder", State.ACCEPTED, False),
        ("SpamComplaint", "SpamComplaint", State.COMPLAINED, True),
        ("Delivery", "", State.DELIVERED, False),
        ("Open", "", State.ACCEPTED, False),
        ("SubscriptionChange", "", State.ACCEPTED, False),
    ],
)
def test_what_postmark_tells_is_done_once(client: Client, record: str, kind: str, state: State, suppresses: bool) -> None:
    message = sent()
    for _ in range(2):
        assert from_postmark(client, event_of(message, record, kind)) == 200
    db.session.refresh(message)
    assert message.state is state
    assert suppressed() == [address_mac("ada@example.org")] * suppresses
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Return)) == 1


def test_two_events_of_postmark_are_two(client: Client) -> None:
    message = sent()
    assert from_postmark(client, event_of(message, "Delivery")) == 200
    assert from_postmark(client, event_of(message, "SpamComplaint", "SpamComplaint")) == 200
    db.session.refresh(message)
    assert message.state is State.COMPLAINED


@pytest.mark.parametrize("password", [None, "", "a password of the test", SECRET + "x", "pässwörd"])
def test_without_the_password_nothing_is_heard(client: Client, password: str | None) -> None:
    message = sent()
    before = all_rows()
    assert from_postmark(client, event_of(message), password) == 403
    assert changed_tables(before, all_rows()) == []


def test_a_forged_mark_is_refused(client: Client) -> None:
    message = sent()
    assert from_postmark(client, event_of(message, Metadata={"message": f"b-{message.public_id}-{'0' * 20}"})) == 200
    assert db.session.scalars(sa.select(Return)).one().outcome is ReturnOutcome.FORGED
    assert suppressed() == []


@pytest.mark.one_database
@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"RecordType": 7}'])
def test_what_is_no_event_is_refused(client: Client, content: bytes) -> None:
    assert from_postmark(client, content) == 400


@pytest.mark.one_database
@pytest.mark.parametrize("metadata", [None, [], "x", {"message": 7}, {}])
def test_an_event_without_our_mark_is_about_no_message_of_ours(client: Client, metadata: Any) -> None:
    assert from_postmark(client, event_of(sent(), Metadata=metadata)) == 200
    assert db.session.scalars(sa.select(Return)).one().outcome is ReturnOutcome.UNMATCHED


# Mailgun


def signature_of(number: int = 0, at: datetime | str = NOW, key: str = SIGNING_KEY, **forged: Any) -> dict[str, Any]:
    """What Mailgun signs a call with; each number is a token of its own."""
    moment, token = at if isinstance(at, str) else str(int(at.timestamp())), f"{number:050x}"
    signature = hmac.new(key.encode(), f"{moment}{token}".encode(), "sha256").hexdigest()
    return {"timestamp": moment, "token": token, "signature": signature, **forged}


def told_by_mailgun(message: Message, name: str = "failed", number: int = 0, /, **facts: Any) -> dict[str, Any]:
    """What Mailgun posts."""
    event = {
        "id": "G9Bn5sl1TC6nu79C8C0bwg",
        "event": name,
        "timestamp": 1793610000.375624,
        "message": {"headers": {"to": "ada@example.org", "message-id": message.message_id.strip("<>"), "subject": "Hello"}},
        "recipient": "ada@example.org",
        "user-variables": {"message": return_mark(message.public_id)},
        **facts,
    }
    return {"signature": signature_of(number), "event-data": event}


GONE = {"code": 550, "message": "5.1.1 The email account that you tried to reach does not exist.", "description": ""}
GONE_SAYS_A_REPORT = {"code": 550, "bounce-code": "5.0.0", "message": "smtp; 550 Address unknown"}
SPAM = {"code": 550, "enhanced-code": "5.7.1", "message": "5.7.1 Message rejected as spam"}
FULL = {"code": 552, "message": "5.2.2 The mailbox is full"}
LISTED = {"code": 605, "message": "", "description": "Not delivering to previously bounced address"}
LATER = {"code": 450, "enhanced-code": "4.2.0", "message": "4.2.0 Try again later", "retry-seconds": 600}


def for_good(reason: str, status: Any = GONE) -> dict[str, Any]:
    return {"severity": "permanent", "reason": reason, "delivery-status": status}


def for_now(reason: str, status: Any = LATER) -> dict[str, Any]:
    return {"severity": "temporary", "reason": reason, "delivery-status": status}


@pytest.mark.parametrize(
    ("name", "facts", "state", "reason", "suppresses"),
    [
        ("failed", for_good("bounce"), State.BOUNCED, "bounced 5.1.1", True),
        ("failed", for_good("bounce", {}), State.BOUNCED, "bounced", True),
        ("failed", for_good("generic"), State.BOUNCED, "bounced 5.1.1", True),
        ("failed", for_good("generic", GONE_SAYS_A_REPORT), State.BOUNCED, "bounced 5.0.0", True),
        ("failed", for_good("generic", SPAM), State.BOUNCED, "soft 5.7.1", False),
        ("failed", for_good("generic", FULL), State.BOUNCED, "soft 5.2.2", False),
        ("failed", for_good("espblock", {"code": 550, "message": "blocked"}), State.BOUNCED, "soft 5.0.0", False),
        ("failed", for_good("suppress-bounce", LISTED), State.BOUNCED, "soft", False),
        ("failed", for_good("suppress-bounce"), State.BOUNCED, "soft 5.1.1", False),
        ("failed", for_good("suppress-complaint", LISTED), State.BOUNCED, "soft", False),
        ("failed", for_good("suppress-unsubscribe", LISTED), State.BOUNCED, "soft", False),
        ("failed", for_good("old"), State.BOUNCED, "soft 5.1.1", False),
        ("failed", for_now("old", {"code": 602, "message": "Too old"}), State.BOUNCED, "soft", False),
        ("failed", for_now("generic"), State.ACCEPTED, "delayed 4.2.0", False),
        ("failed", for_now("bounce", GONE), State.ACCEPTED, "delayed 5.1.1", False),
        ("failed", {"delivery-status": GONE}, State.BOUNCED, "soft 5.1.1", False),
        ("rejected", {"reject": {"reason": "Sandbox"}, "recipient": ""}, State.BOUNCED, "soft", False),
        ("complained", {}, State.COMPLAINED, "complained", True),
        ("delivered", {"delivery-status": {"code": 250, "message": "OK"}}, State.DELIVERED, None, False),
        ("opened", {}, State.ACCEPTED, None, False),
        ("clicked", {"url": "https://learn.example"}, State.ACCEPTED, None, False),
        ("accepted", {}, State.ACCEPTED, None, False),
        ("invented", for_good("bounce"), State.ACCEPTED, None, False),
    ],
)
def test_what_mailgun_tells_is_done_once(
    client: Client, name: str, facts: dict[str, Any], state: State, reason: str | None, suppresses: bool
) -> None:
    message = sent()
    for _ in range(2):
        assert from_mailgun(client, told_by_mailgun(message, name, **facts)) == 200
    db.session.refresh(message)
    assert (message.state, message.reason) == (state, reason)
    assert suppressed() == [address_mac("ada@example.org")] * suppresses
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Return)) == 1


def test_an_event_that_mailgun_signs_anew_is_told_once(client: Client) -> None:
    message = sent()
    for number in range(2):
        assert from_mailgun(client, told_by_mailgun(message, "failed", number, **for_good("bounce"))) == 200
    assert set(db.session.scalars(sa.select(Return.outcome))) == {ReturnOutcome.APPLIED, ReturnOutcome.REPEATED}
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Event)) == 1


def test_a_signature_counts_for_one_event_whatever_else_is_sent_with_it(client: Client) -> None:
    message, other = sent(), sent(address="bea@example.org")
    assert from_mailgun(client, told_by_mailgun(message, "delivered")) == 200
    before = all_rows()
    again = told_by_mailgun(message, "complained", id="another")
    about_another = told_by_mailgun(other, **for_good("bounce"))
    assert [from_mailgun(client, again), from_mailgun(client, about_another)] == [200, 200]
    assert changed_tables(before, all_rows()) == []


def test_mailgun_names_the_message_by_what_we_called_it_where_the_mark_is_lost(client: Client) -> None:
    message = sent()
    assert from_mailgun(client, told_by_mailgun(message, **for_good("bounce"), **{"user-variables": {}})) == 200
    db.session.refresh(message)
    assert message.state is State.BOUNCED


def test_what_mailgun_tells_before_its_mail_is_noted_as_sent_is_kept_and_tried_again(client: Client) -> None:
    message = sent(State.SUBMITTING)
    assert from_mailgun(client, told_by_mailgun(message, **for_good("bounce"))) == 200
    message.state = State.ACCEPTED
    db.session.commit()
    assert try_again(NOW + timedelta(minutes=5), 10) == 1
    db.session.commit()
    db.session.refresh(message)
    assert message.state is State.BOUNCED
    assert suppressed() == [address_mac("ada@example.org")]


@pytest.mark.parametrize("stream", ["course", "marketing", "service"])
def test_a_link_of_mailguns_own_withdraws_what_its_mail_was_sent_for(client: Client, stream: str) -> None:
    contact = make_contact("ada@example.org")
    for purpose in (Purpose.COURSE, Purpose.MARKETING):
        make_consent(contact, purpose, action=ConsentAction.GIVEN)
    message = make_message(contact, stream=stream, state=State.DELIVERED, settled_at=NOW)
    db.session.commit()
    for _ in range(2):
        assert from_mailgun(client, told_by_mailgun(message, "unsubscribed")) == 200
    withdrawn = db.session.scalars(sa.select(Consent).where(Consent.action == ConsentAction.WITHDRAWN)).all()
    stopped = [] if message.stream.purpose is Purpose.SERVICE else [message.stream.purpose]
    assert [(row.purpose, row.source) for row in withdrawn] == [(purpose, "unsubscribe") for purpose in stopped]
    assert [purpose for purpose in (Purpose.COURSE, Purpose.MARKETING) if not holds_consent(contact, purpose)] == stopped


@pytest.mark.parametrize(
    "signature",
    [
        {},
        signature_of(key=SIGNING_KEY + "x"),
        signature_of(signature=""),
        signature_of(signature=None),
        signature_of(signature=signature_of()["signature"].upper()),
        signature_of(signature="ä" * 64),
        signature_of(signature=["x"]),
        signature_of(token=signature_of(1)["token"]),
        signature_of(token=None),
        signature_of(token="\ud800"),
        signature_of(timestamp=str(int(NOW.timestamp()) + 1)),
        signature_of(timestamp=int(NOW.timestamp())),
        signature_of(timestamp={"x": []}),
        signature_of(timestamp=signature_of()["timestamp"] + "0", token=signature_of()["token"][1:]),  # signed, but cut elsewhere
        signature_of(timestamp=signature_of()["timestamp"][:-1], token="0" + signature_of()["token"]),
        signature_of(at=NOW - timedelta(hours=12, seconds=1)),
        signature_of(at=NOW + timedelta(hours=1, minutes=1)),
        signature_of(at=datetime.fromtimestamp(999_999_999, UTC)),
        signature_of(at="lately"),
        signature_of(at=str(int(NOW.timestamp())).replace("0", "\uff10")),
        signature_of(at="9" * 500),
        signature_of(at=""),
    ],
    ids=str,
)
def test_what_mailgun_has_not_signed_lately_is_refused(client: Client, signature: dict[str, Any]) -> None:
    message = sent()
    before = all_rows()
    assert from_mailgun(client, {**told_by_mailgun(message, **for_good("bounce")), "signature": signature}) == 403
    assert changed_tables(before, all_rows()) == []


@pytest.mark.one_database
@pytest.mark.parametrize("late", [timedelta(hours=11, minutes=59), timedelta(hours=8), timedelta(0), -timedelta(hours=1)])
def test_mailgun_may_call_again_for_as_long_as_it_does(client: Client, late: timedelta) -> None:
    message = sent()
    assert from_mailgun(client, {**told_by_mailgun(message, "delivered"), "signature": signature_of(at=NOW - late)}) == 200
    db.session.refresh(message)
    assert message.state is State.DELIVERED


def test_a_forged_mark_in_what_mailgun_tells_is_refused(client: Client) -> None:
    message = sent()
    for number, name in enumerate(("complained", "unsubscribed")):
        forged = {"user-variables": {"message": f"b-{message.public_id}-{'0' * 20}"}}
        assert from_mailgun(client, told_by_mailgun(message, name, number, **forged)) == 200
    assert set(db.session.scalars(sa.select(Return.outcome))) == {ReturnOutcome.FORGED}
    assert suppressed() == []


@pytest.mark.one_database
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"event-data": ' * 10_000,
        b'{"signature": {}}',
        b'{"event-data": {}}',
        b'{"signature": [], "event-data": {}}',
        b'{"signature": {}, "event-data": "x"}',
        b"timestamp=1&token=x&signature=y&event=delivered",
    ],
    ids=lambda content: str(content[:40]),
)
def test_what_is_no_call_of_mailguns_is_refused(client: Client, content: bytes) -> None:
    assert from_mailgun(client, content) == 400


@pytest.mark.one_database
@pytest.mark.parametrize(
    "facts",
    [
        {"event": None},
        {"event": ["failed"]},
        {"event": {}},
        {"user-variables": None, "message": None},
        {"user-variables": [], "message": []},
        {"user-variables": {"message": 7}, "message": {"headers": 7}},
        {"user-variables": {"message": {}}, "message": {"headers": {"message-id": []}}},
        {"user-variables": {}, "message": {}, "recipient": 7, "delivery-status": [], "severity": [], "reason": {}},
        {"user-variables": {}, "message": {}, "delivery-status": {"code": [], "message": {}, "enhanced-code": 7}},
        {"user-variables": {}, "message": {}, "delivery-status": {"code": True}, "recipient": None},
    ],
    ids=str,
)
def test_what_mailgun_tells_of_no_message_of_ours_changes_nothing(client: Client, facts: dict[str, Any]) -> None:
    assert from_mailgun(client, told_by_mailgun(sent(), **{**for_good("bounce"), **facts})) == 200
    assert db.session.scalars(sa.select(Return)).one().outcome in {ReturnOutcome.IGNORED, ReturnOutcome.UNMATCHED}


@pytest.mark.one_database
def test_the_log_says_why_mailgun_was_not_believed_and_no_more(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    said = told_by_mailgun(sent(), **for_good("bounce"))
    assert from_mailgun(client, {**said, "signature": signature_of(signature="wrong")}) == 403
    assert from_mailgun(client, {**said, "signature": signature_of(at=NOW - timedelta(days=1))}) == 403
    logged = "".join(capsys.readouterr())
    assert "the signature is wrong" in logged
    assert "too old" in logged
    assert SIGNING_KEY not in logged
    assert "ada@example.org" not in logged


# All of them


@pytest.mark.usefixtures("amazon")
@pytest.mark.parametrize("word", ["\0", "\ud800", "\u0000@\udfff"])
def test_signs_that_no_database_takes_do_no_harm(client: Client, word: str) -> None:
    message = sent()
    recipients = [{"emailAddress": f"a{word}@example.org", "status": f"5.1.1{word}"}]
    event = told_of(message, return_path(message.public_id), bouncedRecipients=recipients)
    event["mail"]["headers"][1]["value"] = f"<{message.public_id}.0a0a0a0a@{word}>"
    assert from_amazon(client, posted(event)) == 200
    assert from_amazon(client, posted(event, forged={"MessageId": word})) == 400
    assert from_postmark(client, event_of(message, Email=f"a{word}@example.org", Details=word, MessageID=word)) == 200
    strange = {"recipient": f"a{word}@example.org", "delivery-status": {"message": word}, "message": {"headers": {"message-id": word}}}
    assert from_mailgun(client, told_by_mailgun(message, **{**for_good("bounce"), **strange})) == 200
    db.session.refresh(message)
    assert message.state is State.BOUNCED


@pytest.mark.one_database
@pytest.mark.settings(ses_topic=TOPIC, postmark_secret=SECRET, mailgun_signing_key=SIGNING_KEY, rate_limits=True)
def test_calls_are_bounded(client: Client, app: Flask) -> None:
    asked: list[Any] = []

    def note(_app: Flask, **_: Any) -> None:
        asked.append(limiter.current_limit)

    for path in ("/webhooks/ses", "/webhooks/postmark", "/webhooks/mailgun"):
        with request_finished.connected_to(note, app):
            assert client.post(path, data=b"x").status_code in {400, 403}
        limit = asked[-1]
        limiter.limiter.hit(limit.limit, *limit.request_args, cost=limit.limit.amount - 1)  # as if it had been called so often
        assert client.post(path, data=b"x").status_code == 429


@pytest.mark.one_database
@pytest.mark.settings
def test_without_their_settings_they_are_closed(client: Client) -> None:
    assert from_amazon(client, posted("x")) == 404
    assert from_postmark(client, b"{}") == 404
    assert from_mailgun(client, b"{}") == 404


words = st.sampled_from(["Bounce", "Complaint", "Delivery", "HardBounce", "not-spam", "failed", "permanent", "550 5.1.1", "x"])
json_values = st.recursive(
    words | st.none() | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=5,
)
names = st.sampled_from(
    ["mail", "bounce", "complaint", "delivery", "notificationType", "RecordType", "Metadata", "Type", "Email", "Details"]
)
mailguns_names = st.sampled_from(["event", "severity", "reason", "delivery-status", "message", "user-variables", "recipient"])


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(names | mailguns_names, json_values, max_size=8))
def test_whatever_stands_in_an_event_is_read_without_a_failure(said: dict[str, Any]) -> None:
    assert ses.report_of({"Message": json.dumps(said)}).kind in ReturnKind
    found = postmark.report_of(json.dumps(said).encode())
    assert found is None or found[1].kind in ReturnKind
    assert mailgun.report_of(said).kind in ReturnKind
