"""TLS to a real mail server, offered or from the start, with certificates made here; and logging in over it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from courseapp.config import Settings
from courseapp.mailing.smtp import NotSent, SmtpDoor, Trouble, door_for, trouble_at
from tests.certificates import Authority
from tests.mailing.test_smtp_door import mail, trouble_of
from tests.recording_smtp import RecordingSmtp

HERE = "127.0.0.1"
KNOWN = ("courseapp", "a word with @ and :")
USER = "courseapp:a%20word%20with%20%40%20and%20%3A@"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs for the mail server here."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server(authority: Authority) -> Iterator[Callable[..., RecordingSmtp]]:
    """server(name=…, from_start=…, login=…): a mail server that speaks TLS under a certificate for this name."""
    started = []

    def start(name: str = HERE, *, from_start: bool = False, days: int = 30, **more: Any) -> RecordingSmtp:
        made = RecordingSmtp(tls=authority.context_for(name, days), is_tls_from_start=from_start, **more)
        made.start()
        started.append(made)
        return made

    yield start
    for made in started:
        made.stop()


def address_of(server: RecordingSmtp, user: str = "", query: str = "") -> str:
    """The server's address, as the setting wants it."""
    return f"smtp{'s' if server.is_tls_from_start else ''}://{user}{HERE}:{server.port}{query}"


@pytest.mark.parametrize("from_start", [False, True], ids=["starttls", "from-the-start"])
@pytest.mark.parametrize("login", [None, KNOWN], ids=["open", "with-login"])
def test_mail_leaves_encrypted_under_a_certificate_of_the_owners_authority(
    server, authority: Authority, from_start: bool, login: tuple[str, str] | None
) -> None:
    made = server(from_start=from_start, login=login)
    settings = Settings(smtp_url=address_of(made, USER if login else ""), smtp_ca_file=authority.file)
    door = door_for(settings)
    for name in ("ada", "bob"):
        door.send(mail(f"{name}@example.org"))
    door.close()
    assert made.recipients() == ["ada@example.org", "bob@example.org"]
    assert made.were_encrypted == [True, True]
    assert made.logins == (["courseapp"] if login else [])
    assert made.connections == 1


@pytest.mark.parametrize("from_start", [False, True], ids=["starttls", "from-the-start"])
def test_a_certificate_that_nobody_here_knows_is_not_believed(server, from_start: bool) -> None:
    made = server(from_start=from_start)
    with pytest.raises(NotSent, match="CERTIFICATE_VERIFY_FAILED") as caught:
        SmtpDoor(address_of(made)).send(mail())
    assert caught.value.trouble is Trouble.SENDER
    assert made.received == []


@pytest.mark.parametrize("from_start", [False, True], ids=["starttls", "from-the-start"])
@pytest.mark.parametrize(("name", "days"), [("mail.example.org", 30), (HERE, -1)], ids=["of-another-name", "expired"])
def test_a_certificate_of_another_name_or_that_has_expired_is_not_believed(
    server, authority: Authority, from_start: bool, name: str, days: int
) -> None:
    made = server(name, from_start=from_start, days=days)
    assert trouble_of(SmtpDoor(address_of(made), authority.file)) is Trouble.SENDER
    assert made.received == []


def test_another_authority_is_not_believed(server, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Somebody Else")
    assert trouble_of(SmtpDoor(address_of(server()), other.file)) is Trouble.SENDER


@pytest.mark.parametrize("from_start", [False, True], ids=["starttls", "from-the-start"])
def test_a_wrong_password_and_none_are_the_senders_trouble(server, authority: Authority, from_start: bool) -> None:
    made = server(from_start=from_start, login=KNOWN)
    with pytest.raises(NotSent) as caught:
        SmtpDoor(address_of(made, "courseapp:wrong@"), authority.file).send(mail())
    assert caught.value.trouble is Trouble.SENDER
    assert "535" in str(caught.value)
    assert "wrong" not in str(caught.value)
    with pytest.raises(NotSent, match="530") as caught:
        SmtpDoor(address_of(made), authority.file).send(mail())
    assert caught.value.trouble is Trouble.SENDER, "who has not logged in is told so at MAIL, of no recipient"
    assert (made.received, made.logins) == ([], [])


def test_tls_is_taken_where_it_is_offered_and_required_where_it_must_be(server, authority: Authority, smtp: RecordingSmtp) -> None:
    made = server()
    door = SmtpDoor(address_of(made, query="?tls=required"), authority.file)
    door.send(mail())
    door.close()
    assert made.were_encrypted == [True]
    with pytest.raises(NotSent, match="no TLS"):
        SmtpDoor(f"smtp://{HERE}:{smtp.port}?tls=required", authority.file).send(mail())


def test_the_doctor_believes_the_same_certificates(server, authority: Authority) -> None:
    made = server(from_start=True)
    assert trouble_at(address_of(made), authority.file) == ""
    assert "CERTIFICATE_VERIFY_FAILED" in trouble_at(address_of(made))
