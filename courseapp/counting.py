"""The counters of the rate limits, in memory: for an installation without Redis, which is one process anyway."""

import threading
import time

from limits.storage import Storage

SCHEME = "counters"
SWEPT_EVERY = 60.0  # seconds between two sweeps of counters whose time is over


class Counters(Storage):
    """Fixed windows by key. The library's own store walks through all its keys, in a new thread, after nearly every hit: under
    many addresses at once, which is when limits are wanted, that costs more than the page. This one does so once a minute.
    """

    STORAGE_SCHEME = [SCHEME]  # the library reads it from the class

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: str) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions, **options)
        self._windows: dict[str, tuple[int, float]] = {}  # key → hits, and when the window ends
        self._swept_at = time.time()
        self._lock = threading.Lock()

    @property
    def base_exceptions(self) -> type[Exception]:
        """What may go wrong with the store itself: nothing."""
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count `amount` more hits in the key's window of `expiry` seconds; how many there are now."""
        now = time.time()
        with self._lock:
            if now - self._swept_at > SWEPT_EVERY:
                self._windows = {name: window for name, window in self._windows.items() if window[1] > now}
                self._swept_at = now
            hits, ends = self._windows.get(key, (0, 0.0))
            hits, ends = (hits + amount, ends) if ends > now else (amount, now + expiry)
            self._windows[key] = hits, ends
        return hits

    def get(self, key: str) -> int:
        """The hits in the key's window."""
        hits, ends = self._windows.get(key, (0, 0.0))
        return hits if ends > time.time() else 0

    def get_expiry(self, key: str) -> float:
        """When the key's window ends, in seconds since the epoch; now, where there is none."""
        return max(self._windows.get(key, (0, 0.0))[1], time.time())

    def check(self) -> bool:
        """It is always there."""
        return True

    def reset(self) -> int:
        """Forget everything; how many keys there were."""
        with self._lock:
            count, self._windows = len(self._windows), {}
        return count

    def clear(self, key: str) -> None:
        """Forget one key."""
        with self._lock:
            self._windows.pop(key, None)
