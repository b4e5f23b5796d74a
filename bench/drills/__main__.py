"""`make drills`, `python -m bench.drills`: kill, cut and take away things, and count what was lost; writes bench/drills.json.

python -m bench.drills                       all drills, with a seed of their own
python -m bench.drills --seed 7              the same again, as far as a machine repeats itself
python -m bench.drills --only redis_gone     one drill (several: repeat it); drills.json keeps the other rows as they are
"""

import argparse
import json
import random
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.drills.broadcasts import broadcast_paused, broadcast_storm
from bench.drills.clocks import clock_jumps
from bench.drills.disks import disk_full
from bench.drills.embedded import run_killed
from bench.drills.ground import DrillError, Ground, NotHere, Sums
from bench.drills.hostile import hostile_uploads
from bench.drills.imports import import_killed
from bench.drills.keeping import backup_under_load
from bench.drills.killing import mail_workers_killed
from bench.drills.mails import races, sigterm_mid_send, smtp_trouble
from bench.drills.outages import postgresql_gone, redis_gone
from bench.drills.purchases import stripe_webhooks
from bench.drills.relay import real_relay
from bench.drills.schedules import two_beats
from bench.drills.uploads import upload_cut

RESULTS = Path(__file__).parent.parent / "drills.json"
DRILLS = {
    # name: (the drill, seconds it may take at most)
    "run_killed": (run_killed, 240),
    "mail_workers_killed": (mail_workers_killed, 180),
    "broadcast_storm": (broadcast_storm, 300),
    "broadcast_paused": (broadcast_paused, 180),
    "two_beats": (two_beats, 180),
    "redis_gone": (redis_gone, 150),
    "postgresql_gone": (postgresql_gone, 120),
    "smtp_trouble": (smtp_trouble, 180),
    "real_relay": (real_relay, 240),
    "sigterm_mid_send": (sigterm_mid_send, 150),
    "races": (races, 90),
    "hostile_uploads": (hostile_uploads, 240),
    "import_killed": (import_killed, 240),
    "disk_full": (disk_full, 150),
    "upload_cut": (upload_cut, 240),
    "stripe_webhooks": (stripe_webhooks, 180),
    "clock_jumps": (clock_jumps, 180),
    "backup_under_load": (backup_under_load, 240),
}


@dataclass(frozen=True)
class Row:
    """One line of bench/drills.json."""

    name: str
    lost: int
    duplicated: int
    uncertain: int
    holds: bool
    seed: int
    detail: dict[str, Any]


class TooLong(Exception):
    """A drill used up its time."""


def main() -> int:
    """Exit code 0 when every drill holds, 1 when one does not, 130 on Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.drills", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", action="append", choices=list(DRILLS), metavar="NAME", help=f"one of {', '.join(DRILLS)}; may be repeated"
    )
    parser.add_argument("--seed", type=int, default=None, help="of the random moments; without it a new one each time")
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1, 100_000)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    signal.signal(signal.SIGALRM, _too_long)
    began = time.monotonic()
    print(f"seed {seed}\n{'drill':22}{'lost':>6}{'duplicated':>12}{'uncertain':>11}  seconds", flush=True)
    rows: list[Row] = []
    not_run: list[str] = []
    ground = Ground()
    try:
        for name in asked.only or DRILLS:
            try:
                rows.append(hold(ground, name, seed))
            except NotHere as error:
                not_run.append(f"{name} DID NOT RUN: {error}")
                print(not_run[-1], flush=True)
            write(rows)
    except KeyboardInterrupt:
        print("stopped; nothing is left running")
        return 130
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # nothing may keep us from ending what we started
        ground.close()
    print(f"\n{sum(row.holds for row in rows)} of {len(rows)} drills hold; {time.monotonic() - began:.0f} s → bench/{RESULTS.name}")
    for words in not_run:
        print(words)
    return 0 if all(row.holds for row in rows) else 1


def hold(ground: Ground, name: str, seed: int) -> Row:
    """One drill to its end, and its line."""
    drill, bound = DRILLS[name]
    began = time.monotonic()
    sums = Sums()
    signal.alarm(bound)
    try:
        sums = drill(ground, random.Random(f"{seed}:{name}"))
    except TooLong:
        sums.wrong.append(f"not over after {bound} s")
        sums.detail["where"] = traceback.format_exc(limit=-4)
    except (DrillError, OSError) as error:
        sums.wrong.append(f"{type(error).__name__}: {error}")
        sums.detail["where"] = traceback.format_exc(limit=-4)
    finally:
        signal.alarm(0)
        ground.clear()
        ground.stop_redis()
    took = round(time.monotonic() - began, 1)
    detail = {"seconds": took, **sums.detail, **({"wrong": sums.wrong[:20]} if sums.wrong else {})}
    row = Row(name, sums.lost, sums.duplicated, sums.uncertain, not sums.wrong, seed, detail)
    print(
        f"{name:22}{row.lost:>6}{row.duplicated:>12}{row.uncertain:>11}  {took:>7} {'holds' if row.holds else 'DOES NOT HOLD'}", flush=True
    )
    for words in sums.wrong[:20]:
        print(f"    {words}", flush=True)
    if "where" in sums.detail:
        print("    " + sums.detail["where"].replace("\n", "\n    "), flush=True)
    return row


def write(rows: list[Row]) -> None:
    """bench/drills.json; rows of drills that this run did not hold stay."""
    made = {row.name: asdict(row) for row in rows}
    kept = {row["name"]: row for row in json.loads(RESULTS.read_text())["rows"]} if RESULTS.exists() else {}
    found = [made.get(name) or kept.get(name) for name in DRILLS]
    half = RESULTS.with_suffix(".part")
    half.write_text(json.dumps({"rows": [row for row in found if row is not None]}, indent=1, ensure_ascii=False) + "\n")
    half.replace(RESULTS)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _too_long(_number: int, _frame: object) -> None:
    raise TooLong


if __name__ == "__main__":
    sys.exit(main())
