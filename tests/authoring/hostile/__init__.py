"""Everything hostile or odd that somebody may upload, by name: what is sent, what must be said, and what must come of it.

`test_hostile.py` asks of each that it is answered in time and in memory and that nothing of it is written; `make drills` sends
the same to a running server.
"""

from collections.abc import Callable
from dataclasses import dataclass

Sent = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Item:
    """What is sent as (name, content), and the code by which it is told; `is_ready` where it is harmless once something is left out.

    `shows` and `hides` are words that the preview of a harmless one must and must not hold.
    """

    sent: Sent
    code: str
    is_ready: bool = False
    shows: str = ""
    hides: str = ""


Table = dict[str, Callable[[], Item]]
