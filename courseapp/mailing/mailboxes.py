"""The door to the mailbox in which mail comes back: a Maildir, or a folder of an IMAP server (RFC 3501, 4315).

A mail is read without a trace, and marked only once what follows from it is committed: until then it is read again.
"""

import contextlib
import imaplib
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from courseapp.config import Settings
from courseapp.mailing.reports import MOST_BYTES
from courseapp.mailing.smtp import trust_in, without_addresses

PATIENCE = 20.0  # seconds each answer of the server may take
OWN_MACHINE = {"localhost", "127.0.0.1", "::1"}


class MailboxAway(Exception):
    """The mailbox cannot be read now; says why, without naming anybody."""


@dataclass(frozen=True)
class Arrived:
    """One mail of the mailbox: what names it there, and as much of it as is looked at."""

    name: str
    content: bytes


class Mailbox(Protocol):
    """Where mail comes back."""

    def unread(self, limit: int) -> Iterator[Arrived]:
        """At most so many mails that nobody has dealt with; raises MailboxAway."""

    def finish(self, mail: Arrived, is_done_with: bool) -> None:
        """Remove a mail, or leave it for a person, marked as seen; raises MailboxAway."""

    def close(self) -> None:
        """End the visit."""


def mailbox_of(settings: Settings) -> Mailbox | None:
    """The mailbox these settings name, or None; raises MailboxAway."""
    if not settings.bounces_url:
        return None
    url = urlsplit(settings.bounces_url)
    return Maildir(Path(unquote(url.path))) if url.scheme == "maildir" else ImapFolder(url, settings.smtp_ca_file)


class Maildir:
    """A folder with a file for each mail: in `new` what has just come, in `cur` what somebody has looked at."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not (folder / "new").is_dir():
            raise MailboxAway("the Maildir of BOUNCES_URL is not there, or not open to this program")

    def unread(self, limit: int) -> Iterator[Arrived]:
        """New ones, and those that were seen by a mail program but not opened."""
        found = [path for place in ("new", "cur") for path in sorted((self._folder / place).glob("*")) if self._is_unread(path)]
        for path in found[:limit]:
            try:
                with path.open("rb") as file:
                    content = file.read(MOST_BYTES)
            except FileNotFoundError:  # another worker was first
                continue
            except OSError as error:
                raise MailboxAway(f"a file of the Maildir cannot be read: {error.strerror}") from error
            yield Arrived(str(path.relative_to(self._folder)), content)

    def finish(self, mail: Arrived, is_done_with: bool) -> None:
        """Remove the file, or move it to where mail programs look for what was seen."""
        path = self._folder / mail.name
        try:
            if is_done_with:
                path.unlink(missing_ok=True)
            else:
                with contextlib.suppress(FileNotFoundError):
                    path.rename(self._folder / "cur" / f"{path.name.partition(':')[0]}:2,S")
        except OSError as error:
            raise MailboxAway(f"a file of the Maildir cannot be moved: {error.strerror}") from error

    def close(self) -> None:
        """Nothing to end."""

    @staticmethod
    def _is_unread(path: Path) -> bool:
        return not path.name.startswith(".") and "S" not in path.name.partition(":2,")[2] and path.is_file() and not path.is_symlink()


class ImapFolder:
    """A folder of an IMAP server. `imaps://` is TLS from the start; `imap://` upgrades to it, but for a server on this machine.

    `ca_file` holds the authority that signs for the house's mail servers, where that is none that everybody trusts.
    """

    def __init__(self, url: SplitResult, ca_file: Path | None = None) -> None:
        with _in_words():
            trust = trust_in(ca_file)
            self._server = _connected(url, trust)
            try:
                self._enter(url, trust)
            except (imaplib.IMAP4.error, OSError):
                with contextlib.suppress(OSError):  # it is closed already where its certificate was not believed
                    self._server.shutdown()
                raise

    def unread(self, limit: int) -> Iterator[Arrived]:
        """Those without \\Seen. Their size does not matter: the server sends the beginning alone."""
        with _in_words():
            numbers = self._ask("SEARCH", "UNSEEN", "UNDELETED")[0].split()[:limit]
        for number in numbers:
            with _in_words():
                answer = self._ask("FETCH", number.decode(), f"(BODY.PEEK[]<0.{MOST_BYTES}>)")
            contents = [bytes(part[1]) for part in answer if isinstance(part, tuple)]
            if contents:  # else another worker was first
                yield Arrived(number.decode(), contents[0])

    def finish(self, mail: Arrived, is_done_with: bool) -> None:
        """Mark it, and where the server can do that for single mails (UIDPLUS), remove it."""
        with _in_words():
            self._ask("STORE", mail.name, "+FLAGS.SILENT", r"(\Seen \Deleted)" if is_done_with else r"(\Seen)")
            if is_done_with and self._can_remove_one:
                self._ask("EXPUNGE", mail.name)

    def close(self) -> None:
        """Say goodbye, or just hang up. Not CLOSE, which removes whatever anybody has marked."""
        try:
            self._server.logout()
        except (imaplib.IMAP4.error, OSError):
            self._server.shutdown()

    def _enter(self, url: SplitResult, trust: ssl.SSLContext) -> None:
        if url.scheme == "imap" and url.hostname not in OWN_MACHINE:
            self._server.starttls(ssl_context=trust)
        self._server.login(unquote(url.username or ""), unquote(url.password or ""))
        offered = self._server.capability()[1]  # once more: many say more of themselves to those who have come in
        self._can_remove_one = b"UIDPLUS" in b" ".join(part for part in offered if part).upper().split()
        folder = unquote(url.path.strip("/")) or "INBOX"
        quoted = re.sub(r'(["\\])', r"\\\1", folder)
        if self._server.select(f'"{quoted}"')[0] != "OK":
            raise imaplib.IMAP4.error("there is no such folder")

    def _ask(self, command: str, *words: str) -> list[Any]:
        status, answer = self._server.uid(command, *words)
        if status != "OK":
            raise imaplib.IMAP4.error(f"{status} in answer to {command}")
        return [part for part in answer if part is not None]


def _connected(url: SplitResult, trust: ssl.SSLContext) -> imaplib.IMAP4:
    host = url.hostname or "localhost"
    if url.scheme == "imaps":
        return imaplib.IMAP4_SSL(host, url.port or 993, ssl_context=trust, timeout=PATIENCE)
    return imaplib.IMAP4(host, url.port or 143, timeout=PATIENCE)


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except (imaplib.IMAP4.error, OSError) as error:
        words = without_addresses(f"{type(error).__name__}: {error}")[:180]
        raise MailboxAway(f"the mailbox of BOUNCES_URL cannot be read: {words}") from error
