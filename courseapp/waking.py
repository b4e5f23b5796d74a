"""The bell: wake-ups are published from a thread of their own, so that no page ever waits for the broker."""

import atexit
import threading
import time
from collections.abc import Callable, Iterable

import structlog

log = structlog.get_logger()

PAUSE = 0.03  # seconds between two rounds: what is rung meanwhile is published once
NUMBERS = 8  # requests that one wake-up names, of those that rang for it in one round
REST = 15.0  # seconds during which a broker that failed is not asked again by this process


class Bell:
    """Publishes topics soon after they were rung; one that gets lost costs a tick of the timetable, never a message.

    Args:
        publish: hands one topic to the broker, with the numbers of the requests that rang for it; may block for its own
            time-out, may raise whatever it likes.
    """

    def __init__(self, publish: Callable[[str, str], None]) -> None:
        self._publish = publish
        self._rung: dict[str, list[str]] = {}  # topic → numbers of the requests
        self._lock = threading.Lock()
        self._busy = threading.Lock()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None
        self._broken_until = 0.0
        atexit.register(self.settle)

    def ring(self, topics: Iterable[str], request_id: str = "") -> None:
        """Have the topics published; returns at once."""
        with self._lock:
            for topic in topics:
                numbers = self._rung.setdefault(topic, [])
                fresh = (number for number in request_id.split(",") if number and number not in numbers)
                numbers += list(fresh)[: NUMBERS - len(numbers)]  # a task may ring in turn, for all who woke it
            if self._thread is None or not self._thread.is_alive():  # not begun yet, or left behind by a fork
                self._thread = threading.Thread(target=self._work, name="bell", daemon=True)
                self._thread.start()
        self._news.set()

    def settle(self) -> None:
        """Publish what was rung, now and here: before a short-lived process ends, and in tests."""
        with self._busy:  # so that whoever comes second waits until the first has published
            with self._lock:
                rung, self._rung = sorted(self._rung.items()), {}
            if time.monotonic() < self._broken_until:
                return
            for topic, numbers in rung:
                asked_by = ",".join(numbers)
                try:
                    self._publish(topic, asked_by)
                except Exception as error:  # whatever the transport raises: the row is committed and the tick will find it
                    self._broken_until = time.monotonic() + REST
                    log.warning("wake_lost", topic=topic, kind=type(error).__name__, **{"request_id": asked_by} if asked_by else {})
                    return

    def forgive(self) -> None:
        """Ask the broker again at once, though it failed."""
        self._broken_until = 0.0

    def _work(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            self.settle()
            time.sleep(PAUSE)
