"""Rows of segments and broadcasts: counting a segment over 1,000,000 contacts, and putting a broadcast into the outbox."""

import json
from typing import Any

from bench.harness import Ground
from bench.processes import PYTHON
from bench.result import Plan, Row

TREE = {
    "all": [
        {"field": "consent", "op": "given", "value": {"purpose": "course"}},
        {"field": "enrolled_at", "op": "between_days", "value": {"course": "introduction", "from": 30, "to": 60}},
        {"field": "progress", "op": "is", "value": {"course": "introduction", "standing": "begun"}},
        {"field": "mailed", "op": "not_within_days", "value": {"purpose": "any", "days": 7}},
    ]
}
"""Course mail consented, enrolled 30 to 60 days ago, begun but not finished, no mail in 7 days."""


def segment_count(ground: Ground, plan: Plan) -> list[Row]:
    """Seconds of `count_of`, as the page asks for it; the median of several, the first of all beside it."""
    ground.database("segments", "small")
    fill(ground, "segments", plan.contacts)
    given = ground.run([PYTHON, "-m", "bench.inside", "count", json.dumps(TREE)], ground.environment("segments"))
    found: dict[str, Any] = json.loads(given)
    detail = {"contacts": plan.contacts, "tree": TREE, **found}
    if plan.contacts < 1_000_000:
        detail["short_of_goal"] = f"{plan.contacts} contacts: --quick or --contacts"
    value = round(found["median_s"], 3)
    return [Row("segment_count_s", value, "s", "<= 1 with 1,000,000 contacts", value <= 1 and plan.contacts >= 1_000_000, detail)]


def expansion(ground: Ground, plan: Plan) -> list[Row]:
    """Recipients of a broadcast a second, from choosing them to the last mail in the outbox."""
    ground.database("expansion", "small")
    fill(ground, "expansion", 20_000 if plan.quick else 200_000)
    found: dict[str, Any] = json.loads(ground.run([PYTHON, "-m", "bench.inside", "expand"], ground.environment("expansion")))
    value = round(found["per_s"])
    return [Row("expansion_per_s", value, "recipients/s", ">= 20000", value >= 20_000, found)]


def fill(ground: Ground, database: str, count: int) -> None:
    """`count` confirmed contacts as the years would leave them: enrolled over the last 300 days in no order, four in five with consent to
    course mail (one in ten of them has taken it back), a third with no lesson done, a sixth finished, three mails each and one a week
    ago or less for one in five."""
    with ground.connection(database) as connection:
        for statement in STATEMENTS:
            connection.execute(statement, {"count": count}, prepare=False)
        connection.execute("VACUUM ANALYZE")


STATEMENTS = (
    "SELECT setseed(0.42)",
    """CREATE TEMPORARY TABLE people AS
       SELECT n, now() - random() * interval '300 days' AS began, random() AS chance, random() AS far
       FROM generate_series(1, %(count)s) n""",
    """INSERT INTO contacts (public_id, address, address_key, address_mac, zone, language, created_at, confirmed_at)
       SELECT 'seg' || n, 's' || n || '@example.org', 's' || n || '@example.org', md5(n::text), 'UTC', 'en', began, began FROM people""",
    """INSERT INTO users (public_id, contact_id, created_at, seen_at)
       SELECT public_id, id, created_at, created_at FROM contacts WHERE public_id LIKE 'seg%%'""",
    "CREATE TEMPORARY TABLE theirs AS SELECT p.*, u.id AS user_id, u.contact_id FROM people p JOIN users u ON u.public_id = 'seg' || p.n",
    """INSERT INTO enrolments (user_id, course_id, started_at, finished_at)
       SELECT t.user_id, k.id, t.began, CASE WHEN t.far > 0.83 THEN t.began + interval '20 days' END
       FROM theirs t, (SELECT id FROM courses ORDER BY id LIMIT 1) k""",
    """INSERT INTO completions (user_id, lesson_id, completed_at)
       SELECT t.user_id, l.id, t.began + l.number * interval '1 day' FROM theirs t
       JOIN (SELECT id, row_number() OVER (ORDER BY position) AS number, count(*) OVER () AS all_of_them FROM lessons
             WHERE needs_check = 'none') l ON l.number <= (t.far - 0.33) / 0.5 * l.all_of_them""",
    """INSERT INTO consents (contact_id, purpose, action, wording, source, at)
       SELECT contact_id, 'course', action, 'course-1', 'start', began
       FROM theirs, unnest(ARRAY['asked', 'given']) action WHERE chance < 0.8
       UNION ALL SELECT contact_id, 'course', 'withdrawn', 'course-1', 'unsubscribe', began FROM theirs WHERE chance < 0.08
       ORDER BY 6""",
    """INSERT INTO streams (key, purpose, reaches_unconfirmed) VALUES ('course', 'course', false) ON CONFLICT DO NOTHING""",
    """INSERT INTO messages (public_id, dedupe_key, stream_id, contact_id, letter_id, fields, message_id, state, priority, due_at,
                             lease_epoch, attempts, created_at, settled_at)
       SELECT 's' || t.n || 'x' || days, 'bench:' || t.n || ':' || days, s.id, t.contact_id, l.id,
              '{}', 'm', 'accepted', 5, at, 1, 1, at, at
       FROM theirs t CROSS JOIN unnest(ARRAY[0, 3, 7, 1000]) days
       CROSS JOIN LATERAL (SELECT CASE WHEN days < 1000 THEN t.began + days * interval '1 day'
                                       ELSE now() - t.far * interval '7 days' END AS at) sent,
            (SELECT id FROM streams WHERE key = 'course') s, (SELECT id FROM letters ORDER BY id LIMIT 1) l
       WHERE at < now() AND (days < 1000 OR t.n %% 5 = 0) ORDER BY at""",
)
