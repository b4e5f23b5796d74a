"""Patience: how long one piece of somebody's upload may be looked at.

What reads a text or a document is written by others, and for each there is some input over which it sits for hours. The bounds on
length keep that rare; this keeps it from holding up everybody else's uploads, and tells whoever sent it.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from courseapp.authoring.report import Unfit

A_TEXT = 15.0  # seconds; the longest one takes one
A_DOCUMENT = 90.0  # the longest one takes thirty
AGAIN = 0.5  # after which it is stopped once more, where a library has taken the first time for a failure of its own


class _Stopped(BaseException):
    """Time is up. Not an Exception, which libraries catch and go on."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise Unfit where what is done inside takes longer. Nothing else may be done there: it ends in the middle of a line.

    It goes by a signal, and those reach the main thread alone; in others, and inside of itself, it lets everything take its time.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return
    is_over = False

    def stop(_number: int, _frame: object) -> None:
        if not is_over:
            raise _Stopped

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
        is_over = True
    except _Stopped as error:
        is_over = True
        words = f"Looking through this took longer than {seconds:g} seconds, and was given up."
        raise Unfit("too_slow", words, "Make it shorter or plainer, or divide it.") from error
    finally:
        is_over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
