"""`python -m bench.fuzz`: sends strange uploads through the whole look-through, and whatever comes through into the course.

python -m bench.fuzz --minutes 10            ten minutes of them, with a seed of their own
python -m bench.fuzz --minutes 1 --seed 7    the same ones again
python -m bench.fuzz --replay FILE           one that was kept, with all that is said of it

What is sent is drawn by hypothesis (tests/authoring/strange.py). Of each is asked (tests/authoring/trial.py) that it ends within its
time and memory; that it is refused in words, with nothing written, or is ready; that what is brought in holds nothing that acts; and
that no temporary file is left. What fails is kept in bench/tmp/fuzz. The exit code is 0 when nothing did.
"""

import argparse
import base64
import json
import os
import random
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from bench.processes import PYTHON, ROOT, end, start
from tests.authoring import strange
from tests.authoring.strange import Strange
from tests.authoring.trial import Failed, Grown, Trial

KEPT = ROOT / "bench" / "tmp" / "fuzz"
PRESENT = "present"  # the file that holds what a child is at
HUNG = 120.0  # seconds by the clock that one may take before its process is ended
AT_ONCE = 100  # uploads by one seed


def main() -> int:
    """Exit code 0 when nothing failed, 1 when something did, 130 on Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None, help="of what is drawn; without it a new one each time")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="send this one alone")
    parser.add_argument("--child", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    first = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1, 1_000_000)
    if asked.child:
        child(60 * asked.minutes, first, asked.child)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="courseapp-fuzz-"))
    try:
        if asked.replay:
            print(Trial(folder).run(unpacked(asked.replay.read_bytes())))
            return 0
        return watched(60 * asked.minutes, first, folder)
    except Failed as error:
        print(error)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def watched(seconds: float, first: int, folder: Path) -> int:
    """Have children make trials until the time is over, another where one hangs or dies; the exit code."""
    print(f"seed {first}", flush=True)
    began, number, failed, done, slowest = time.monotonic(), first, 0, Counter[str](), 0.0
    while number == first or time.monotonic() - began < seconds:
        place = folder / str(number)
        place.mkdir()
        left = max(1.0, seconds - (time.monotonic() - began)) / 60
        command = [PYTHON, "-m", "bench.fuzz", "--child", place, "--minutes", str(left), "--seed", str(number)]
        process = start(command, place / "errors", stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "TMPDIR": str(place)})
        for row in said_by(process, place):
            if "failed" in row:
                failed += 1
                print(f"FAILED, kept in {row['kept']}:\n{row['failed']}", flush=True)
            else:
                done, slowest, number = done + Counter(row["states"]), max(slowest, row["slowest"]), number + 1
        end(process)
        if process.returncode:
            failed += 1
            kept = keep((place / PRESENT).read_bytes()) if (place / PRESENT).exists() else "nothing"
            print(f"ENDED by {process.returncode}, kept in {kept}:\n{(place / 'errors').read_text()[-3000:]}", flush=True)
        number += 1
    took = time.monotonic() - began
    print(f"{done.total()} uploads in {took:.0f} s: {dict(done)}; the slowest took {slowest:.1f} s; {failed} failed", flush=True)
    return int(failed > 0)


def said_by(process: "subprocess.Popen[bytes]", place: Path) -> Iterator[dict[str, Any]]:
    """What a child says, as it says it; one that has been at the same upload for too long is ended."""
    assert process.stdout is not None
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(1.0):
                piece = os.read(process.stdout.fileno(), 65536)
                if not piece:
                    return
                *lines, rest = (rest + piece).split(b"\n")
                yield from map(json.loads, lines)
            present = place / PRESENT
            if present.exists() and time.time() - present.stat().st_mtime > HUNG:
                process.kill()


def child(seconds: float, first: int, folder: Path) -> None:
    """Make trials until the time is over; what came of them is said by the hundred, what failed at once."""
    trial, ends = Trial(folder), time.monotonic() + seconds
    states, slowest = Counter[str](), 0.0

    def one(drawn: Strange) -> None:
        nonlocal slowest, ends
        if time.monotonic() > ends:
            return
        (folder / PRESENT).write_bytes(packed(drawn))
        began = time.process_time()
        try:
            states[trial.run(drawn)] += 1
        except Exception as error:
            words = str(error) if isinstance(error, Failed) else traceback.format_exc()
            print(json.dumps({"failed": words, "kept": keep(packed(drawn))}), flush=True)
            ends = 0.0 if isinstance(error, Grown) else ends
        slowest = max(slowest, time.process_time() - began)

    how = settings(max_examples=AT_ONCE, deadline=None, database=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
    number = first
    while time.monotonic() < ends:
        seed(number)(how(given(strange.uploads())(one)))()
        print(json.dumps({"states": dict(states), "slowest": slowest}), flush=True)
        states.clear()
        number += 1


def packed(drawn: Strange) -> bytes:
    """One upload, to be kept in a file."""
    return json.dumps({**asdict(drawn), "sent": [(name, base64.b64encode(raw).decode()) for name, raw in drawn.sent]}).encode()


def unpacked(content: bytes) -> Strange:
    """The upload that was kept."""
    facts = json.loads(content)
    return Strange(tuple((name, base64.b64decode(raw)) for name, raw in facts["sent"]), facts["into"], facts["needs"])


def keep(content: bytes) -> str:
    """Keep what failed; the name of its file."""
    KEPT.mkdir(parents=True, exist_ok=True)
    file = KEPT / f"{time.time_ns():x}.json"
    file.write_bytes(content)
    return str(file.relative_to(ROOT))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
