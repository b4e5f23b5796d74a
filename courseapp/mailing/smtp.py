"""The door mail leaves by: an SMTP server over one lasting connection, or files in the embedded mode.

Every failure is sorted once. Before the final dot nothing was sent; after it nobody knows (RFC 5321 4.5.3.2, RFC 1047).
"""

import contextlib
import enum
import os
import re
import smtplib
import socket
import ssl
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from courseapp.config import Settings
from courseapp.mailing.refusals import NO_LOGIN, is_address_at_fault

if TYPE_CHECKING:  # what builds mails is large, and pages that look at sent ones need it not
    from courseapp.mailing.message import Outgoing

CONNECT_PATIENCE = 10.0  # seconds
PROBE_PATIENCE = 4.0  # seconds a look at the server may wait for each answer
ANSWER_PATIENCE = 40.0  # seconds the server may think about each answer
CONNECTION_MESSAGES = 200
CONNECTION_SECONDS = 300.0
QUIET_SECONDS = 5.0  # a line quiet for so long is asked before it is trusted: servers hang up on idle ones
NOT_IN_ADDRESSES = re.compile(r"[<>\s\x00-\x1f\x7f]")


class Trouble(enum.StrEnum):
    """Whose trouble a failure is, and so what follows from it."""

    SENDER = "sender"  # connection, greeting, login, 421/454: nobody's mail can leave now
    TRANSIENT = "transient"  # this recipient or message, later
    PERMANENT = "permanent"  # this recipient or message, never
    BOUNCED = "bounced"  # this address, never: the server knows it and says no
    UNCERTAIN = "uncertain"  # the line broke after the dot


class NotSent(Exception):
    """A message that the door could not hand over.

    `is_of_mail` where it may be this very mail that makes the server say so, also where it is the server's trouble.
    """

    def __init__(self, trouble: Trouble, words: str, is_of_mail: bool = True) -> None:
        super().__init__(words)
        self.trouble, self.is_of_mail = trouble, is_of_mail


class Door(Protocol):
    """What mail leaves by."""

    def send(self, mail: "Outgoing") -> None:
        """Hand one mail over; raises NotSent."""

    def close(self) -> None:
        """End the connection."""


def door_for(settings: Settings) -> Door:
    """The door these settings ask for."""
    return SmtpDoor(settings.smtp_url, settings.smtp_ca_file) if settings.smtp_url else FileDoor(settings.data_dir / "mail")


def file_of_mail(settings: Settings, name: str) -> Path:
    """Where the file door writes the mail of this name."""
    return settings.data_dir / "mail" / f"{name}.eml"


def half_of_mail(whole: Path) -> Path:
    """Where such a file stands until it is whole; a process that was killed leaves it there."""
    return whole.with_name(f".{whole.stem}.part")


def trouble_at(address: str, ca_file: Path | None = None, patience: float = PROBE_PATIENCE) -> str:
    """Connect and say EHLO, no more: what is wrong with the mail server of this SMTP_URL, or "" where nothing is."""
    url = urlsplit(address)
    host = url.hostname or "localhost"
    try:
        if url.scheme == "smtps":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(host, url.port or 465, timeout=patience, context=trust_in(ca_file))
        else:
            connection = smtplib.SMTP(host, url.port or 25, timeout=patience)
        with contextlib.closing(connection):
            code, _answer = connection.ehlo()
            return "" if code == 250 else f"the mail server refuses to speak with us ({code})"
    except (smtplib.SMTPException, OSError) as error:
        return f"no connection to the mail server: {_words(error)}"


class FileDoor:
    """Each mail a file, named by its message: writing it twice leaves one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, mail: "Outgoing") -> None:
        """Write the file whole, or not at all."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            whole = self._folder / f"{mail.name}.eml"
            half = half_of_mail(whole)
            half.write_bytes(mail.content)
            os.replace(half, whole)
        except OSError as error:
            raise NotSent(Trouble.SENDER, f"the mail folder cannot be written: {error.strerror}", is_of_mail=False) from error

    def close(self) -> None:
        """Nothing to end."""


class SmtpDoor:
    """One connection, opened at the first mail, renewed after many mails or some minutes.

    `smtp://` upgrades to TLS where the server offers it; `smtps://` is TLS from the start. `?tls=required` refuses to go on
    without. With a password TLS is required unless the server is on this machine.
    """

    def __init__(self, address: str, ca_file: Path | None = None) -> None:
        self._url, self._ca_file = urlsplit(address), ca_file
        self._connection: smtplib.SMTP | None = None
        self._sent = 0
        self._opened = self._used = 0.0

    def send(self, mail: "Outgoing") -> None:
        """Hand one mail over; raises NotSent."""
        connection = self._open()
        try:
            self._envelope(connection, mail)
            self._content(connection, mail)
        except NotSent:
            raise
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            raise NotSent(Trouble.TRANSIENT, _words(error)) from error
        self._sent, self._used = self._sent + 1, time.monotonic()

    def close(self) -> None:
        """Say goodbye, or just hang up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.quit()
            except (smtplib.SMTPException, OSError):
                connection.close()

    def _hang_up(self) -> None:
        """Hang up, whatever the server waits for."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> smtplib.SMTP:
        is_old = self._sent >= CONNECTION_MESSAGES or time.monotonic() - self._opened > CONNECTION_SECONDS
        if self._connection is not None and (is_old or not self._is_alive(self._connection)):
            self.close()
        if self._connection is None:
            try:
                self._connection = self._connect()
            except (smtplib.SMTPException, OSError) as error:
                raise NotSent(Trouble.SENDER, f"no connection to the mail server: {_words(error)}", is_of_mail=False) from error
            self._sent = 0
            self._opened = self._used = time.monotonic()
        return self._connection

    def _is_alive(self, connection: smtplib.SMTP) -> bool:
        if time.monotonic() - self._used < QUIET_SECONDS:
            return True
        try:
            return connection.noop()[0] == 250
        except (smtplib.SMTPException, OSError):
            return False

    def _connect(self) -> smtplib.SMTP:
        host = self._url.hostname or "localhost"
        if self._url.scheme == "smtps":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                host, self._url.port or 465, timeout=CONNECT_PATIENCE, context=trust_in(self._ca_file)
            )
        else:
            connection = smtplib.SMTP(host, self._url.port or 25, timeout=CONNECT_PATIENCE)
        try:
            self._enter(connection, host)
        except (smtplib.SMTPException, OSError):
            connection.close()
            raise
        if connection.sock is not None:
            connection.sock.settimeout(ANSWER_PATIENCE)
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else the dot waits for a delayed ACK of the body
        return connection

    def _enter(self, connection: smtplib.SMTP, host: str) -> None:
        connection.ehlo()
        if self._url.scheme != "smtps":
            is_required = "required" in parse_qs(self._url.query).get("tls", []) or (
                self._url.password and host not in {"localhost", "127.0.0.1", "::1"}
            )
            if connection.has_extn("starttls"):
                connection.starttls(context=trust_in(self._ca_file))
                connection.ehlo()
            elif is_required:
                raise smtplib.SMTPNotSupportedError("the server offers no TLS, and the password must not travel open")
        if self._url.username:
            connection.login(unquote(self._url.username), unquote(self._url.password or ""))

    def _envelope(self, connection: smtplib.SMTP, mail: "Outgoing") -> None:
        """Say from whom and to whom, and that the text is to come: at once where the server takes it so (RFC 2920)."""
        is_beyond_ascii = not mail.recipient.isascii()
        if is_beyond_ascii and not connection.has_extn("smtputf8"):
            raise NotSent(Trouble.PERMANENT, "the mail server takes no address with letters beyond ASCII (RFC 6531)")
        if NOT_IN_ADDRESSES.search(mail.sender) or NOT_IN_ADDRESSES.search(mail.recipient):
            raise NotSent(Trouble.PERMANENT, "an address holds a line break or another sign that none may hold")
        beside = " SMTPUTF8" if is_beyond_ascii else ""
        commands = (f"MAIL FROM:<{mail.sender}>{beside}", f"RCPT TO:<{mail.recipient}>", "DATA")
        lines = [f"{command}\r\n".encode() for command in commands]
        if connection.has_extn("pipelining"):
            connection.send(b"".join(lines))
            code, answer = self._answer_to_data(connection)
        else:
            for line, command in zip(lines[:2], ("MAIL", "RCPT"), strict=True):
                connection.send(line)
                self._check(*connection.getreply(), command)
            connection.send(lines[2])
            code, answer = connection.getreply()
        if code != 354:
            self._check(code, answer)
            raise NotSent(Trouble.TRANSIENT, f"{code} in answer to DATA")

    def _answer_to_data(self, connection: smtplib.SMTP) -> tuple[int, bytes]:
        """The last of three answers, once the first two are well; all are read, so that the next mail finds none left over."""
        refused = None
        for command in ("MAIL", "RCPT"):
            code, answer = connection.getreply()
            if code == 421:  # and the line is closed: nothing more will come
                self._check(code, answer, command if refused is None else "MAIL")
            if refused is None and not 200 <= code < 300:
                refused = code, answer, command
        code, answer = connection.getreply()
        if refused is not None:
            if code == 354:
                self._hang_up()  # it waits for a text that is for nobody
            self._check(*refused)
        return code, answer

    def _content(self, connection: smtplib.SMTP, mail: "Outgoing") -> None:
        """Send the text with its final dot. Where not all of it was handed over, the server has no dot to go by."""
        body = mail.content.replace(b"\r\n.", b"\r\n..")  # RFC 5321 4.5.2
        rest = memoryview((b"." if body.startswith(b".") else b"") + body + b".\r\n")
        assert connection.sock is not None
        try:
            while rest:
                rest = rest[connection.sock.send(rest) :]
            code, answer = connection.getreply()
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            raise NotSent(Trouble.TRANSIENT if rest else Trouble.UNCERTAIN, _words(error)) from error
        self._check(code, answer)

    def _check(self, code: int, answer: bytes, command: str = "DATA") -> None:
        """Raise NotSent where a command was refused. Once MAIL was taken the server is there, and it may be this mail that troubles it."""
        if 200 <= code < 300:
            return
        words = without_addresses(f"{code} {answer.decode('utf-8', 'replace')}")[:180]
        if code in {421, 454} | NO_LOGIN:
            self.close()
            raise NotSent(Trouble.SENDER, words, is_of_mail=command != "MAIL" and code not in NO_LOGIN)
        try:
            if self._connection is not None:
                self._connection.rset()
        except (smtplib.SMTPException, OSError):
            self.close()
        if command == "RCPT" and is_address_at_fault(words):
            raise NotSent(Trouble.BOUNCED, words)
        raise NotSent(Trouble.PERMANENT if 500 <= code < 600 else Trouble.TRANSIENT, words)


@lru_cache
def trust_in(ca_file: Path | None) -> ssl.SSLContext:
    """Whom to believe: this machine's certificates, and the owner's own authority; read once, for that takes 20 ms."""
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def _words(error: Exception) -> str:
    return without_addresses(f"{type(error).__name__}: {error}")[:180]


def without_addresses(words: str) -> str:
    """What a server said, fit for a row and a log that must not name anybody."""
    return re.sub(r"[^\s<>\"']+@[^\s<>\"']+", "…", words)
