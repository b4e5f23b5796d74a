"""Drills of the outbox: a mail server in trouble, SIGTERM in mid-batch, unsubscribing against claimed rows."""

import json
import random
import signal
import subprocess
import time
from collections import Counter

from bench.drills.ground import DrillError, Ground, Sums, soon, wait_for
from bench.drills.mailbox import Mailbox, fill
from bench.drills.marketer import Books, Marketer, audience, expander
from bench.drills.staff import installation
from bench.processes import PYTHON


def settle(sums: Sums, ground: Ground, database: str, mailbox: Mailbox, tag: str = "") -> dict[str, str]:
    """Join the outbox with the ledger: lost, sent twice, in doubt. Returns each message's state by its Message-ID."""
    states = {
        row[0]: row[1] for row in ground.rows(database, "SELECT message_id, state FROM messages WHERE message_id LIKE %s", f"<{tag}%")
    }
    taken = {key: number for key, number in mailbox.taken().items() if key.startswith(f"<{tag}")}
    sums.duplicated += sum(number - 1 for number in taken.values())
    sums.uncertain += sum(state == "uncertain" for state in states.values())
    lost = [
        key for key, state in states.items() if state in {"pending", "leased", "submitting"} or (state == "accepted" and key not in taken)
    ]
    sums.lost += len(lost)
    hidden = [key for key in taken if states.get(key) not in {"accepted", "uncertain"}]
    sums.expect(not hidden, f"taken by the server, but {Counter(states.get(key, 'unknown') for key in hidden)} in the outbox")
    sums.expect(not lost, f"lost: {Counter(states[key] for key in lost)}")
    return states


# smtp_trouble

BEFORE = (
    ("rcpt", "421 4.3.2 shutting down"),
    ("data", "421 4.3.2 shutting down"),
    ("dot", "421 4.3.2 shutting down"),
    ("rcpt", "450 4.2.1 try later"),
    ("data", "451 4.3.0 try later"),
    ("dot", "450 4.2.1 try later"),
    ("rcpt", "454 4.7.0 not now"),
    ("rcpt", "drop"),
    ("data", "drop"),
    ("rcpt", "hang"),
    ("data", "hang"),
)
BOUNCE = ("rcpt", "550 5.1.1 nobody here")
NEVER = (BOUNCE, ("data", "554 5.7.1 no"), ("dot", "550 5.7.1 not wanted"))
# A mail is so small that its dot is on the way before anybody can cut the line in the middle of the text.
AFTER = (("body", "drop"), ("dot", "drop"), ("dot", "hang"), ("taken", "drop"), ("taken", "hang"))
EARLY = (("mail", "421 4.3.2 busy"), ("connect", "421 4.3.2 busy"), ("mail", "450 4.0.0 later"), ("mail", "drop"), ("connect", "drop"),
         ("mail", "hang"), ("connect", "hang"))  # fmt: skip


def smtp_trouble(ground: Ground, dice: random.Random) -> Sums:
    """Every mail may meet one trouble, by seed; then the server is well again."""
    sums = Sums()
    ground.database("trouble")
    mailbox = Mailbox(ground, "trouble")
    courses, services = 260, 60
    fill(ground, "trouble", "c", courses)
    fill(ground, "trouble", "s", services, purpose="service")
    addresses = [f"c{n}@example.org" for n in range(1, courses + 1)] + [f"s{n}@example.org" for n in range(1, services + 1)]
    kinds = [*BEFORE, *BEFORE, *NEVER, *NEVER, *AFTER]
    met = dict(zip(dice.sample(addresses[:courses], 2 * len(kinds)), [*kinds, *kinds], strict=True))
    met |= dict(zip(dice.sample(addresses[courses:], len(kinds)), kinds, strict=True))
    early = list(EARLY)
    dice.shuffle(early)
    mailbox.tell(trouble={address: list(kind) for address, kind in met.items()}, early=early, pace=12)
    rounds = _work_off(ground, mailbox)
    states = settle(sums, ground, "trouble", mailbox, "c")
    sums.expect(sums.duplicated == 0, f"{sums.duplicated} course mails sent twice")
    doubt = {address for address, kind in met.items() if kind in AFTER}
    never = {address for address, kind in met.items() if kind in NEVER}
    rows = ground.rows("trouble", "SELECT address, state, reason FROM messages JOIN contacts ON contacts.id = contact_id")
    for address, state, reason in rows:
        expected = "bounced" if met.get(address) == BOUNCE else "failed" if address in never else "accepted"
        if address in doubt and not address.startswith("s"):
            expected = "uncertain"  # service mail in doubt is sent again
        if met.get(address) == ("body", "drop") and state == "accepted":
            continue  # cut before the dot had left, and so sent once more
        sums.expect(state == expected, f"{met.get(address)} ended as {state} ({reason}), not {expected}")
    twice = Counter(event["to"] for event in mailbox.events("taken") if event["to"].startswith("s"))
    again = {address for address, number in twice.items() if number > 1}
    sums.expect(again <= doubt, f"service mail sent twice without a doubt: {again - doubt}")
    lost = [address for address, state, _reason in rows if address.startswith("s") and state == "accepted" and address not in twice]
    sums.expect(not lost, f"service mail lost: {lost}")
    sums.lost += len(lost)
    sums.detail = {
        "course_states": dict(Counter(states.values())),
        "service_states": dict(Counter(state for address, state, _reason in rows if address.startswith("s"))),
        "service_sent_twice_after_a_doubt": len(again),
        "troubles_met": len(mailbox.events("trouble")),
        "troubles_prepared": len(met) + len(early),
        "rounds": rounds,
    }
    return sums


def _work_off(ground: Ground, mailbox: Mailbox) -> int:
    """Two hasty workers until nothing is due; then time goes on to the next try, as often as it takes."""
    waiting = (
        "SELECT count(*), count(*) FILTER (WHERE state <> 'pending' OR due_at <= now() + interval '{} seconds') "
        "FROM messages WHERE state IN ('pending', 'leased', 'submitting')"
    )
    for number in range(1, 13):
        command = [PYTHON, "-m", "bench.drills.inside", "hasty-work"]
        workers = [ground.start(f"hasty{door}", command, ground.environment("trouble", SMTP_URL=mailbox.url(door))) for door in range(2)]
        query = waiting.format(int(ground.shift))
        soon(lambda query=query: ground.rows("trouble", query)[0][1] == 0, 40)
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait(20)
        if ground.rows("trouble", query)[0][0] == 0:
            # once more for service mail in doubt, which the reaper sends again
            doubtful = "SELECT count(*) FROM messages WHERE state = 'uncertain' AND priority = 0"
            if ground.rows("trouble", doubtful)[0][0] == 0:
                return number
        ground.travel(4 * 3600 + 60)
    return 12


# sigterm_mid_send


def sigterm_mid_send(ground: Ground, dice: random.Random) -> Sums:
    """A deploy in mid-batch: the message in hand is finished, the rest given back; three kinds of worker."""
    sums = Sums()
    ground.database("sigterm")
    url = ground.start_redis()
    for kind in ("mail work", "celery solo", "celery prefork", "celery prefork, twice"):
        tag = f"t{len(sums.detail)}x"
        mailbox = Mailbox(ground, tag, doors=1)
        ground.rows("sigterm", "DELETE FROM messages RETURNING id")
        fill(ground, "sigterm", tag, 400)
        environment = ground.environment("sigterm", SMTP_URL=mailbox.url(), REDIS_URL=url)
        mailbox.tell(slow=0.03)
        name = kind.replace(" ", "-").replace(",", "")
        if kind == "mail work":
            worker = ground.mail_worker(name, environment)
        else:
            worker = ground.celery_worker(name, environment, *(("--pool", "solo") if "solo" in kind else ()))
            ground.wake("mailing.send_due", *(("mailing.send_due",) if "twice" in kind else ()))
        wait_for(lambda mailbox=mailbox: mailbox.count() > 8, 30, f"{kind} to send")
        time.sleep(dice.random() * 0.3)
        at = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        try:
            code = worker.wait(45)
        except subprocess.TimeoutExpired:
            code = None
        took = time.monotonic() - at
        after = sum(event["at"] > at for event in mailbox.events("taken"))
        before_sums = (sums.lost, sums.duplicated, sums.uncertain)
        states = Counter(row[0] for row in ground.rows("sigterm", "SELECT state FROM messages WHERE message_id LIKE %s", f"<{tag}%"))
        taken = mailbox.taken()
        open_ = states["leased"] + states["submitting"] + states["uncertain"]
        sums.uncertain += states["submitting"] + states["uncertain"]
        sums.duplicated += sum(number - 1 for number in taken.values())
        sums.lost += max(0, states["accepted"] - len(taken)) + (400 - states.total())
        sums.detail[kind] = {"states": dict(states), "exit": code, "seconds": round(took, 2), "sent_after": after}
        sums.expect((sums.lost, sums.duplicated, sums.uncertain) == before_sums, f"{kind}: {dict(states)}")
        sums.expect(open_ == 0, f"{kind}: {open_} left leased or in doubt")
        sums.expect(states["accepted"] == len(taken), f"{kind}: {states['accepted']} noted, {len(taken)} taken")
        sums.expect(states["pending"] > 0, f"{kind}: nothing was left to give back, so this showed nothing")
        sums.expect(code == 0 and took < 9, f"{kind}: ended with {code} after {took:.1f} s")  # Docker kills after ten
        sums.expect(after <= 4, f"{kind}: {after} more mails sent after being told to end")
    return sums


# races


def races(ground: Ground, dice: random.Random) -> Sums:
    """Unsubscribing, erasure and suppression against rows that are claimed: threads by seed, then each at a held edge."""
    sums = Sums()
    ground.database("races")
    count = 240
    fill(ground, "races", "r", count)
    said = json.loads(ground.run([PYTHON, "-m", "bench.drills.inside", "races", str(dice.randrange(10**6)), str(count)],
                                 ground.environment("races")))  # fmt: skip
    sums.expect(not said["violations"], "; ".join(said["wrong"]))
    sums.expect(said["races"] == count, f"{said['races']} races instead of {count}")
    after = sum(number for words, number in said["ends"].items() if "asked after" in words)
    sums.expect(30 <= after <= count - 30, f"{after} of {count} races had the withdrawal first: too one-sided to show anything")
    sums.detail["threads"] = {"races": said["races"], "ends": said["ends"]}
    sums.duplicated += said["violations"]
    for kind in ("unsubscribe", "erase"):
        _held(ground, sums, kind)
    _held_broadcast(ground, sums)
    return sums


def _held(ground: Ground, sums: Sums, kind: str) -> None:
    """One person, 20 claimed mails, the first of them on its way when they say stop: it goes, no other does."""
    ground.database("races")
    mailbox = Mailbox(ground, f"races-{kind}", doors=1)
    fill(ground, "races", kind[0], 15, people=1)
    environment = ground.environment("races", SMTP_URL=mailbox.url())
    mailbox.tell(hold=[0, "rcpt"])
    worker = ground.mail_worker(f"races-{kind}", environment)
    if not mailbox.wait_until_held(0, "rcpt", 0, 20):
        raise DrillError("the worker did not come to its first mail")
    claimed = ground.states("races")
    if kind == "unsubscribe":
        with ground.connection("races") as connection:
            connection.execute(
                "INSERT INTO consents (contact_id, purpose, action, wording, source, at) "
                "SELECT id, 'course', 'withdrawn', 'course-1', 'drill', now() FROM contacts"
            )
    else:
        ground.run([PYTHON, "-m", "flask", "--app", "courseapp", "privacy", "erase", "--yes", "e1@example.org"], environment)
    mailbox.tell(go=0)
    soon(lambda: not {"leased", "submitting", "pending"} & ground.states("races").keys(), 15)
    worker.terminate()
    worker.wait(15)
    found = ground.rows("races", "SELECT state, reason, count(*) FROM messages GROUP BY state, reason")
    sums.expect(worker.returncode == 0, f"{kind}: the worker ended with {worker.returncode}: {ground.log(f'races-{kind}')[-2500:]}")
    sums.expect(claimed == {"submitting": 1, "leased": 14}, f"{kind}: began with {claimed}")
    sums.expect(mailbox.count() == 1, f"{kind}: {mailbox.count()} mails were taken instead of the one on its way")
    reason = "unsubscribed" if kind == "unsubscribe" else "erased"
    expected = {("skipped", reason): 14, ("accepted", None): 1}
    sums.expect({row[:2]: row[2] for row in found} == expected, f"{kind}: {found}")
    sums.lost += sum(row[2] for row in found if row[0] in {"pending", "leased", "submitting", "failed"})
    sums.detail[f"held_{kind}"] = {f"{state} {reason or ''}".strip(): number for state, reason, number in found}


def _held_broadcast(ground: Ground, sums: Sums) -> None:
    """A broadcast to 15 that one worker has claimed whole; one mail is on its way when twelve of the others say stop, or are suppressed."""
    environment = installation(ground, "races")
    mailbox, books = Mailbox(ground, "races-broadcast", doors=1), Books(ground, "races", sums, 15)
    audience(ground, "races", 15)
    Marketer(ground, "races", environment).send_broadcast()
    expander(ground, "races-expander", environment)
    wait_for(lambda: books.look()[0] == "sending", 30, "the broadcast to be expanded")
    mailbox.tell(hold=[0, "rcpt"])
    worker = ground.mail_worker("races-broadcast", {**environment, "SMTP_URL": mailbox.url()})
    if not mailbox.wait_until_held(0, "rcpt", 0, 20):
        raise DrillError("the worker did not come to its first mail")
    claimed = ground.states("races")
    sums.expect(claimed == {"submitting": 1, "leased": 14}, f"broadcast: began with {claimed}")
    whose = "SELECT address FROM messages JOIN contacts ON contacts.id = contact_id WHERE state = 'leased'"
    leased = [row[0] for row in ground.rows("races", whose)]
    with ground.connection("races") as connection:
        connection.execute(
            "INSERT INTO consents (contact_id, purpose, action, wording, source, at) "
            "SELECT id, 'marketing', 'withdrawn', 'marketing-1', 'drill', now() FROM contacts WHERE address = ANY(%s)",
            (leased[:5],),
        )
        connection.execute(
            "INSERT INTO suppressions (address_mac, reason, at) "
            "SELECT address_mac, 'complained', now() FROM contacts WHERE address = ANY(%s)",
            (leased[5:10],),
        )
    books.erased = 2
    for address in leased[10:12]:
        ground.run([PYTHON, "-m", "flask", "--app", "courseapp", "privacy", "erase", "--yes", address], environment)
    mailbox.tell(go=0)
    books.until_finished(30)
    worker.terminate()
    worker.wait(15)
    books.settle(mailbox, may_be_in_doubt=0)
    counted = "SELECT state, reason, count(*) FROM messages GROUP BY state, reason"
    found = {(state, reason): number for state, reason, number in ground.rows("races", counted)}
    expected = {("accepted", None): 3, ("skipped", "unsubscribed"): 5, ("skipped", "suppressed"): 5, ("skipped", "erased"): 2}
    sums.expect(found == expected, f"broadcast: {found}")
    reached = {event["to"] for event in mailbox.events("taken")}
    sums.expect(not reached & set(leased[:12]), f"sent to {len(reached & set(leased[:12]))} who had said stop")
    sums.detail["held_broadcast"] = {f"{state} {reason or ''}".strip(): number for (state, reason), number in found.items()}
