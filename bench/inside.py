"""Looking into one process of the application: preparing data, timing the idle tick, profiling. Run by the harness.

python -m bench.inside prepare 10000        tables, course, sequences, invented learners
python -m bench.inside tick                 milliseconds of one look for due runs, as JSON
python -m bench.inside expand               seconds to put a broadcast into the outbox
python -m bench.inside count TREE           seconds to count a segment, given as JSON
python -m bench.inside profile REQUESTS     where the time goes, page by page, as JSON (REQUESTS: a file of requests)
"""

import argparse
import cProfile
import io
import json
import pstats
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import sqlalchemy as sa

from courseapp import clock, create_app
from courseapp.extensions import db


def prepare(learners: int, only_learners: bool) -> None:
    """Fill an empty database as a new installation does, and with learners."""
    from courseapp.operations.embedded import prepare as install
    from courseapp.operations.synthetic import make_learners

    with create_app().app_context():
        if not only_learners:
            install(clock.now())
            db.session.commit()
        for _made in make_learners(learners, clock.now(), seed=learners):
            db.session.commit()


def tick() -> None:
    """The due-selection of sequences and of the outbox with nothing due: medians of 300, in milliseconds."""
    from courseapp.campaigns.loops import advance_runs
    from courseapp.mailing import outbox

    def once(work: Any) -> float:
        began = time.perf_counter()
        assert not work()
        return 1000 * (time.perf_counter() - began)

    def claim() -> object:
        claimed = outbox.claim(clock.now(), 20)
        db.session.commit()
        return claimed

    with create_app().app_context():
        found = {}
        for name, work in (("runs", lambda: advance_runs(clock.now)), ("outbox", claim)):
            for _ in range(30):
                once(work)
            times = sorted(once(work) for _ in range(300))
            found[name] = {"median_ms": statistics.median(times), "p99_ms": times[296]}
        print(json.dumps(found))


def count(tree: dict[str, Any]) -> None:
    """How many a segment chooses, and the seconds it takes: the first time, and the median and the most of nine more."""
    from courseapp.campaigns.segments import contacts_in, count_of

    with create_app().app_context():
        times = []
        for _ in range(10):
            began = time.perf_counter()
            people = count_of(tree, clock.now())
            db.session.commit()
            times.append(time.perf_counter() - began)
        query = contacts_in(tree, clock.now()).compile(db.engine, compile_kwargs={"literal_binds": True})
        plan = db.session.connection().exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS) {query}".replace("%", "%%")).scalars().all()
        told = {"people": people, "first_s": times[0], "median_s": statistics.median(times[1:]), "most_s": max(times[1:]), "plan": plan}
        print(json.dumps(told))


def expand() -> None:
    """A broadcast to all who agreed to course mail: seconds until whom it is for is fixed, and until their mails are in the outbox; then
    how long somebody waits who lets it go again after a pause, and who cancels it."""
    from datetime import time as time_of_day
    from datetime import timedelta

    from courseapp.campaigns import broadcasts, expanding, loops
    from courseapp.contacts.models import Purpose
    from courseapp.contacts.windows import Window
    from courseapp.mailing.models import Message
    from courseapp.mailing.outbox import PAUSED

    with create_app().app_context():
        now = clock.now()
        words = {"title": "News", "language": "en", "subject": "News of the course", "preheader": "In short", "body": "There is news."}
        draft = broadcasts.Draft(purpose=Purpose.COURSE, segment=None, window=Window(time_of_day(9), time_of_day(11)), **words)
        broadcast = broadcasts.new_broadcast(draft, None, now)
        broadcasts.schedule(broadcast, now, None, now)
        db.session.commit()
        began = time.perf_counter()
        expanding.freeze(broadcast, now)
        db.session.commit()
        frozen = time.perf_counter() - began
        count = loops.work_broadcasts(clock.now, seconds=300)
        took = time.perf_counter() - began
        assert count == broadcast.candidates
        waits = {"due_at": now + timedelta(days=1), "reason": PAUSED}  # as workers put them off, slice by slice
        broadcasts.pause(broadcast, 0, now)
        db.session.execute(sa.update(Message).where(Message.stream_id == broadcast.stream_id).values(waits))
        db.session.commit()
        pages = {}
        for name, act in (("resume_s", broadcasts.resume), ("cancel_s", broadcasts.cancel)):
            began = time.perf_counter()
            act(broadcast, 0, now)
            db.session.commit()
            pages[name] = time.perf_counter() - began
        print(json.dumps({"people": count, "freeze_s": frozen, "expand_s": took - frozen, "per_s": count / took, **pages}))


def environ_of(request: str) -> dict[str, Any]:
    """A WSGI environment of a raw request."""
    head, _blank, body = request.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    method, target, _version = first.split(" ")
    path, _mark, query = target.partition("?")
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "REMOTE_ADDR": "127.0.0.1"}
    for line in lines:
        name, _colon, value = line.partition(": ")
        key = name.upper().replace("-", "_")
        environ[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = value
    setup_testing_defaults(environ)
    environ["wsgi.input"] = io.BytesIO(body.encode())
    return environ


def profile(file: Path) -> None:
    """Each page's milliseconds, statements, and the parts of it, from requests called on the WSGI application directly."""
    pages: dict[str, dict[str, Any]] = json.loads(file.read_text())
    app = create_app()
    statements: Counter[str] = Counter()
    with app.app_context():
        engine = db.engine
    spent = {"db": 0.0}

    @sa.event.listens_for(engine, "before_cursor_execute")
    def before(_connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        statements[" ".join(statement.split())[:100]] += 1
        context.bench_began = time.perf_counter()

    @sa.event.listens_for(engine, "after_cursor_execute")
    def after(_connection: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        spent["db"] += time.perf_counter() - context.bench_began

    def call(request: str, expect: str) -> None:
        said: list[str] = []
        answer = app.wsgi_app(environ_of(request), lambda status, _headers, _exc=None: said.append(status))
        for _part in answer:
            pass
        if hasattr(answer, "close"):
            answer.close()
        assert said[0].startswith(expect), (request.partition("\r\n")[0], said)

    found = {}
    for name, page in pages.items():
        requests, expect = page["requests"], page["expect"]
        third = len(requests) // 3
        for request in requests[:third]:
            call(request, expect)
        statements.clear()
        spent["db"] = 0.0
        began, cpu = time.perf_counter(), time.process_time()
        for request in requests[third : 2 * third]:
            call(request, expect)
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        counted, waited = dict(statements), spent["db"]
        profiler = cProfile.Profile()
        profiler.enable()
        for request in requests[2 * third : 3 * third]:
            call(request, expect)
        profiler.disable()
        found[name] = {
            "wall_ms": 1000 * wall / third,
            "cpu_ms": 1000 * cpu / third,
            "in_statements_ms": 1000 * waited / third,
            "statements": {words: count / third for words, count in counted.items()},
            "parts": parts(pstats.Stats(profiler), third),
        }
    print(json.dumps(found))


def parts(stats: pstats.Stats, count: int) -> dict[str, list[list[Any]]]:
    """The dearest functions by their own time and with what they call, in ms per request; cProfile slows Python down two- to threefold."""
    rows = [
        [f"{Path(file).parent.name}/{Path(file).name}:{line}({name})", round(calls / count, 2), 1000 * own / count, 1000 * whole / count]
        for (file, line, name), (_primitive, calls, own, whole, _callers) in stats.stats.items()
    ]
    return {"own": sorted(rows, key=lambda row: -row[2])[:30], "whole": sorted(rows, key=lambda row: -row[3])[:140]}


def main() -> None:
    """One of the five."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("prepare", "tick", "count", "expand", "profile"))
    parser.add_argument("argument", nargs="?", default="")
    parser.add_argument("--only-learners", action="store_true")
    asked = parser.parse_args()
    if asked.what == "prepare":
        prepare(int(asked.argument), asked.only_learners)
    elif asked.what == "tick":
        tick()
    elif asked.what == "count":
        count(json.loads(asked.argument))
    elif asked.what == "expand":
        expand()
    else:
        profile(Path(asked.argument))


if __name__ == "__main__":
    sys.exit(main())
