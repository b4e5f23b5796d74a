"""`make run BILLING=demo`: paid tiers tried out offline, with play money, at a stand-in for Stripe that runs beside the web server.

The stand-in is the one of the tests (`tests/fakes/stripe_server.py`), so this needs the repository and not the image.
"""

import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from courseapp.billing import offering
from courseapp.config import Settings

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ("guided-practice", "rest-and-recovery")
PATIENCE = 20.0  # seconds the stand-in may take to start


def stand_in(settings: Settings) -> list[str]:
    """How it is started: on the port that stays, with what was bought before, telling our webhook all that happens."""
    hook = f"http://{settings.host}:{settings.port}/billing/webhook={settings.stripe_webhook_secrets}"
    state = str((settings.data_dir / "stripe.state").absolute())
    command = [sys.executable, "-m", "tests.fakes.stripe_server", "--port", str(port_of(settings)), "--key", settings.stripe_secret_key]
    return [*command, "--hook", hook, "--state", state]


def port_of(settings: Settings) -> int:
    """Where the stand-in listens."""
    return urlsplit(settings.stripe_url).port or 0


def offer(now: datetime) -> None:
    """Tiers that sell the two example courses; what is there already is left alone. The caller commits."""
    offering.offer(ROOT / "content" / "tiers.yaml", now)


def set_up(settings: Settings) -> bool:
    """Have the stand-in know our prices, and its portal our plans, once it answers; whether that went well.

    What an owner does at Stripe by hand (docs/operations.md, "Paid tiers"). The command that failed says why.
    """
    ends = time.monotonic() + PATIENCE
    while not is_taken("127.0.0.1", port_of(settings)) and time.monotonic() < ends:
        time.sleep(0.1)
    return all(_has_done(*words) for words in (("sync",), ("setup", "--yes")))


def _has_done(*words: str) -> bool:
    command = [sys.executable, "-m", "flask", "--app", "courseapp", "billing", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  # fixed words
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)  # noqa: T201  # the launcher speaks to a terminal
    return done.returncode == 0


def is_taken(host: str, port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0
