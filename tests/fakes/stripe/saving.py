"""What the server knows, kept in a file, so that who tries paid tiers out finds their purchases again the next day."""

import pickle
import threading
from pathlib import Path

from tests.fakes.stripe.books import VERSION, Books

KEPT = ("kept", "_by_kind", "behind", "events", "settings", "_shift")


class Saving:
    """One file; written whole, beside its place, and moved there."""

    def __init__(self, books: Books, file: Path) -> None:
        self._books, self._file = books, file
        self._lock = threading.Lock()

    def load(self) -> bool:
        """Read the file, if there is one of this version; objects of another do not fit the SDK any more."""
        if not self._file.exists():
            return False
        version, url, values = pickle.loads(self._file.read_bytes())  # written by this class alone
        if version != VERSION or url != self._books.url:  # addresses of pages stand in what is kept
            return False
        for name, value in zip(KEPT, values, strict=True):
            setattr(self._books, name, value)
        return True

    def save(self) -> None:
        """Write it down. Deliveries and idempotency keys are not kept."""
        with self._books.lock:
            values = pickle.dumps((VERSION, self._books.url, [getattr(self._books, name) for name in KEPT]))
        with self._lock:
            beside = self._file.with_suffix(".new")
            beside.write_bytes(values)
            beside.replace(self._file)
