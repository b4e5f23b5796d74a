"""Everything hostile, sent to a running server."""

import contextlib
import random
import re
import time
from collections import Counter
from pathlib import Path

from bench.drills.browser import Browser
from bench.drills.ground import Ground, Sums
from bench.drills.staff import Staff, content_of, files_of, installation, judge_files
from bench.processes import family
from tests.authoring.hostile.child import ITEMS


def hostile_uploads(ground: Ground, _dice: random.Random) -> Sums:
    """Every item of the suite's table, sent by the page to a running server: in words, in time, in memory, with nothing left."""
    sums = Sums()
    environment = installation(ground, "hostile")
    worker = ground.celery_worker("hostile-worker", environment, "--concurrency", "1")
    staff = Staff(ground, "hostile", environment)
    staff.until(staff.upload(("course.zip", b"PK")), "refused")  # so that everything is loaded
    before, files = content_of(ground, "hostile"), files_of(environment)
    slowest, grown, states = (0.0, ""), (0.0, ""), Counter[str]()
    for name, make in ITEMS.items():
        item = make()
        memory = _peak_mb(worker.pid, renew=True)
        public_id = staff.upload(*item.sent)
        began = time.monotonic()
        state = staff.until(public_id, "ready", "refused", "failed", seconds=30)
        slowest = max(slowest, (round(time.monotonic() - began, 2), name))
        grown = max(grown, (round(_peak_mb(worker.pid) - memory, 1), name))
        states[state] += 1
        codes = ground.rows("hostile", "SELECT report::text FROM uploads WHERE public_id = %s", public_id)[0][0]
        sums.expect(state == ("ready" if item.is_ready else "refused"), f"{name}: {state}")
        sums.expect(f'"{item.code}"' in codes or not item.code, f"{name}: {codes[:300]}")
        sums.expect(Browser(int(environment["PORT"])).get("/").status == 200, f"{name}: the site does not answer")
        staff.decide(public_id, "cancel")
    sums.expect(slowest[0] < 5, f"{slowest[1]} took {slowest[0]} s")
    sums.expect(grown[0] < 100, f"{grown[1]} took {grown[0]} MB")
    sums.expect(content_of(ground, "hostile") == before, "something was written into the database")
    judge_files(ground, environment, files, sums)
    sums.expect(worker.poll() is None, f"the worker ended: {ground.log('hostile-worker')[-600:]}")
    sums.detail |= {"items": len(ITEMS), "states": dict(states), "slowest": slowest, "most_mb": grown}
    return sums


def _peak_mb(pid: int, renew: bool = False) -> float:
    """The most memory that a process or one below it had, together, since it was last renewed (proc(5), clear_refs)."""
    total = 0.0
    for member in family(pid):
        with contextlib.suppress(OSError, IndexError):
            if renew:
                Path(f"/proc/{member}/clear_refs").write_text("5")
            total += int(re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{member}/status").read_text())[0]) / 1024
    return total
