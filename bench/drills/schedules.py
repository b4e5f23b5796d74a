"""Two timetables at once, and wake-ups that are lost, repeated and out of order."""

import random
from collections import Counter

from bench.drills.ground import DrillError, Ground, Sums, soon, wait_for
from bench.drills.mailbox import Mailbox
from bench.processes import PYTHON

LEARNERS = 120
DAY = 86_400
ALL = ("campaigns.read_news", "campaigns.advance_sequences", "mailing.send_due", "mailing.send_service", "mailing.reap")


def two_beats(ground: Ground, dice: random.Random) -> Sums:
    """Two beats, two workers, a sequence of three days for 120 learners; Redis is emptied in the middle of the second day."""
    sums = Sums()
    ground.database("beats")
    mailbox = Mailbox(ground, "beats")
    url = ground.start_redis()
    for number in range(2):
        environment = ground.environment("beats", SMTP_URL=mailbox.url(number), REDIS_URL=url)
        ground.celery_worker(f"worker-{number}", environment, "--concurrency", "1")
        ground.beat(f"beat-{number}", environment)
    ground.wake("operations.beat")
    wait_for(lambda: ground.rows("beats", "SELECT 1 FROM heartbeats"), 40, "the first heartbeat")
    took = {}
    # The enrolments' own wake-ups are lost: nothing listens where they are sent.
    lost = ground.environment("beats", REDIS_URL="redis://127.0.0.1:9/0")
    ground.run([PYTHON, "-m", "bench.drills.inside", "learners", "beat", str(LEARNERS)], lost)
    storm = [task for task in ALL for _ in range(8)]
    dice.shuffle(storm)
    ground.wake(*storm)
    took["day 0, wake-ups repeated and out of order"] = _until(ground, mailbox, LEARNERS)
    mailbox.tell(slow=0.02)  # so that there is a middle
    ground.travel(2 * DAY + 60)
    ground.wake("campaigns.advance_sequences")
    wait_for(lambda: mailbox.count() > LEARNERS + dice.randrange(5, 40), 60, "the second day to begin")
    flush(ground)
    at = mailbox.count()
    took["day 2, Redis emptied in the middle"] = _until(ground, mailbox, 2 * LEARNERS)
    mailbox.tell(slow=0)
    ground.travel(3 * DAY)
    took["day 5, beats alone, over the lines they had before Redis was emptied"] = _until(ground, mailbox, 3 * LEARNERS)
    ground.wake(*storm)  # and once more, now that there is nothing to do
    soon(lambda: mailbox.count() > 3 * LEARNERS, 3)
    _judge(ground, mailbox, sums)
    sums.detail |= {"learners": LEARNERS, "seconds_until_all_was_sent": took, "emptied_after": at - LEARNERS}
    return sums


def flush(ground: Ground) -> None:
    """Empty Redis: every wake-up on its way is lost."""
    from redis import Redis

    with Redis.from_url(ground.redis_url) as redis:
        redis.flushall()


def _until(ground: Ground, mailbox: Mailbox, count: int) -> float:
    """Wait for so many mails, and until the outbox has noted each: one noted after the clock was set on would count as having left then."""
    try:
        took = wait_for(lambda: mailbox.count() >= count, 60, f"{count} mails")
    except DrillError as error:
        raise DrillError(f"{error}; there are {mailbox.count()}") from None
    wait_for(lambda: ground.states("beats").get("accepted", 0) >= count, 10, f"{count} mails noted as accepted")
    return took


def _judge(ground: Ground, mailbox: Mailbox, sums: Sums) -> None:
    """Each learner has each of the three letters once; runs, steps and rows add up."""
    got = Counter((event["to"], event["subject"]) for event in mailbox.events("taken"))
    subjects = {subject for _to, subject in got}
    sums.expect(len(subjects) == 3, f"{len(subjects)} letters instead of 3: {subjects}")
    for number in range(LEARNERS):
        for subject in subjects:
            found = got[f"beat{number}@example.org", subject]
            sums.lost += found == 0
            sums.duplicated += max(0, found - 1)
    states = ground.states("beats")
    sums.uncertain = states.get("uncertain", 0) + states.get("submitting", 0)
    sums.expect(not sums.lost, f"{sums.lost} steps never came")
    sums.expect(not sums.duplicated, f"{sums.duplicated} steps came twice")
    sums.expect(states == {"accepted": 3 * LEARNERS}, f"the outbox says {states}")
    runs = dict(ground.rows("beats", 'SELECT "end", count(*) FROM sequence_runs GROUP BY 1'))
    sums.expect(runs == {"finished": LEARNERS}, f"the runs say {runs}")
    unread = ground.rows("beats", "SELECT count(*) FROM receipts WHERE read_at IS NULL")[0][0]
    sums.expect(unread == 0, f"{unread} pieces of news unread")
    sums.detail["states"] = states
