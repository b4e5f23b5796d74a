"""What the table of routes is asked on: people with their sessions, the things they have, and forms that would be accepted.

After each request that wrote something everything stands as before, so no answer depends on the one before.
"""

import io
import sqlite3
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask

from courseapp import clock, storage
from courseapp.accounts.addresses import ask_to_move
from courseapp.accounts.models import LoginSession, Role, User
from courseapp.accounts.sessions import open_session
from courseapp.accounts.sign_in import new_request
from courseapp.authoring import drafts, editing, loops, ordering, parts, uploads
from courseapp.authoring.importing import import_course
from courseapp.authoring.models import Upload
from courseapp.authoring.undoing import last_import
from courseapp.billing.findings import Finding
from courseapp.billing.models import Checkout, CheckoutState, Interval, Price, Reconciliation, StripeEvent
from courseapp.campaigns import contact_exports, contact_imports, sequence_drafts
from courseapp.campaigns.asking import Asked, link_for
from courseapp.campaigns.contacting.loops import work_contacts
from courseapp.campaigns.saved_segments import stamp_of
from courseapp.campaigns.signing_up import Offer, token_of
from courseapp.campaigns.translations import Translation
from courseapp.catalog.copies import keep_copy
from courseapp.catalog.models import Asset, Copy, Course, Lesson
from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.learning.models import Outcome
from courseapp.mailing.links import mail_token, mark_of_address
from courseapp.mailing.models import Message, State
from courseapp.mailing.streams import stream_of
from courseapp.operations import questions, support
from courseapp.operations.models import QuestionKind
from courseapp.organisation import invitations, owner_link
from courseapp.organisation.logo import keep_logo
from courseapp.organisation.models import Invitation
from courseapp.site import change_site
from tests.authoring.folders import COURSE, STOP, SVG, lesson, page, small_course
from tests.authoring.sending import PIECE, VERSION, metadata
from tests.authoring.test_uploads import packed
from tests.client import Client
from tests.code.matrix import NONE, NOTHING, PEOPLE, Answer, Row, answer_of, routes_of
from tests.conftest import forget_kept
from tests.factories import (
    NOW,
    days_ago,
    make_broadcast,
    make_completion,
    make_consent,
    make_customer,
    make_enrolment,
    make_entitlement,
    make_guest,
    make_letter,
    make_message,
    make_outcome,
    make_plan,
    make_position,
    make_run,
    make_segment,
    make_sequence,
    make_tier,
    make_user,
)

Thing = dict[str, Any]
LESSON = {"title": "Other", "minutes": "5", "shows": "What it shows.", "needs_check": "none", "completes": "mark", "body": "Other words."}
WORDS = {
    "title": "News",
    "purpose": "marketing",
    "segment": "",
    "language": "en",
    "subject": "News",
    "preheader": "Of today",
    "body": "Words.",
    "window_start": "09:00",
    "window_end": "18:00",
    "version": "1",
}
GERMAN = {"language": "de", "subject": "Neues", "preheader": "Von heute", "body": "Worte."}
HEAD = {
    "title": "Other",
    "purpose": "course",
    "language": "en",
    "trigger": "enrolled",
    "course": "",
    "goal": "",
    "window_start": "09:00",
    "window_end": "18:00",
    "weekdays": "1",
    "minimum_gap_hours": "20",
    "late": "send",
}
LETTER = {"delay_days": "1", "condition": "", "subject": "News", "preheader": "Of today", "body": "Words."}
TIER = {"name": "Other", "neutral_name": "Your course", "summary": "More of it.", "position": "1"}
GIVEN = "tiersthataresold"
FORMS: dict[str, Thing] = {
    "gifts.make": {"address": "learner@example.org", "tier": GIVEN, "reason": "A scholarship"},
    "gifts.prolong": {"until": ""},
    "gifts.take_back": {"reason": "By mistake"},
    "money.export": {"first": "2026-11", "last": "2026-11"},
    "insights.add_source": {"word": "leaflet"},
    "accounts.change_address": {"new_address": "new@example.org"},
    "accounts.ask_for_link": {"address": "somebody@example.org"},
    "accounts.claim": {"address": "somebody@example.org"},
    "accounts.enter_code": {"code": "123456"},
    "accounts.change_own_name": {"name": "Somebody"},
    "accounts.change_password": {"new": "quite a long sentence of seven words"},
    "accounts.change_zone": {"zone": "Europe/Berlin"},
    "speaking.choose": {"language": "en"},
    "arranging.change_order": {"mark": "{marks}", "version": "{version}"},
    "arranging.review": {"base": "{stamp}", "by": "A clinician", "on": "2026-11-01"},
    "asking.send_question": {"kind": "other", "text": "How?"},
    "asking.send_report": {"text": "A word is missing."},
    "authoring.decide": {"choice": "cancel"},
    "authoring.publish": {"choice": "publish", "without_review": "y"},
    "authoring.receive": {"files": b"# Words"},
    "authoring.undo_import": {"import": "{last_import}"},
    "editor.change": {**LESSON, "base_stamp": "{stamp}", "base_number": "1", "seq": "1", "without_review": "y"},
    "editor.keep_draft": {**LESSON, "base_stamp": "{stamp}", "base_number": "1", "seq": "1"},
    "editor.restore": {"base_stamp": "{stamp}"},
    "entrance.begin": {"address": "somebody@example.org"},
    "learning.completion": {"done": "1"},
    "learning.keep_position": {"seconds": "7"},
    "learning.settle_join": {"choice": "join"},
    "broadcasts.act": {"choice": "pause"},
    "contacts.decide": {"choice": "cancel"},
    "contacts.name_columns": {
        "column-0": "address",
        "column-1": "marketing",
        "language": "en",
        "source": "A list",
        "stated": "y",
        "way": "ask",
    },
    "contacts.receive": {"file": b"Email,Agreed\nada@example.org,2026-01-01"},
    "contacts.take_out": {"segment": "", "sure": "1"},
    "signup.ask": {"address": "somebody@example.org", "purpose": "marketing"},
    "broadcasts.change": WORDS | {"title": "Other"},
    "broadcast_languages.translate": {"subject": "Neues", "version": "1"},
    "broadcast_languages.remove": {"version": "1"},
    "broadcasts.make": WORDS,
    "broadcasts.send": {"when": "now", "seen": "1:"},
    "broadcasts.try_out": {"to": "{to}"},
    "letters.try_out": {"to": "{to}"},
    "sequence_letters.add_letter": LETTER | {"version": "{version}"},
    "sequence_drafts.arrange": {"do": "down:1", "version": "{version}"},
    "sequence_drafts.change_head": HEAD | {"version": "{version}"},
    "sequence_letters.change_letter": LETTER | {"version": "{version}"},
    "sequence_drafts.make": HEAD,
    "sequence_drafts.publish": {"version": "{version}"},
    "sequence_letters.translate": {"subject": "Neues", "version": "{version}"},
    "sequence_letters.take_out": {"version": "{version}"},
    "sequence_letters.try_out": {"to": "{to}"},
    "sequences.act": {"choice": "pause"},
    "mailing.preferences": {"course_mail": "y"},
    "organisation.change_logo": {"remove": "1"},
    "organisation.change_page": {"text": "# Words"},
    "organisation.change_settings": {"names-public_name": "Another name"},
    "organisation.invite": {"address": "somebody@example.org", "marketer": "y"},
    "segments.change": {"name": "Another", "node": "r", "r:mode": "all", "seen": "{seen}", "do": "save"},
    "segments.choose_courses": {"sensitive": "second"},
    "segments.make": {"name": "New", "node": "r", "r:mode": "all", "do": "save"},
    "postroom.resume": {"waiting": "send"},
    "postroom.settle_doubt": {"choice": "again"},
    "tiers.add_plan": {"interval": "month"},
    "tiers.change": TIER | {"seen": "{seen}"},
    "tiers.change_plan": {"price_eur": "12,50", "trial_days": "0", "seen": "{seen}"},
    "tiers.make": TIER,
    "support.change_address": {"new_address": "new@example.org"},
    "support.erase_person": {"address": "{address}"},
    "support.find_person": {"address": "learner@example.org"},
}
"""What is sent to a POST beside its token, so that nothing but who asks can be wrong with it."""
PIECES: dict[str, Thing] = {
    "parts.begin": {"Upload-Length": "3", "Upload-Metadata": metadata("words.md")},
    "parts.state": {},
    "parts.add": {"Upload-Offset": "0", "Content-Type": PIECE},
    "parts.remove": {},
}
"""The headers of what speaks tus, in place of a form."""


class Stage:
    """An installation with everyone and everything in it; `ask` is one request of one person about one thing."""

    def __init__(self, app: Flask, folder: Path) -> None:
        self._app = app
        self._routes, self._build = routes_of(app.url_map), app.url_map.bind("localhost").build
        self._people = people()
        self.things: dict[str, Thing] = {NONE: {}, NOTHING: defaultdict(lambda: NOTHING, number=7), **things(self._people, folder)}
        self._cookies = {name: self._cookie_of(name) for name in PEOPLE}
        db.session.commit()
        forget_kept(app)  # what was kept while all this was made
        self._file = sqlite3.connect(str(db.engine.url.database), isolation_level=None, timeout=15)
        self._file.execute("PRAGMA synchronous=OFF")
        self._saved = sqlite3.connect(":memory:")
        self._file.backup(self._saved)
        self._version = self._present_version()

    def ask(self, row: Row, person: str) -> Answer:
        """What a person is answered."""
        rule, thing = self._routes[row.method, row.rule], self.things[row.thing]
        address = self._build(rule.endpoint, {name: thing[name] for name in rule.arguments}, row.method)
        cookie, token = self._cookies[person]
        client = self._app.test_client()
        client.set_cookie("session", cookie)
        if row.method == "GET":
            given = client.get(address)
        elif rule.endpoint in PIECES:
            headers = {**VERSION, "X-CSRFToken": token, **PIECES[rule.endpoint]}
            given = client.open(address, method=row.method, data=b"abc" if row.method == "PATCH" else b"", headers=headers)
        else:
            form = {name: filled(value, thing) for name, value in FORMS.get(rule.endpoint, {}).items()}
            given = client.open(address, method=row.method, data={"csrf_token": token, **form})
        answer = answer_of(given, self._present_version() != self._version)
        if answer.has_written:
            self._saved.backup(self._file)
            self._version = self._present_version()
            forget_kept(self._app)
            lay_out(self.things["part"]["id"])
        return answer

    def close(self) -> None:
        """Let go of the database."""
        self._file.close()
        self._saved.close()

    def _present_version(self) -> int:
        """A number that is another one once somebody else has written (SQLite, PRAGMA data_version)."""
        return int(self._file.execute("PRAGMA data_version").fetchone()[0])

    def _cookie_of(self, name: str) -> tuple[str, str]:
        client = self._app.test_client()
        assert isinstance(client, Client)
        if name in self._people:
            client.sign_in(self._people[name], clock.now())
        if name == "learner":
            with client.session_transaction() as session:
                session["join"] = self._people["another guest"].public_id
        token = client.csrf_token()
        cookie = client.get_cookie("session")
        assert cookie is not None
        return cookie.value, token


def filled(value: Any, thing: Thing) -> Any:
    """A field's value with what the thing has in it; bytes become a file."""
    if isinstance(value, bytes):
        return io.BytesIO(value), "words.md"
    if value.startswith("{"):
        return thing.get(value.strip("{}"), NOTHING)
    return value


def people() -> dict[str, User]:
    """Everyone but nobody; and some whom the others meet."""
    staff = {name: make_user(f"{name}@example.org", roles=[name]) for name in ("instructor", "marketer", "owner")}
    learners = {name: make_user(f"{name}@example.org") for name in ("learner", "other")}
    return {**staff, **learners, "guest": make_guest(), "another guest": make_guest(), "colleague": make_user(roles=["instructor"])}


def things(known: dict[str, User], folder: Path) -> dict[str, Thing]:
    """Every kind of thing that an address can be about, by the word that the table has for it."""
    own, second, paid, draft = (brought_in(folder / slug, slug, slug != "draft") for slug in ("introduction", "second", "paid", "draft"))
    paid.paid_at = NOW
    given = make_entitlement(known["other"], make_tier(opens=paid, public_id=GIVEN))
    for name in ("guest", "another guest", "learner"):
        make_enrolment(known[name], own)
    make_enrolment(known["other"], second)
    make_enrolment(known["learner"], draft)  # as where a course was taken back
    make_outcome(known["learner"], Outcome.AHEAD)
    retired = place(own, "gone", "circle.svg")
    lesson_of(own, "gone").retired_at = NOW
    found = {
        "retired": retired,
        "sample": place(own, "one", "square.svg"),
        "own": place(own, "two", "line.svg"),
        "touch": place(own, "touch", "circle.svg"),
        "second": place(second, "two", "line.svg"),
        "paid": place(paid, "one", "square.svg"),
        "draft": place(draft, "two", "line.svg"),
        "gift": {"id": given.public_id},
    }
    found["mixed"] = {**found["second"], "slug": own.slug, "key": "there"}
    two, touch = lesson_of(own, "two"), lesson_of(own, "touch")
    make_completion(known["learner"], two)
    file = db.session.scalars(sa.select(Asset).where(Asset.public_id == found["own"]["public_id"])).one()
    make_position(known["learner"], file)
    drafts.keep(known["colleague"].id, two.id, drafts.Place("", 1, 1, found["own"]["stamp"]), {**LESSON, "body": "Mine."}, NOW)
    return {
        **found,
        **uploaded(known, folder / "changed", found),
        **begun(known),
        **of_people(known, touch),
        **tokens(known),
        **of_mail(known),
        **of_money(),
        **of_buying(known),
    }


def of_buying(known: dict[str, User]) -> dict[str, Thing]:
    """Plans that are sold, and what the learner went through with; the other learner is the only customer at Stripe."""
    sold, free = make_plan(), make_plan(interval=Interval.ONCE, amount=0)
    price = db.session.scalars(sa.select(Price).where(Price.plan_id == sold.id)).one()
    price.stripe_id = "price_of_nobody"
    make_customer(known["other"])
    facts = {"user_id": known["learner"].id, "plan_id": sold.id, "price_id": price.id, "created_at": NOW}
    checkout = Checkout(**facts, state=CheckoutState.FULFILLED, settled_at=NOW)
    db.session.add(checkout)
    db.session.flush()
    return {"plan": {"id": sold.public_id}, "free-plan": {"id": free.public_id}, "checkout": {"public_id": checkout.public_id}}


def brought_in(folder: Path, slug: str, publish: bool) -> Course:
    """A course that was imported; one lesson is the sample, one needs the check."""
    changed = {
        "course.md": page({**COURSE, "slug": slug}, "The article.\n"),
        "01-beginning/02-two.md": lesson("two", f"Words of {slug}.\n\n![A line](line.svg)\n"),
        "01-beginning/line.svg": SVG.replace("rect", "line"),
        "02-doing/01-touch.md": lesson("touch", f"{STOP}Press.\n\n![A circle](circle.svg)\n", needs_check="touch"),
        "02-doing/02-other.md": lesson("there" if slug == "second" else "gone"),
    }
    result = import_course(small_course(folder, **changed), NOW, publish=publish, without_review=True)
    assert not result.report.has_errors, [row.words() for row in result.report.sorted()]
    course = db.session.scalars(sa.select(Course).where(Course.slug == slug)).one()
    for copy in db.session.scalars(sa.select(Copy).where(Copy.course_id == course.id)):
        storage.keep(keep_copy(copy, f"{slug} {copy.kind}".encode(), NOW), f"{slug} {copy.kind}".encode())
    db.session.commit()
    return course


def lesson_of(course: Course, key: str) -> Lesson:
    """A lesson by its key."""
    return db.session.scalars(sa.select(Lesson).where(Lesson.course_id == course.id, Lesson.key == key)).one()


def place(course: Course, key: str, path: str) -> Thing:
    """A lesson and a file of a course, and what forms about them hold."""
    subject = editing.subject_of(course.slug, key)
    assert subject is not None
    file = db.session.scalars(sa.select(Asset).where(Asset.course_id == course.id, Asset.path.endswith(path))).one()
    entry = last_import(course.id)
    assert entry is not None
    marks = ordering.marks_of(course)
    return {
        "slug": course.slug,
        "key": key,
        "id": subject.lesson.public_id,
        "lesson": subject.lesson.public_id,
        "number": subject.revision.number,
        "outcome": "unchecked",
        "public_id": file.public_id,
        "suffix": "svg",
        "stamp": subject.stamp,
        "version": str(course.version),
        "marks": [marks[0], marks[2], marks[1], *marks[3:]],
        "last_import": str(entry.id),
    }


def uploaded(known: dict[str, User], folder: Path, found: dict[str, Thing]) -> dict[str, Thing]:
    """An upload of a colleague that waits for a decision, the same with a lesson and file of another course, and one not looked through."""
    front = {"course.md": page({**COURSE, "slug": "introduction"}, "The article.\n"), "01-beginning/02-two.md": lesson("two", "New.\n")}
    sent = [uploads.receive(known["colleague"], [("course.zip", io.BytesIO(packed(small_course(folder, **front))))], NOW)]
    db.session.commit()
    loops.work_uploads(clock.now)
    sent.append(uploads.receive(known["colleague"], [("course.zip", io.BytesIO(b"later"))], NOW))
    names = [db.session.get_one(Upload, row.id).public_id for row in sent]
    within = {name: found["own"][name] for name in ("lesson", "outcome", "suffix")} | {"public_id": found["sample"]["public_id"]}
    return {
        "upload": {**within, "id": names[0]},
        "mixed-upload": {**found["second"], "id": names[0]},
        "waiting-upload": {**within, "id": names[1]},
    }


def begun(known: dict[str, User]) -> dict[str, Thing]:
    """A file that the instructor has begun to send, and one that a colleague has."""
    own, other = (parts.begin(known[name].id, 3, metadata("words.md"), NOW) for name in ("instructor", "colleague"))
    return {"part": {"id": own.public_id}, "other-part": {"id": other.public_id}}


def lay_out(public_id: str) -> None:
    """Put what has come of a part back to nothing, as it was at the beginning."""
    (parts._folder() / public_id).write_bytes(b"")


def of_people(known: dict[str, User], touch: Lesson) -> dict[str, Thing]:
    """What belongs to somebody, or is somebody: devices, questions, people as support and as the team sees them, settings."""
    learner, owner = known["learner"], known["owner"]
    open_session(learner, NOW, "Phone")
    phone = db.session.scalars(sa.select(LoginSession.public_id).where(LoginSession.user_id == learner.id)).one()
    asked = questions.ask(QuestionKind.MAIL, "Where is my mail?", NOW, user=learner)
    reported = questions.report_error(touch.id, touch.title, "A word is missing.", NOW, learner)
    support.person_of_address("learner@example.org", owner, clock.now())
    change_site({"privacy": "Words.", "accent_light": "#205030", **keep_logo(SVG.encode())}, NOW)
    return {
        "session": {"public_id": phone},
        "question": {"id": asked.public_id},
        "report": {"id": reported.public_id},
        "person": {"id": contact_id(learner), "address": "learner@example.org"},
        "unfound": {"id": contact_id(known["other"]), "address": "other@example.org"},
        "member": {"public_id": known["instructor"].public_id, "role": "instructor"},
        "letter": {"id": make_letter().public_id, "to": known["marketer"].public_id},
        "segment": chosen_people(),
        "tier": sold(),
        "broadcast": {"id": make_broadcast().public_id, "to": known["marketer"].public_id},
        "sent-broadcast": {"id": make_broadcast(is_sent=True, translations=[GERMAN]).public_id, "tag": "de"},
        "translated": {"id": make_broadcast(translations=[GERMAN]).public_id, "tag": "de"},
        **lists(known),
        **of_sequences(known),
        "names": {"section": "names"},
        "privacy": {"name": "privacy"},
    }


def lists(known: dict[str, User]) -> dict[str, Thing]:
    """A list of contacts that came, and one that was written out for the marketer."""
    came = contact_imports.receive(io.BytesIO(b"Email,Agreed\nada@example.org,2026-01-01"), "list.csv", known["marketer"].id, "en", NOW)
    written = contact_exports.ask_for_file(None, known["marketer"], NOW)
    db.session.commit()
    work_contacts(clock.now)
    return {"list": {"id": came.public_id}, "file-of-contacts": {"id": written.public_id}}


def of_sequences(known: dict[str, User]) -> dict[str, Thing]:
    """A draft; what is published, with a draft for more and somebody under way on an older version; and what was put away."""
    made = {name: make_sequence(delays=(0, 2), title=name).sequence for name in ("sequence", "away-sequence")}
    older = sequence_drafts.latest_version(made["sequence"])
    assert older is not None
    for words in ("Newer", "Newest"):
        said = sequence_drafts.draft_of(made["sequence"])
        german = Translation("de", "Neues", "Von heute", "Worte.")
        draft = replace(said, steps=(replace(said.steps[0], body=words, translations=(german,)), said.steps[1]))
        sequence_drafts.keep_draft(made["sequence"], draft, made["sequence"].draft_version, None, NOW)
        if words == "Newer":
            sequence_drafts.publish(made["sequence"], None, NOW)
    course = db.session.scalars(sa.select(Course)).first()
    contact = known["learner"].contact
    assert course is not None
    assert contact is not None
    make_run(older, contact, course)
    sequence_drafts.archive(made["away-sequence"], None, NOW)
    made["draft-sequence"] = sequence_drafts.new_sequence(replace(sequence_drafts.draft_of(made["sequence"]), title="A draft"), None, NOW)
    return {
        name: {"id": row.public_id, "number": 1, "tag": "de", "version": str(row.draft_version), "to": known["marketer"].public_id}
        for name, row in made.items()
    }


def chosen_people() -> Thing:
    """A segment."""
    found = make_segment(name="Everybody")
    return {"id": found.public_id, "seen": stamp_of(found)}


def sold() -> Thing:
    """A tier that opens nothing, with a monthly plan."""
    plan = make_plan()
    return {"id": plan.tier.public_id, "plan": plan.public_id, "seen": plan.tier.changed_at.isoformat()}


def of_mail(known: dict[str, User]) -> dict[str, Thing]:
    """Kinds of mail, running and paused, and a mail in doubt."""
    doubt = make_message(known["learner"].contact, stream="course", state=State.UNCERTAIN, settled_at=NOW)
    for key in ("marketing", "service"):
        stream_of(key).paused_at = NOW
    return {
        "doubt": {"id": doubt.public_id},
        "stream": {"key": "course"},
        "paused-stream": {"key": "marketing"},
        "service-stream": {"key": "service"},
    }


def of_money() -> dict[str, Thing]:
    """An event of Stripe's, and a difference that comparing found."""
    event = StripeEvent(stripe_id="evt_1", type="invoice.paid", made_at=NOW, received_at=NOW, due_at=NOW)
    finding = Finding("subscription_differs", {"subscription": "sub_1"}, {"what": ["status"]}, takes_access=True)
    report = Reconciliation(began_at=NOW, ended_at=NOW, is_fixing=True, looked_at=1, findings=[finding.as_row()])
    db.session.add_all([event, report])
    db.session.flush()
    return {"stripe-event": {"id": event.stripe_id}, "finding": {"number": report.id, "place": 0}}


def contact_id(user: User) -> str:
    """What a person is called in addresses of staff's."""
    assert user.contact is not None
    return user.contact.public_id


def tokens(known: dict[str, User]) -> dict[str, Thing]:
    """Links of mails, by whose token whoever reads the mail may pass; and the mail itself."""
    learner = known["learner"]
    assert learner.contact_id is not None
    make_consent(learner.contact, Purpose.MARKETING)
    invitations.invite("invited@example.org", [Role.MARKETER], known["owner"], NOW)
    invitation = db.session.scalars(sa.select(Invitation)).one()
    mail = db.session.scalars(sa.select(Message).where(Message.template == "organisation/invitation")).one()
    ended = new_request(learner.contact_id, "browser", days_ago(1))[0]
    other = known["other"].contact
    assert other is not None
    asked = link_for(Asked(other.public_id, mark_of_address(other.address_mac), (Purpose.MARKETING,), "form:blog", NOW))
    return {
        "invitation": {"public_id": invitation.public_id, "token": mail.fields["secret_url"].rpartition("/")[2]},
        "mail": {"id": mail.public_id},
        "mail-link": {"token": mail_token(contact_id(learner), "all", learner.contact.address_mac)},
        "sign-in-link": {"token": new_request(learner.contact_id, "browser", NOW)[0]},
        "ended-link": {"token": ended},
        "form": {"token": token_of(Offer((Purpose.MARKETING,), "en", "blog"))},
        "agree-link": {"token": asked.rpartition("/")[2]},
        "address-link": {"token": ask_to_move(learner, "moved@example.org", NOW)},
        "owner-link": {"token": owner_link.new_owner_link(NOW)},
    }
