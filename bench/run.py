"""`make bench`, `python -m bench`: measures every row against the floor in one run, prints the table, writes bench/results.json.

python -m bench                         all rows, under eight minutes on two cores
python -m bench --quick                 all rows with short windows, under 90 seconds; shows that it works, not how fast
python -m bench --only lesson_page      one row (several: repeat it); results.json keeps the other rows as they are
python -m bench --growth 1000000        growth_1m as the goal has it; inventing the learners takes a quarter of an hour
python -m bench --only segment_count_s --contacts 100000      a segment over fewer contacts than the goal has
"""

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.harness import Ground
from bench.imports import imports, page_meanwhile
from bench.mails import Mails
from bench.media import media_first_byte
from bench.pages import Pages
from bench.processes import ROOT
from bench.result import Plan, Row
from bench.segments import expansion, segment_count
from bench.ticks import idle_tick
from bench.webhooks import webhook_intake

RESULTS = Path(__file__).parent / "results.json"
NAMES = (
    "lesson_page",
    "record_progress",
    "landing_page",
    "enrol",
    "media_first_byte",
    "import_page_p99",
    "web_rss_mb",
    "web_start_s",
    "growth_1m",
    "webhook_intake",
    "outbox_vs_building",
    "outbox_vs_prebuilt",
    "idle_tick_ms",
    "idle_tick_growth",
    "segment_count_s",
    "expansion_per_s",
    "import_ratio",
    "import_rss_mb",
)
OF_PAGES = NAMES[:9]


def main() -> int:
    """Exit code 0 when all rows were measured, whether their goals hold or not; 1 when one could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short windows")
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}; may be repeated")
    parser.add_argument("--growth", type=int, default=10_000, metavar="N", help="learners on the large side of growth_1m (10,000)")
    parser.add_argument("--contacts", type=int, metavar="N", help="contacts of segment_count_s (1,000,000; with --quick 100,000)")
    asked = parser.parse_args()
    wanted = set(asked.only or NAMES)
    plan = Plan(asked.quick, asked.growth, asked.contacts or (100_000 if asked.quick else 1_000_000))
    began = time.monotonic()
    rows: list[Row] = []
    failed = False
    try:
        with Ground(plan.quick) as ground:
            for work in works(ground, plan, wanted):
                try:
                    rows += [row for row in show(work()) if row.name in wanted]
                    write(rows, keep=bool(asked.only))  # after each, so that a run that is stopped has not been for nothing
                except RuntimeError as error:
                    failed = True
                    print(f"NOT MEASURED: {error}", flush=True)
    except KeyboardInterrupt:
        print("stopped; nothing is left running")
        return 130
    print(f"\n{len(rows)} rows in {time.monotonic() - began:.0f} s → {RESULTS.relative_to(ROOT)}; load average {os.getloadavg()[0]:.1f}")
    return int(failed)


def works(ground: Ground, plan: Plan, wanted: set[str]) -> list[Callable[[], list[Row]]]:
    """What to do, in order. Data is prepared on the way, and only what is needed."""
    say(f"PostgreSQL runs; inventing learners ({machine()['load']:.1f} load average)")
    ground.prepare("small", 1_000)
    found: list[Callable[[], list[Row]]] = []
    if wanted & set(OF_PAGES):
        ground.prepare("bench", plan.learners, template="small")
        if "growth_1m" in wanted and plan.is_large:  # before the servers run: a database in use is no template
            ground.prepare("large", plan.growth - plan.learners - 1000, template="bench")
        pages = Pages(ground, plan)
        say("servers run, guests have come in")
        steps: dict[str, Callable[[], list[Row]]] = {
            "lesson_page": pages.lesson_page,
            "record_progress": pages.record_progress,
            "landing_page": pages.landing_page,
            "enrol": pages.enrol,
            "media_first_byte": lambda: media_first_byte(pages),
            "import_page_p99": lambda: page_meanwhile(pages),
            "web_rss_mb": pages.memory,
            "web_start_s": pages.start,
            "growth_1m": pages.growth,
        }
        found += [step for name, step in steps.items() if name in wanted]
    if "webhook_intake" in wanted:
        if not wanted & set(OF_PAGES):
            ground.prepare("bench", plan.learners, template="small")
        found.append(lambda: webhook_intake(ground, plan))
    if wanted & {"outbox_vs_building", "outbox_vs_prebuilt"}:
        found.append(lambda: Mails(ground, plan).rows())
    if wanted & {"idle_tick_ms", "idle_tick_growth"}:
        found.append(lambda: idle_tick(ground, plan))
    if "expansion_per_s" in wanted:
        found.append(lambda: expansion(ground, plan))
    if "segment_count_s" in wanted:
        found.append(lambda: segment_count(ground, plan))
    if wanted & {"import_ratio", "import_rss_mb"}:
        found.append(lambda: imports(ground, plan))
    return found


def show(rows: list[Row]) -> list[Row]:
    """Print lines of the table."""
    for row in rows:
        print(f"{row.name:20} {row.value:>9} {row.unit:18} {row.goal:32} {'holds' if row.holds else 'DOES NOT HOLD'}", flush=True)
        for name, part in row.detail.items():
            if name.endswith("_connections"):
                sides = [(side, facts) for side, facts in part.items() if isinstance(facts, dict)]
                for side, facts in sides:
                    print(
                        f"    {name.replace('_', ' '):15} {side:6} {facts['per_second']:8.0f}/s"
                        f"  CPU {facts['app_cpu_ms']:.2f} + {facts['db_cpu_ms']:.2f} ms"
                        f"  p50 {facts['p50_ms']:.1f}  p99 {facts['p99_ms']:.1f} ms  {facts['bytes']:.0f} bytes",
                        flush=True,
                    )
                print(f"    {'':15} ratio {part['ratio']} (rounds {part['ratio_of_rounds']}), by CPU {part['ratio_by_cpu']}", flush=True)
        if "queries" in row.detail:
            print(f"    queries {row.detail['queries']}, transactions {row.detail['transaction_statements']}", flush=True)
    return rows


def write(rows: list[Row], keep: bool) -> None:
    """bench/results.json; with `keep`, rows of earlier runs that this one did not measure stay."""
    made: list[dict[str, Any]] = [asdict(row) for row in rows]
    if keep and RESULTS.exists():
        names = {row.name for row in rows}
        made += [row for row in json.loads(RESULTS.read_text())["rows"] if row["name"] not in names]
        made.sort(key=lambda row: NAMES.index(row["name"]) if row["name"] in NAMES else 99)
    whole = {"commit": commit(), "machine": machine(), "rows": made}
    RESULTS.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


def commit() -> str:
    """The commit measured; marked where the tree differs from it."""
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        return "uncommitted"
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", "courseapp", "templates"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() + ("+changes" if changed.stdout.strip() else "")


def machine() -> dict[str, Any]:
    """What it ran on, and how busy that was with other things."""
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), ""
    )
    return {
        "cpu": model or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "load": os.getloadavg()[0],
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def say(words: str) -> None:
    """Progress."""
    print(f"… {words}", flush=True)
