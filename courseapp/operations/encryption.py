"""Backups encrypted for somebody else, in the format of age (age-encryption.org/v1), while they flow by.

pyrage pulls from one file and pushes into another, and a backup is written and read the other way round: so it works in a
thread of its own, at the other end of a pipe.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from courseapp.operations.archive import BadBackup

BEGINS = b"age-encryption.org/"


@contextmanager
def encrypted(file: IO[bytes], recipients: Sequence[str]) -> Iterator[IO[bytes]]:
    """What is written into this arrives in `file`, encrypted for each of the recipients; plainly where there are none.

    Raises BadBackup where a recipient is none, or `file` cannot be written.
    """
    if not recipients:
        yield file
        return
    import pyrage  # of commands alone: a web process need not hold it

    known = [_recipient(words) for words in recipients]
    end, beginning = os.pipe()
    with os.fdopen(end, "rb") as source:
        helper = _Helper(source, lambda: pyrage.encrypt_io(source, file, known))
        try:
            with os.fdopen(beginning, "wb") as plain:
                yield plain
        except BrokenPipeError:
            pass  # the helper has ended, and says below why
        finally:
            helper.join()
    if helper.error is not None:
        raise BadBackup(f"The backup could not be made: {helper.error}.") from helper.error


@contextmanager
def readable(file: BufferedReader, key: Path | None) -> Iterator[BufferedReader]:
    """A backup's file as it was before it was encrypted, if it was. Raises BadBackup where the key is missing or does not fit."""
    if not file.peek(len(BEGINS)).startswith(BEGINS):
        yield file
        return
    if key is None:
        raise BadBackup("The backup is encrypted. Say where its key is: --key FILE")
    import pyrage  # as above

    identities = _identities(key)
    end, beginning = os.pipe()
    sink = os.fdopen(beginning, "wb")
    with os.fdopen(end, "rb") as plain:
        helper = _Helper(sink, lambda: pyrage.decrypt_io(file, sink, identities))
        try:
            yield plain
        except BadBackup:
            if helper.error is None:  # else its words say more than that the content ended
                raise
        finally:
            failure = helper.error
            plain.close()  # so that the helper ends, if it is not at its end
            helper.join()
    if isinstance(failure, pyrage.DecryptError):
        raise BadBackup(f"The key does not open the backup ({failure}). It takes the key that belongs to whom it was encrypted for.")
    if failure is not None:
        raise BadBackup("The backup is cut off or damaged. Nothing was changed; take another copy.") from failure


class _Helper(threading.Thread):
    """Does one thing beside, and then closes its end of the pipe; `error` is set before that."""

    def __init__(self, end: IO[bytes], work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._end, self._work = end, work
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        """Work until it is done or cannot go on."""
        try:
            self._work()
            self._end.close()  # may still have to write
        except Exception as error:
            self.error = error
        finally:
            with suppress(OSError):  # whoever read has gone
                self._end.close()


def _recipient(words: str) -> Any:
    import pyrage  # as above

    try:
        return pyrage.ssh.Recipient.from_str(words) if words.startswith("ssh-") else pyrage.x25519.Recipient.from_str(words)
    except pyrage.RecipientError as error:
        raise BadBackup(f"{words!r} is nobody to encrypt for: age1… or ssh-ed25519 … is wanted ({error}).") from error


def _identities(key: Path) -> list[Any]:
    import pyrage  # as above

    try:
        content = key.read_bytes()
        if content.startswith(b"-----BEGIN"):
            return [pyrage.ssh.Identity.from_buffer(content)]
        lines = [line.strip() for line in content.decode().splitlines()]
        found = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except OSError as error:
        raise BadBackup(f"The key {key} cannot be read: {error.strerror}.") from error
    except (pyrage.IdentityError, UnicodeDecodeError):  # its own words might quote the key
        found = []
    if not found:
        raise BadBackup(f"{key} holds no key: a line AGE-SECRET-KEY-1…, as age-keygen writes, or an SSH key without a passphrase.")
    return found
