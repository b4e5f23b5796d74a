"""An S3-compatible server of this machine's own: moto, in a process of its own, one for each worker of a run that asks for it."""

import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.services import PATIENCE, _die_with_parent, _free_port

KEYS = {"s3_access_key": "tests-only", "s3_secret_key": "tests-only-secret"}


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a moto server; skips, by name, where it is not installed."""
    for name in ("moto", "flask_cors"):
        if find_spec(name) is None:
            pytest.skip(f"S3 CANNOT RUN HERE: the package {name} is not installed")
    port = _free_port()
    log: Path = tmp_path_factory.mktemp("moto") / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=file, stderr=file, preexec_fn=_die_with_parent)
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
    while not _answers(address):
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(f"moto did not start: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.05)
    yield address
    process.kill()
    process.wait()


@pytest.fixture
def bucket(object_store: str) -> dict[str, Any]:
    """The settings of an empty bucket: `make_app(**bucket)`."""
    name = f"files-{secrets.token_hex(4)}"
    make_bucket(object_store, name)
    return {"storage_url": f"s3://{name}/course", "s3_endpoint": object_store, **KEYS}


def make_bucket(address: str, name: str) -> None:
    """A bucket of this name; moto asks for no signature."""
    with urllib.request.urlopen(urllib.request.Request(f"{address}/{name}", method="PUT"), timeout=10):
        pass


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/moto-api/", timeout=2):
            return True
    except OSError:
        return False
