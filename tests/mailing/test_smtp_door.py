"""The door to a real mail server: every failure sorted once, one lasting connection, nothing lost at the dot."""

import socket
import threading
from collections.abc import Iterator

import pytest
from aiosmtpd.controller import Controller

from courseapp.config import Settings
from courseapp.mailing import smtp as door_module
from courseapp.mailing.message import Outgoing
from courseapp.mailing.smtp import FileDoor, NotSent, SmtpDoor, Trouble, door_for
from tests.recording_smtp import DROP, HANG, RecordingSmtp, Stage


@pytest.fixture(params=[False, True], ids=["in-turn", "at-once"])
def door(request: pytest.FixtureRequest, smtp: RecordingSmtp, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmtpDoor]:
    """A door to the recording server that waits a third of a second for an answer; the server takes commands in turn, or at once."""
    smtp.takes_commands_at_once = request.param
    monkeypatch.setattr(door_module, "CONNECT_PATIENCE", 0.35)
    monkeypatch.setattr(door_module, "ANSWER_PATIENCE", 0.35)
    made = SmtpDoor(smtp.url)
    yield made
    made.close()


def mail(to: str = "ada@example.org", content: bytes = b"Subject: x\r\n\r\nHello\r\n") -> Outgoing:
    """A mail ready to leave."""
    return Outgoing("name", "sender@example.org", to, content)


def trouble_of(door: SmtpDoor, outgoing: Outgoing | None = None) -> Trouble | None:
    """Whose trouble sending ends in; None where it went."""
    try:
        door.send(outgoing or mail())
    except NotSent as error:
        return error.trouble
    return None


ANSWERS = [("421 4.3.2 closing", Trouble.SENDER), ("450 4.2.1 busy", Trouble.TRANSIENT), ("550 5.1.1 no such user", Trouble.PERMANENT)]


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
@pytest.mark.parametrize(("answer", "trouble"), ANSWERS)
def test_each_answer_at_each_stage_is_sorted_and_the_next_mail_goes(
    door: SmtpDoor, smtp: RecordingSmtp, stage: Stage, answer: str, trouble: Trouble
) -> None:
    smtp.script(stage, answer)
    is_bounce = stage == "rcpt" and trouble is Trouble.PERMANENT
    assert trouble_of(door) is (Trouble.BOUNCED if is_bounce else trouble)
    assert smtp.received == []
    assert trouble_of(door, mail("bob@example.org")) is None
    assert smtp.recipients() == ["bob@example.org"]


@pytest.mark.parametrize("answer", ["421 4.3.2 not now", "554 5.7.1 go away", DROP, HANG])
def test_a_server_that_does_not_greet_is_the_senders_trouble(door: SmtpDoor, smtp: RecordingSmtp, answer: str) -> None:
    smtp.script("connect", answer)
    assert trouble_of(door) is Trouble.SENDER
    assert trouble_of(door) is None


def test_no_server_at_all_is_the_senders_trouble() -> None:
    assert trouble_of(SmtpDoor("smtp://127.0.0.1:1")) is Trouble.SENDER


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
@pytest.mark.parametrize("answer", [HANG, DROP])
def test_a_line_that_breaks_before_the_dot_has_sent_nothing(door: SmtpDoor, smtp: RecordingSmtp, stage: Stage, answer: str) -> None:
    smtp.script(stage, answer)
    assert trouble_of(door) is Trouble.TRANSIENT
    assert smtp.received == []
    assert trouble_of(door) is None
    assert smtp.connections == 2


@pytest.mark.parametrize("answer", [HANG, DROP])
@pytest.mark.parametrize("takes_it", [True, False])
def test_a_line_that_breaks_after_the_dot_leaves_doubt(door: SmtpDoor, smtp: RecordingSmtp, answer: str, takes_it: bool) -> None:
    smtp.script("dot", answer, takes_it=takes_it)
    assert trouble_of(door) is Trouble.UNCERTAIN
    assert len(smtp.received) == takes_it
    assert trouble_of(door) is None


def test_one_connection_carries_many_mails_and_is_renewed_after_enough(
    door: SmtpDoor, smtp: RecordingSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        door.send(mail(f"person{number}@example.org"))
    assert smtp.connections == 1
    monkeypatch.setattr(door_module, "CONNECTION_MESSAGES", 6)
    door.send(mail())
    assert smtp.connections == 2
    monkeypatch.setattr(door_module, "CONNECTION_SECONDS", 0.0)
    door.send(mail())
    assert smtp.connections == 3
    assert len(smtp.recipients()) == 8


def test_a_refused_recipient_costs_no_new_connection(door: SmtpDoor, smtp: RecordingSmtp) -> None:
    smtp.script("rcpt", "550 5.1.1 unknown", to="gone@example.org")
    assert [trouble_of(door, mail(to)) for to in ("gone@example.org", "ada@example.org")] == [Trouble.BOUNCED, None]
    assert smtp.connections == 1


def test_a_connection_the_server_closed_while_idle_costs_the_next_mail_nothing(
    door: SmtpDoor, smtp: RecordingSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_module, "QUIET_SECONDS", 0.0)
    door.send(mail())
    closed = threading.Event()

    def hang_up() -> None:
        for line in list(smtp.lines):
            line.close()
        closed.set()

    smtp._loop.call_soon_threadsafe(hang_up)
    assert closed.wait(5)
    assert trouble_of(door) is None
    assert len(smtp.received) == smtp.connections == 2


@pytest.mark.parametrize(
    "body",
    [b".\r\n", b"..\r\n.x\r\n", b"a\r\n.\r\nb\r\n", b"a\r\n.\r\n.\r\n..\r\n", b"x" * 900 + b"\r\n.\r\n", b".\r\nMAIL FROM:<x@y>\r\n"],
)
def test_lines_that_begin_with_a_dot_arrive_as_they_were(door: SmtpDoor, smtp: RecordingSmtp, body: bytes) -> None:
    door.send(mail(content=b"Subject: dots\r\n\r\n" + body))
    door.send(mail(content=b".Subject: first\r\n\r\nx\r\n"))
    assert [row.content for row in smtp.received] == [b"Subject: dots\r\n\r\n" + body, b".Subject: first\r\n\r\nx\r\n"]


def test_the_envelope_names_one_recipient_whatever_the_headers_say(door: SmtpDoor, smtp: RecordingSmtp) -> None:
    door.send(mail(content=b"To: a@b.test\r\nBcc: x@y.test\r\n\r\nx\r\n"))
    assert (smtp.received[0].sender, smtp.received[0].recipients) == ("sender@example.org", ["ada@example.org"])


@pytest.mark.parametrize("query", ["", "?tls=required"])
def test_a_password_never_leaves_this_machine_without_tls(smtp: RecordingSmtp, query: str) -> None:
    user = "user:word@127.1" if not query else "127.0.0.1"
    door = SmtpDoor(f"smtp://{user}:{smtp.port}{query}")
    with pytest.raises(NotSent, match="no TLS") as caught:
        door.send(mail())
    assert caught.value.trouble is Trouble.SENDER
    assert smtp.received == []
    assert "word" not in str(caught.value).replace("password", "")


def test_a_failed_login_is_the_senders_trouble(smtp: RecordingSmtp) -> None:
    assert trouble_of(SmtpDoor(f"smtp://user:wrong@127.0.0.1:{smtp.port}")) is Trouble.SENDER
    assert smtp.received == []


def test_what_the_server_says_is_kept_without_the_address_it_names(door: SmtpDoor, smtp: RecordingSmtp) -> None:
    smtp.script("rcpt", "550 5.1.1 <ada@example.org>: user unknown")
    with pytest.raises(NotSent, match="user unknown") as caught:
        door.send(mail())
    assert "ada" not in str(caught.value)


def test_a_recipient_beyond_ascii_goes_by_smtputf8_and_where_the_server_has_none_ends_there(door: SmtpDoor, smtp: RecordingSmtp) -> None:
    door.send(mail("jörg@example.org"))
    assert smtp.recipients() == ["jörg@example.org"]
    door.send(mail("ada@example.org"))

    class Book:
        async def handle_DATA(self, *_: object) -> str:  # noqa: N802  # aiosmtpd looks for this name
            return "250 ok"

    plain = Controller(Book(), hostname="127.0.0.1", port=free_port(), enable_SMTPUTF8=False)
    try:
        plain.start()
        old = SmtpDoor(f"smtp://127.0.0.1:{plain.port}")
        assert trouble_of(old, mail("jörg@example.org")) is Trouble.PERMANENT
        assert trouble_of(old, mail("ada@example.org")) is None
        old.close()
    finally:
        plain.stop()


@pytest.mark.parametrize("address", ["a@example.org>\r\nDATA\r\n", "a@example.org\nRCPT TO:<b@example.org>", "a\0@example.org"])
def test_an_address_that_holds_a_command_is_refused(door: SmtpDoor, smtp: RecordingSmtp, address: str) -> None:
    assert trouble_of(door, mail(address)) is Trouble.PERMANENT
    assert trouble_of(door, mail("ada@example.org")) is None
    assert smtp.recipients() == ["ada@example.org"]


def test_a_server_that_waits_for_a_text_for_nobody_gets_none_and_the_refusal_counts() -> None:
    said: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            line, _peer = listener.accept()
            with line, line.makefile("rb") as lines:
                line.sendall(b"220 hello\r\n")
                for words in lines:
                    said.append(words[:4].upper())
                    answers = {b"EHLO": b"250-here\r\n250 PIPELINING", b"RCPT": b"550 5.1.1 nobody", b"DATA": b"354 go on"}
                    line.sendall(answers.get(said[-1], b"250 fine") + b"\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        door = SmtpDoor(f"smtp://127.0.0.1:{listener.getsockname()[1]}")
        assert trouble_of(door) is Trouble.BOUNCED
        thread.join(10)
    assert said == [b"EHLO", b"MAIL", b"RCPT", b"DATA"]


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        port: int = line.getsockname()[1]
        return port


def test_the_file_door_writes_a_mail_once_under_its_name(tmp_path) -> None:
    door = door_for(Settings(data_dir=tmp_path))
    assert isinstance(door, FileDoor)
    for content in (b"one", b"two"):
        door.send(mail(content=content))
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "mail").iterdir()] == [("name.eml", b"two")]


def test_a_mail_folder_that_cannot_be_written_is_the_senders_trouble(tmp_path) -> None:
    (tmp_path / "mail").write_text("a file stands where the folder should")
    assert trouble_of(FileDoor(tmp_path / "mail")) is Trouble.SENDER
