"""How the pages are served. gunicorn reads this file from the folder it is started in; a command line wins. Empty settings are none."""

import gc
import os
from typing import Any

wsgi_app = "courseapp:create_app()"
host = os.environ.get("HOST") or "0.0.0.0"  # noqa: S104  # a container's port is reached from outside it
bind = f"{host}:{os.environ.get('PORT') or '8000'}"
workers = int(os.environ.get("WEB_WORKERS") or "1")
threads = int(os.environ.get("WEB_THREADS") or "8")
worker_class = "gthread"
graceful_timeout = 30  # s
keepalive = 15  # s
max_requests = 20_000
max_requests_jitter = 2_000
control_socket_disable = True


def post_fork(server: Any, worker: Any) -> None:
    """Hardly anything that a start loads is garbage, and looking through it again and again takes a tenth of the start."""
    gc.disable()


def post_worker_init(worker: Any) -> None:
    """From here on garbage is collected, but not looked for in what the start has loaded."""
    gc.freeze()
    gc.enable()
