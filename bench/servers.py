"""gunicorn (gthread) against granian (WSGI) as the web process: `python -m bench.servers [--quick]`.

The lesson page, one worker process with eight threads on either side, same database, same guests, in alternation, with 8 and
32 connections. Prints the figures that docs/decisions/0002-web-server.md holds, and writes bench/servers.json.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import visitors
from bench.harness import Ground, Side, Web, alternate, compare
from bench.pages import CONNECTIONS, lessons_of
from bench.processes import PYTHON, THREADS
from bench.result import Plan
from bench.run import machine

RESULTS = Path(__file__).parent / "servers.json"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.servers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="short windows")
    plan = Plan(parser.parse_args().quick, 0)
    with Ground() as ground:
        ground.prepare("bench", 1_000)
        servers = {"gunicorn": ground.app("gunicorn"), "granian": granian(ground)}
        lessons = lessons_of(ground, "bench")
        guests = visitors.guests(ground, servers["gunicorn"], plan.guests, lessons[0])
        found = alternate(ground, [side(web, guests, lessons) for web in servers.values()], CONNECTIONS, plan.rounds, plan.seconds)
        _ratio, detail = compare(found, tuple(servers))
        facts: dict[str, Any] = {
            "machine": machine(),
            "versions": {name: version(name) for name in servers},
            "memory_mb": {name: round(web.worker_rss_mb, 1) for name, web in servers.items()},
            "start_s": {name: round(web.start_s, 2) for name, web in servers.items()},
            **detail,
        }
    RESULTS.write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))


def granian(ground: Ground) -> Web:
    """The same application under granian, with as many threads."""
    words = ["--interface", "wsgi", "--host", "127.0.0.1", "--workers", "1", "--blocking-threads", str(THREADS)]
    words += ["--log-level", "warning", "--no-ws", "--factory", "courseapp:create_app"]
    return ground.web("granian", lambda port: [PYTHON, "-m", "granian", "--port", str(port), *words], "bench")


def side(web: Web, guests: list[visitors.Visitor], lessons: list[str]) -> Side:
    """Every guest opens a lesson; a cookie of one server counts at the other, for they share the secret and the database."""
    requests = [visitors.get(web, f"/lessons/{lessons[n % len(lessons)]}", guest.network, guest.cookie) for n, guest in enumerate(guests)]
    return Side(web, lambda: requests, "200", True)


if __name__ == "__main__":
    main()
