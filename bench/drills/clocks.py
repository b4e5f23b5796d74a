"""A clock that jumps: over the changes of summer time, backwards, and on again."""

import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

from bench.drills.ground import DrillError, Ground, Sums, soon, wait_for
from bench.drills.imports import course_of
from bench.drills.mailbox import Mailbox
from bench.drills.staff import Staff, installation
from bench.processes import PYTHON

LEARNERS = 60
ZONE = "Europe/Berlin"
SPRING = datetime(2027, 3, 28, 1, 0, tzinfo=UTC)  # the clocks of the zone go from two to three
AUTUMN = datetime(2027, 10, 31, 1, 0, tzinfo=UTC)  # and here from three to two
QUIET = 3.0  # seconds in which something would happen that should not; beat ticks, and every jump wakes the worker


def clock_jumps(ground: Ground, dice: random.Random) -> Sums:
    """Learners with a sequence of three letters and a course to be published at a time the clocks leave out, while the clock jumps."""
    sums = Sums()
    before = ground.shift
    try:
        _Jumps(ground, dice, sums).run()
    finally:
        ground.travel(before - ground.shift)
    return sums


class _Jumps:
    """Two workers, a beat and a web server, all in the zone whose clocks are changed."""

    def __init__(self, ground: Ground, dice: random.Random, sums: Sums) -> None:
        self.ground, self.dice, self.sums = ground, dice, sums
        self.jumps = 0
        self.to(SPRING - timedelta(hours=5))
        self.start = SPRING - timedelta(hours=5)
        self.environment = installation(ground, "clocks", TZ=ZONE, DEFAULT_ZONE=ZONE)
        self.mailbox = Mailbox(ground, "clocks")
        for number in range(2):
            ground.celery_worker(f"clocks-{number}", {**self.environment, "SMTP_URL": self.mailbox.url(number)}, "--concurrency", "1")
        ground.beat("clocks-beat", self.environment)
        self.staff = Staff(ground, "clocks", self.environment)

    def to(self, moment: datetime) -> None:
        """Set the clock of every process, and wake the worker."""
        self.jumps += 1
        self.ground.travel((moment - datetime.now(UTC)).total_seconds() - self.ground.shift)

    def _wake(self) -> None:
        self.ground.wake("campaigns.read_news", "campaigns.advance_sequences", "mailing.send_due", "authoring.work_uploads")

    def _stays(self, count: int, when: str) -> None:
        self._wake()
        time.sleep(QUIET)
        self.sums.expect(self._letters() == count, f"{when}: {self._letters()} letters instead of {count}")

    def _letters(self) -> int:
        return sum(event["to"].startswith("clock") for event in self.mailbox.events("taken"))

    def _until(self, count: int, when: str) -> None:
        self._wake()
        try:
            wait_for(lambda: self._letters() >= count, 90, "")
        except DrillError:
            raise DrillError(f"{when}: {self._letters()} letters of {count}") from None

    def run(self) -> None:
        """All of it."""
        self.ground.run([PYTHON, "-m", "bench.drills.inside", "learners", "clock", str(LEARNERS)], self.environment)
        self.ground.rows("clocks", "UPDATE contacts SET zone = %s RETURNING id", ZONE)
        self._until(LEARNERS, "the first letters")
        public_id = self._planned()
        self._over_spring(public_id)
        self._second_letters()
        self._over_autumn()
        self._judge()

    def _planned(self) -> str:
        """A course to be published at half past two in the night of spring, a time that no clock of the zone shows."""
        public_id = self.staff.upload(("course.zip", course_of(1)))
        self.staff.until(public_id, "ready")
        self.staff.decide(public_id, "plan", day="2027-03-28", time="02:30", without_review="1")
        self.sums.expect(
            "3:30" in self.staff.shown(public_id), f"the page does not say half past three: {self.staff.shown(public_id)[:300]}"
        )
        return public_id

    def _over_spring(self, public_id: str) -> None:
        for moment in (SPRING - timedelta(seconds=30), SPRING + timedelta(minutes=25), SPRING - timedelta(minutes=40)):
            self.to(moment)
            self._stays(LEARNERS, f"at {moment:%H:%M} in the night of spring")
            self.sums.expect(self.staff.state(public_id) == "ready", f"published at {moment:%H:%M} UTC, before its time")
        self.to(SPRING + timedelta(minutes=31))
        self.staff.until(public_id, "committed")
        self.to(SPRING + timedelta(minutes=5))  # and its time comes again
        self._stays(LEARNERS, "after the clock went back")
        self.to(SPRING + timedelta(minutes=33))
        self._stays(LEARNERS, "at the same time for the second time")
        times = self.ground.rows("clocks", "SELECT count(*), min(published_at) FROM courses WHERE slug = 'drill'")[0]
        self.sums.expect(times[0] == 1 and times[1] >= SPRING + timedelta(minutes=30), f"published {times}")
        done = self.ground.rows("clocks", "SELECT count(*) FROM imports JOIN courses ON courses.id = course_id WHERE slug = 'drill'")[0][0]
        self.sums.duplicated += done - 1
        self.sums.expect(done == 1, f"brought in {done} times")

    def _second_letters(self) -> None:
        """In the middle of them the clock goes back, by an hour and by three days, so that they are due no longer; then on again."""
        due = self.start + timedelta(days=2)
        self.to(due - timedelta(hours=1))
        self._stays(LEARNERS, "an hour before the second letters")
        self.mailbox.tell(slow=0.03)
        self.to(due + timedelta(minutes=5))
        self._wake()
        wait_for(lambda: self._letters() > LEARNERS + self.dice.randrange(3, 20), 60, "the second letters to begin")
        for back in (timedelta(hours=1), timedelta(days=3)):
            self.to(due - back)
            self._wake()
            time.sleep(1)
        self.sums.detail["sent_when_the_clock_went_back"] = self._letters() - LEARNERS
        self.mailbox.tell(slow=0)
        self.to(due + timedelta(hours=2))
        self._until(2 * LEARNERS, "the second letters")

    def _over_autumn(self) -> None:
        """The third letters are sent while the clocks show two o'clock for the second time."""
        self.mailbox.tell(slow=0.03)
        self.to(AUTUMN - timedelta(minutes=1))
        self._wake()
        wait_for(lambda: self._letters() > 2 * LEARNERS + self.dice.randrange(3, 20), 60, "the third letters to begin")
        self.to(AUTUMN + timedelta(minutes=20))
        time.sleep(0.5)
        self.to(AUTUMN - timedelta(minutes=50))
        self._wake()
        self.mailbox.tell(slow=0)
        self.to(AUTUMN + timedelta(hours=2))
        self._until(3 * LEARNERS, "the third letters")
        self._stays(3 * LEARNERS, "when all is sent")

    def _judge(self) -> None:
        got = Counter((event["to"], event["subject"]) for event in self.mailbox.events("taken") if event["to"].startswith("clock"))
        subjects = {subject for _to, subject in got}
        self.sums.expect(len(subjects) == 3, f"{len(subjects)} letters instead of 3: {subjects}")
        for number in range(LEARNERS):
            for subject in subjects:
                found = got[f"clock{number}@example.org", subject]
                self.sums.lost += found == 0
                self.sums.duplicated += max(0, found - 1)
        soon(lambda: self.ground.states("clocks").keys() == {"accepted"}, 10)
        states = self.ground.states("clocks")
        self.sums.uncertain = states.get("uncertain", 0) + states.get("submitting", 0)
        self.sums.expect(not self.sums.lost, f"{self.sums.lost} letters never came")
        self.sums.expect(not self.sums.duplicated, f"{self.sums.duplicated} letters or imports came twice")
        self.sums.expect(states.keys() == {"accepted"}, f"the outbox says {states}")
        runs = dict(self.ground.rows("clocks", 'SELECT "end", count(*) FROM sequence_runs GROUP BY 1'))
        self.sums.expect(runs == {"finished": LEARNERS}, f"the runs say {runs}")
        self.sums.detail |= {"states": states, "learners": LEARNERS, "jumps": self.jumps, "zone": ZONE}
