"""Reading the mailbox in which mail comes back: nothing is removed before its commit, nothing is read for ever, people's mail stays."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.config import Settings, load_settings
from courseapp.extensions import db
from courseapp.mailing import bounces, loops
from courseapp.mailing.mailboxes import MailboxAway, mailbox_of
from courseapp.mailing.models import Message, Return, State
from courseapp.mailing.reports import MOST_BYTES
from courseapp.mailing.returning import return_path
from tests.certificates import Authority
from tests.conftest import NOW, SECRET
from tests.factories import make_contact, make_message
from tests.imap import ImapServer
from tests.mailing.returned import sample

USER, PASSWORD = "bounces@example.org", 'se"cret/%'


@pytest.fixture
def imap() -> Iterator[ImapServer]:
    """A server with an empty folder."""
    server = ImapServer(USER, PASSWORD)
    yield server
    server.stop()


@pytest.fixture
def maildir(tmp_path: Path) -> Path:
    """An empty Maildir."""
    for name in ("new", "cur", "tmp"):
        (tmp_path / "mail" / name).mkdir(parents=True)
    return tmp_path / "mail"


@pytest.fixture
def reading(app: Flask, make_app: Callable[..., Flask]) -> Iterator[Callable[[str], Flask]]:
    """reading(address): an application that reads that mailbox, its context pushed."""
    contexts = []

    def make(address: str) -> Flask:
        made = make_app(bounces_url=address, bounce_domain="bounce.example.org")
        contexts.append(made.app_context())
        contexts[-1].push()
        return made

    yield make
    for context in reversed(contexts):
        db.session.rollback()
        context.pop()


def address_of(server: ImapServer, password: str = "se%22cret%2F%25") -> str:
    """Its address as BOUNCES_URL has it."""
    return f"imap://bounces%40example.org:{password}@127.0.0.1:{server.port}/INBOX"


def sent() -> Message:
    """A mail that left."""
    message = make_message(make_contact("ada@example.org"), state=State.ACCEPTED, settled_at=NOW)
    db.session.commit()
    return message


def failed(message: Message) -> bytes:
    """Its bounce."""
    return sample("postfix-failed", return_path(message.public_id))


def files(maildir: Path) -> list[str]:
    """What lies in the folder."""
    return sorted(str(path.relative_to(maildir)) for path in maildir.rglob("*") if path.is_file())


def test_a_maildir_is_read_and_what_was_read_removed(reading: Callable[[str], Flask], maildir: Path) -> None:
    reading(f"maildir://{maildir}")
    message = sent()
    (maildir / "new" / "1.bounce.host").write_bytes(failed(message))
    (maildir / "new" / "2.person.host").write_bytes(sample("person"))
    (maildir / "cur" / "3.looked.host:2,").write_bytes(sample("vacation"))
    (maildir / "cur" / "4.opened.host:2,RS").write_bytes(sample("vacation"))
    (maildir / "tmp" / "5.half.host").write_bytes(sample("vacation"))
    (maildir / "new" / ".hidden").write_bytes(b"")
    (maildir / "new" / "6.link").symlink_to(maildir / "cur" / "4.opened.host:2,RS")
    assert loops.read_returned(clock.now) == {"bounced": 1, "other": 1, "auto-reply": 1}
    db.session.refresh(message)
    assert message.state is State.BOUNCED
    kept = ["cur/2.person.host:2,S", "cur/4.opened.host:2,RS", "new/.hidden", "new/6.link", "tmp/5.half.host"]
    assert files(maildir) == kept
    assert loops.read_returned(clock.now) == {}


def test_an_imap_folder_is_read_and_what_was_read_removed(reading: Callable[[str], Flask], imap: ImapServer) -> None:
    reading(address_of(imap))
    message = sent()
    imap.add(failed(message))
    person = imap.add(sample("person"))
    seen, doomed = imap.add(sample("vacation"), r"\Seen"), imap.add(sample("vacation"), r"\Deleted")
    assert loops.read_returned(clock.now) == {"bounced": 1, "other": 1}
    db.session.refresh(message)
    assert message.state is State.BOUNCED
    assert set(imap.mails) == {person, seen, doomed}  # what somebody else has marked is not ours to remove
    assert imap.mails[person].flags == {r"\Seen"}
    assert loops.read_returned(clock.now) == {}


def test_a_server_that_cannot_remove_one_mail_keeps_it_marked(reading: Callable[[str], Flask], imap: ImapServer) -> None:
    imap.can_remove_one = False
    reading(address_of(imap))
    number = imap.add(failed(sent()))
    assert loops.read_returned(clock.now) == {"bounced": 1}
    assert imap.mails[number].flags == {r"\Seen", r"\Deleted"}
    assert loops.read_returned(clock.now) == {}


def test_reading_leaves_no_trace_until_it_is_committed(
    reading: Callable[[str], Flask], imap: ImapServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading(address_of(imap))
    message = sent()
    number = imap.add(failed(message))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bounces, "_apply", killed)
        with pytest.raises(KeyboardInterrupt):
            loops.read_returned(clock.now)
    db.session.rollback()
    assert imap.mails[number].flags == set()
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Return)) == 0
    assert loops.read_returned(clock.now) == {"bounced": 1}
    db.session.refresh(message)
    assert message.state is State.BOUNCED


def test_killed_after_the_commit_the_mail_is_known_when_it_is_read_again(reading: Callable[[str], Flask], imap: ImapServer) -> None:
    reading(address_of(imap))
    message = sent()
    imap.add(failed(message))
    imap.drops = {"STORE"}
    with pytest.raises(MailboxAway):
        loops.read_returned(clock.now)
    imap.drops = set()
    db.session.refresh(message)
    assert message.state is State.BOUNCED
    assert loops.read_returned(clock.now) == {"bounced": 1}
    assert imap.mails == {}
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Return)) == 1


def test_no_transaction_is_open_while_the_server_is_asked(reading: Callable[[str], Flask], imap: ImapServer) -> None:
    reading(address_of(imap))
    for _ in range(3):
        imap.add(failed(sent_to_somebody()))
    db.session.commit()
    open_then = []

    def now() -> Any:
        open_then.append(db.session().in_transaction())
        return clock.now()

    loops.read_returned(now)
    assert open_then == [False] * 4


def sent_to_somebody() -> Message:
    message = make_message(state=State.ACCEPTED, settled_at=NOW)
    db.session.commit()
    return message


def test_only_the_beginning_of_a_large_mail_is_fetched(reading: Callable[[str], Flask], imap: ImapServer, maildir: Path) -> None:
    large = failed(sent_to_somebody_in(reading, imap)) + b"x" * 3_000_000
    imap.add(large)
    (maildir / "new" / "1").write_bytes(large)
    for address in (address_of(imap), f"maildir://{maildir}"):
        mailbox = mailbox_of(load_settings(bounces_url=address, secret_key=SECRET))
        assert mailbox is not None
        assert [len(mail.content) for mail in mailbox.unread(5)] == [MOST_BYTES]
        mailbox.close()
    assert loops.read_returned(clock.now) == {"bounced": 1}


def sent_to_somebody_in(reading: Callable[[str], Flask], imap: ImapServer) -> Message:
    reading(address_of(imap))
    return sent_to_somebody()


def test_so_many_are_read_at_once_and_the_rest_the_next_time(reading: Callable[[str], Flask], imap: ImapServer) -> None:
    reading(address_of(imap))
    for number in range(5):
        imap.add(sample("vacation") + bytes([number]))
    assert loops.read_returned(clock.now, seconds=0) == {"auto-reply": 1}
    assert loops.read_returned(clock.now) == {"auto-reply": 4}


def test_a_mailbox_that_is_away_is_said_so_without_naming_anybody(
    reading: Callable[[str], Flask], imap: ImapServer, capsys: pytest.CaptureFixture[str]
) -> None:
    made = reading(address_of(imap, "wrong"))
    result = made.test_cli_runner().invoke(args=["mail", "bounces"])
    assert result.exit_code == 1
    assert "BOUNCES_URL cannot be read" in result.output
    assert "@" not in result.output
    assert "wrong" not in result.output + capsys.readouterr().err


@pytest.mark.one_database
@pytest.mark.parametrize(("scheme", "host"), [("imaps", "127.0.0.1"), ("imap", "127.0.0.2")])  # the second is no name of this machine
def test_a_mailbox_elsewhere_is_read_over_tls_under_a_certificate_of_ones_own_authority(
    app: Flask, tmp_path: Path, scheme: str, host: str
) -> None:
    authority = Authority(tmp_path)
    server = ImapServer(USER, PASSWORD, tls=authority.context_for(host), is_tls_from_start=scheme == "imaps", host=host)
    server.add(sample("vacation"))
    address = address_of(server).replace("imap://", f"{scheme}://").replace("127.0.0.1", host)
    try:
        mailbox = mailbox_of(Settings(bounces_url=address, smtp_ca_file=authority.file))
        assert mailbox is not None
        assert [mail.name for mail in mailbox.unread(5)] == ["1"]
        mailbox.close()
        assert server.logins_encrypted == [True]
        with pytest.raises(MailboxAway, match="CERTIFICATE_VERIFY_FAILED"):
            mailbox_of(Settings(bounces_url=address))
        stranger = Authority(tmp_path, "Another")
        with pytest.raises(MailboxAway, match="CERTIFICATE_VERIFY_FAILED"):
            mailbox_of(Settings(bounces_url=address, smtp_ca_file=stranger.file))
        assert server.logins_encrypted == [True]  # nobody was told the password
    finally:
        server.stop()


@pytest.mark.one_database
def test_no_password_is_said_to_a_server_elsewhere_that_offers_no_tls(app: Flask) -> None:
    server = ImapServer(USER, PASSWORD, host="127.0.0.2")
    try:
        with pytest.raises(MailboxAway):
            mailbox_of(Settings(bounces_url=address_of(server).replace("127.0.0.1", "127.0.0.2")))
        assert server.logins_encrypted == []
    finally:
        server.stop()


@pytest.mark.parametrize("address", ["maildir:///nowhere/at/all", "imap://a:b@127.0.0.1:1/INBOX"])
def test_a_mailbox_that_is_not_there_is_said_so(reading: Callable[[str], Flask], address: str, capsys: pytest.CaptureFixture[str]) -> None:
    reading(address)
    with pytest.raises(MailboxAway):
        loops.read_returned(clock.now)
    assert "mailbox_away" in capsys.readouterr().err


def test_a_folder_with_spaces_and_quotes_is_found(reading: Callable[[str], Flask], imap: ImapServer) -> None:
    imap.folder = "Returned mail"
    reading(address_of(imap).replace("INBOX", "Returned%20mail"))
    imap.add(sample("vacation"))
    assert loops.read_returned(clock.now) == {"auto-reply": 1}


def test_without_a_mailbox_what_waits_is_tried_again(app: Flask) -> None:
    assert loops.read_returned(clock.now) == {}


def test_the_command_says_what_came_back(reading: Callable[[str], Flask], maildir: Path) -> None:
    made = reading(f"maildir://{maildir}")
    (maildir / "new" / "1").write_bytes(failed(sent()))
    (maildir / "new" / "2").write_bytes(sample("vacation"))
    result = made.test_cli_runner().invoke(args=["mail", "bounces", "--json"])
    assert (result.exit_code, json.loads(result.stdout)["read"]) == (0, {"bounced": 1, "auto-reply": 1})
    result = made.test_cli_runner().invoke(args=["mail", "bounces"])
    assert "bounced             0 now        1 in 30 days" in result.output
    assert "0 mails read." in result.output


@pytest.mark.one_database
def test_the_command_needs_a_mailbox(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["mail", "bounces"])
    assert result.exit_code == 1
    assert "Set BOUNCES_URL" in result.output


PRODUCTION = {
    "mode": "production",
    "secret_key": SECRET,
    "postal_address": "1 Road",
    "sender_address": "us@example.org",
    "base_url": "https://learn.example.org",
    "smtp_url": "smtp://mail.example.org",
    "allow_sqlite": True,
}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bounces_url": "maildir:///var/mail/bounces"}, None),
        ({"bounces_url": "imaps://a:b@mail.example.org/INBOX"}, None),
        ({"bounces_url": "maildir://var/mail"}, "BOUNCES_URL"),
        ({"bounces_url": "pop3://a:b@mail.example.org"}, "BOUNCES_URL"),
        ({"bounces_url": "imaps://mail.example.org/INBOX"}, "BOUNCES_URL"),
        ({"ses_topic": "bounces"}, "SES_TOPIC"),
        ({"postmark_secret": "short"}, "POSTMARK_SECRET"),
        ({"mailgun_signing_key": "short"}, "MAILGUN_SIGNING_KEY"),
        ({"mailgun_signing_key": "0123456789abcdef0123456789abcdef"}, None),
    ],
)
def test_a_setting_that_cannot_work_is_named_before_the_start(settings: dict[str, str], words: str | None) -> None:
    if words is None:
        load_settings(**PRODUCTION, **settings)
    else:
        with pytest.raises(SystemExit, match=words):
            load_settings(**PRODUCTION, **settings)
