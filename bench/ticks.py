"""Rows of the idle tick: what looking for due runs costs when nothing is due, with 1,000 and with 1,000,000 runs."""

import json
from typing import Any

from bench.harness import Ground, middle
from bench.processes import PYTHON
from bench.result import Plan, Row


def idle_tick(ground: Ground, plan: Plan) -> list[Row]:
    """Both rows: milliseconds with many runs, and how much that is of the milliseconds with 1,000."""
    sizes = {"few": 1_000, "many": plan.runs}
    for name, count in sizes.items():
        ground.database(f"tick_{name}", "small")
        fill(ground, f"tick_{name}", count)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sizes}
    for _ in range(2 if plan.quick else 4):
        for name in sizes:
            found[name].append(json.loads(ground.run([PYTHON, "-m", "bench.inside", "tick"], ground.environment(f"tick_{name}"))))
    medians = {name: [each["runs"]["median_ms"] for each in rows] for name, rows in found.items()}
    value = middle(medians["many"], 3)
    growth = middle([a / b for a, b in zip(medians["many"], medians["few"], strict=True)], 3)
    detail: dict[str, Any] = {
        "runs": sizes["many"],
        "few_ms": middle(medians["few"], 3),
        "many_p99_ms": middle([each["runs"]["p99_ms"] for each in found["many"]], 3),
        "outbox_claim_ms": {name: middle([each["outbox"]["median_ms"] for each in rows], 3) for name, rows in found.items()},
        "what": "campaigns.loops.advance_runs with a commit, every run due in the coming 30 days, none now",
    }
    if plan.runs < 1_000_000:
        detail["short_of_goal"] = f"{plan.runs} runs: --quick"
    is_whole = plan.runs >= 1_000_000
    return [
        Row("idle_tick_ms", value, "ms", "<= 5", value <= 5 and is_whole, detail),
        Row("idle_tick_growth", growth, "× of 1,000 runs", "<= 1.2 (flat)", growth <= 1.2 and is_whole, detail),
    ]


def fill(ground: Ground, database: str, count: int) -> None:
    """`count` contacts, each with a run of the first sequence due within the coming 30 days; one in ten has ended."""
    with ground.connection(database) as connection:
        connection.execute(
            """INSERT INTO contacts (public_id, address, address_key, address_mac, zone, language, created_at, confirmed_at)
               SELECT 'tick' || n, 't' || n || '@example.org', 't' || n || '@example.org', md5(n::text), 'UTC', 'en', now(), now()
               FROM generate_series(1, %s) n""",
            [count],
        )
        connection.execute(
            """INSERT INTO sequence_runs
                   (sequence_id, version_id, contact_id, course_id, occasion, position, started_at, next_run_at, ended_at, "end")
               SELECT v.sequence_id, v.id, c.id, k.id, '', 1, now(),
                      CASE WHEN c.id % 10 > 0 THEN now() + interval '1 day' + c.id % 2500000 * interval '1 second' END,
                      CASE WHEN c.id % 10 = 0 THEN now() END, CASE WHEN c.id % 10 = 0 THEN 'finished' END
               FROM contacts c, sequence_versions v, (SELECT id FROM courses ORDER BY id LIMIT 1) k
               WHERE c.public_id LIKE 'tick%' AND v.sequence_id = (SELECT id FROM sequences WHERE key = 'first-week')"""
        )
        connection.execute("VACUUM ANALYZE")
