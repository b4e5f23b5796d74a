"""Kombu's filesystem transport, with messages that appear whole.

Kombu opens a message's file under its final name and then writes it; a worker that looks between the two reads nothing,
and ends with a JSONDecodeError. Here the file is written under another name and renamed.
"""

import os
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps

SCHEME = "wholefiles"


class Channel(filesystem.Channel):
    """A channel whose messages are renamed into their queue."""

    def _put(self, queue: str, payload: Any, **_options: Any) -> None:  # type: ignore[override]  # two of kombu's own disagree
        name = f"{round(monotonic() * 1000)}_{uuid4()}.{queue}.msg"
        half = Path(self.data_folder_out) / f"{name}.part"  # a name that no queue's reader takes up
        half.write_text(dumps(payload))
        os.replace(half, half.with_name(name))


class Transport(filesystem.Transport):
    """The transport of the embedded mode."""

    Channel = Channel


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
