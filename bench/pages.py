"""Rows of web pages: lesson_page, record_progress, landing_page, enrol, web_rss_mb, web_start_s, growth_1m."""

from typing import Any

import sqlalchemy as sa

from bench import floor, visitors
from bench.harness import Ground, Side, Web, alternate, compare, middle, summary
from bench.processes import end
from bench.result import Plan, Row

CONNECTIONS = (8, 32)
SOLD = (
    """INSERT INTO tiers (public_id, key, name, neutral_name, summary, features, position, created_at, changed_at)
       VALUES ('bench', 'bench', 'Bench', 'Bench', '', '[]', 0, now(), now())""",
    "INSERT INTO tier_grants (tier_id, course_id) SELECT t.id, c.id FROM tiers t, courses c WHERE t.key = 'bench'",
    """INSERT INTO entitlements (public_id, user_id, tier_id, kind, begins_at)
       SELECT 'bench' || s.user_id, s.user_id, t.id, 'gift', now() FROM tiers t, (SELECT DISTINCT user_id FROM login_sessions) s""",
    "UPDATE courses SET version = version + 1",
)
SOLD_NO_MORE = ("DELETE FROM entitlements", "DELETE FROM tier_grants", "DELETE FROM tiers", "UPDATE courses SET version = version + 1")


class Pages:
    """The application and the floor, side by side on one database with 10,000 learners, and the people who load them."""

    def __init__(self, ground: Ground, plan: Plan) -> None:
        self.ground, self.plan = ground, plan
        engine = sa.create_engine(ground.url("bench").replace("postgresql:", "postgresql+psycopg:", 1))
        floor.fill(engine)
        engine.dispose()
        self.app, self.floor = ground.app(), ground.floor()
        with ground.connection("bench") as connection:
            connection.execute("ANALYZE")
        self.lessons = lessons_of(ground, "bench")
        count = plan.guests
        self.guests = visitors.guests(ground, self.app, count, self.lessons[0])
        self.cookies = visitors.floor_visitors(ground, self.floor, count)

    # What each row sends

    def lesson_requests(
        self, web: Web | None = None, guests: list[visitors.Visitor] | None = None, lessons: list[str] | None = None
    ) -> list[str]:
        """Every guest opens a lesson; the lessons in turn."""
        lessons = lessons or self.lessons
        return [
            visitors.get(web or self.app, f"/lessons/{lessons[index % len(lessons)]}", guest.network, guest.cookie)
            for index, guest in enumerate(guests or self.guests)
        ]

    def floor_reads(self) -> list[str]:
        """Every one of the floor's users opens its page."""
        return [visitors.get(self.floor, "/", "10.255.0.1", cookie) for cookie in self.cookies]

    def completions(self) -> list[str]:
        """Every guest does every lesson, as the lesson's own form does it."""
        lessons = self.lessons
        return [
            visitors.post(
                self.app,
                f"/lessons/{lesson}/completion",
                guest.network,
                guest.cookie,
                {"csrf_token": guest.token, "next": lessons[(index + 1) % len(lessons)], "done": "1"},
            )
            for index, lesson in enumerate(lessons)
            for guest in self.guests
        ]

    def undo(self) -> None:
        """As if nobody had done a lesson yet, so that each request of the next window writes."""
        with self.ground.connection("bench") as connection:
            connection.execute("DELETE FROM completions c USING login_sessions s WHERE s.user_id = c.user_id")
            connection.execute("DELETE FROM events WHERE type IN ('lesson_completed', 'course_completed')")
            connection.execute("UPDATE enrolments SET finished_at = NULL WHERE finished_at IS NOT NULL")

    def floor_writes(self) -> list[str]:
        """Every one of the floor's users marks as many items."""
        return [
            visitors.post(self.floor, f"/items/{item}", "10.255.0.1", cookie, {"done": "1", "next": str(item + 1)})
            for item in range(1, len(self.lessons) + 1)
            for cookie in self.cookies
        ]

    def forget_marks(self) -> None:
        """As if nobody had marked anything."""
        with self.ground.connection("bench") as connection:
            connection.execute("DELETE FROM floor_marks")

    def enrolments(self, web: Web | None = None) -> list[str]:
        """Fresh visitors, as many as a window may need, each with a new address."""
        web = web or self.app
        return [visitors.enrolment(web, visitor) for visitor in visitors.fresh(self.ground, web, self.plan.enrolments)]

    # Sides

    @property
    def lesson_side(self) -> Side:
        """The application's lesson page."""
        return Side(self.app, self.lesson_requests, "200", True)

    @property
    def floor_side(self) -> Side:
        """The floor's page."""
        return Side(self.floor, self.floor_reads, "200", True)

    @property
    def write_side(self) -> Side:
        """The floor's write."""
        return Side(self.floor, self.floor_writes, "303", True, self.forget_marks)

    # Rows

    def lesson_page(self) -> list[Row]:
        """The lesson page, signed in, with the progress sidebar."""
        ratio, detail = self._measure([self.lesson_side, self.floor_side])
        statements = self.ground.statements(self.lesson_side)
        size = self._body_size(self.lesson_side)
        detail |= statements | {
            "largest_body_bytes": size,
            "floor_bare_select": self._leaner_floor(),
            "queries_when_sold": self._when_sold(),
        }
        holds = ratio >= 0.7 and (statements["queries"] or 0) <= 3 and size <= 40_000
        return [Row("lesson_page", ratio, "× floor", ">= 0.7, <= 3 queries, <= 40 KB", holds, detail)]

    def record_progress(self) -> list[Row]:
        """A lesson marked as done for the first time, durably."""
        side = Side(self.app, self.completions, "303", False, self.undo)
        ratio, detail = self._measure([side, self.write_side])
        detail |= self.ground.statements(side) | {"what": "first-time completions; fsync on for both sides"}
        return [Row("record_progress", ratio, "× floor's write", ">= 0.7", ratio >= 0.7, detail)]

    def landing_page(self) -> list[Row]:
        """The public page for somebody without a cookie, who so is given a session and a form token of their own."""
        requests = [visitors.get(self.app, "/", visitors.new_network()) for _ in range(200)]
        side = Side(self.app, lambda: requests, "200", True)
        ratio, detail = self._measure([side, self.floor_side])
        statements = self.ground.statements(side)  # its memory is renewed every 10 s, outside of this short count
        detail |= statements
        holds = ratio >= 2 and (statements["queries"] or 0) == 0
        return [Row("landing_page", ratio, "× floor", ">= 2, 0 queries when warm", holds, detail)]

    def enrol(self) -> list[Row]:
        """Starting with a new address: guest, enrolment, session, contact, consent, journal, outbox row in one commit."""
        side = Side(self.app, self.enrolments, "303", False)
        ratio, detail = self._measure([side, self.write_side])
        detail |= self.ground.statements(side)
        detail["with_redis"] = self._enrol_with_redis()
        detail["broker"] = "Kombu's filesystem transport, as without REDIS_URL; nobody empties it during the measurement"
        return [Row("enrol", ratio, "× floor's write", ">= 0.4", ratio >= 0.4, detail)]

    def memory(self) -> list[Row]:
        """The web worker's resident memory after all that was asked of it."""
        value = round(self.app.worker_rss_mb, 1)
        detail = {
            "floor_mb": round(self.floor.worker_rss_mb, 1),
            "what": "RSS of the gunicorn worker after load",
        }
        return [Row("web_rss_mb", value, "MB", "<= 120", value <= 120, detail)]

    def start(self) -> list[Row]:
        """From starting gunicorn to the first answer, the landing page with its queries."""
        times: list[float] = []
        floors: list[float] = []
        for _ in range(3 if self.plan.quick else 5):
            for name, found, begin in (("app-start", times, self.ground.app), ("floor-start", floors, None)):
                web = begin(name) if begin else self.ground.gunicorn(name, "bench.floor:create_app()", "bench", FLOOR_SELECT="orm")
                found.append(web.start_s)
                end(web.process)
        value = middle(times)
        detail = {"each_s": [round(each, 2) for each in times], "floor_s": middle(floors)}
        return [Row("web_start_s", value, "s", "<= 2", value <= 2, detail)]

    def growth(self) -> list[Row]:
        """The lesson page with 1,000 learners and with many, in the same run: how much dearer it got."""
        many = self.plan.growth
        large = "large" if self.plan.is_large else "bench"
        sides = []
        for name, database in (("growth-large", large), ("growth-small", "small")):
            web = self.ground.app(name, database)
            lessons = lessons_of(self.ground, database)
            guests = visitors.guests(self.ground, web, 32, lessons[0])
            requests = [
                visitors.get(web, f"/lessons/{lessons[n % len(lessons)]}", guest.network, guest.cookie) for n, guest in enumerate(guests)
            ]
            sides.append(Side(web, lambda requests=requests: requests, "200", True))
        found = alternate(self.ground, sides, CONNECTIONS, self.plan.rounds, self.plan.seconds)
        _ratio, detail = compare(found, ("large", "small"))
        slower = {many: middle([b.per_second / a.per_second for a, b in zip(*rows, strict=True)], 3) for many, rows in found.items()}
        for side in sides:
            end(side.web.process)
        with self.ground.connection(large) as connection:
            learners = connection.execute("SELECT count(*) FROM enrolments").fetchone()
            done = connection.execute("SELECT count(*) FROM completions").fetchone()
        value = max(slower.values())
        detail |= {"learners_small": 1000, "learners_large": learners[0] if learners else 0, "completions_large": done[0] if done else 0}
        if many < 1_000_000:
            detail["short_of_goal"] = (
                f"measured with {many} learners, not 1,000,000; `make bench ARGS='--only growth_1m --growth 1000000'` does that"
            )
        return [Row("growth_1m", value, "× time", "<= 1.2", value <= 1.2 and many >= 1_000_000, detail)]

    def _measure(self, sides: list[Side]) -> tuple[float, dict[str, Any]]:
        found = alternate(self.ground, sides, CONNECTIONS, self.plan.rounds, self.plan.seconds)
        return compare(found, ("app", "floor"))

    def _body_size(self, side: Side) -> int:
        """The largest lesson page, without headers, before compression."""
        requests = side.requests()[: len(self.lessons)]
        return max(int(self.ground.load(side.web, [request], 1, 10, "200", cycle=False).bytes) for request in requests)

    def _leaner_floor(self) -> dict[str, Any]:
        """The floor without an ORM entity, beside the floor as it is: how much the choice of the floor matters."""
        web = self.ground.floor("core")
        requests = [visitors.get(web, "/", "10.255.0.1", cookie) for cookie in self.cookies]
        found = alternate(self.ground, [Side(web, lambda: requests, "200", True), self.floor_side], (8,), 2, self.plan.seconds)
        end(web.process)
        return {"bare": summary(found[8][0]), "orm": summary(found[8][1]), "bare_to_orm": compare(found, ("bare", "orm"))[0]}

    def _when_sold(self) -> float | None:
        """Queries of the same page on a site that sells, where a tier closes the course and every guest holds it."""
        with self.ground.connection("bench") as connection:
            for statement in SOLD:
                connection.execute(statement)
        web = self.ground.app("app-sells", STRIPE_SECRET_KEY="sk_test_bench")
        found: float | None = self.ground.statements(Side(web, lambda: self.lesson_requests(web), "200", True))["queries"]
        end(web.process)
        with self.ground.connection("bench") as connection:
            for statement in SOLD_NO_MORE:
                connection.execute(statement)
        return found

    def _enrol_with_redis(self) -> dict[str, Any] | str:
        """The same with a real Redis as broker and store of rate limits, once."""
        try:
            url = self.ground.redis()
        except Exception as error:
            return f"not measured: {error}"
        web = self.ground.app("app-redis", REDIS_URL=url)
        side = Side(web, lambda: self.enrolments(web), "303", False)
        found = alternate(self.ground, [side, self.write_side], (8,), 1 if self.plan.quick else 2, self.plan.seconds)
        end(web.process)
        ratio, detail = compare(found, ("app", "floor"))
        return {"ratio": ratio, **detail}


def lessons_of(ground: Ground, database: str) -> list[str]:
    """The public ids of the lessons that need no check."""
    with ground.connection(database) as connection:
        rows = connection.execute(
            "SELECT public_id FROM lessons WHERE needs_check = 'none' AND published_at IS NOT NULL AND retired_at IS NULL ORDER BY position"
        )
        return [str(row[0]) for row in rows]
