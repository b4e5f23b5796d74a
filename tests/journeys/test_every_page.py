"""Every page, as a browser shows it: axe finds nothing, wide and narrow, in light and dark; nothing scrolls sideways; the HTML is valid.

axe-core comes with the package axe-playwright-python; nothing is fetched.
"""

import io
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.accounts.addresses import ask_to_move
from courseapp.accounts.models import Role, User
from courseapp.authoring.loops import work_uploads
from courseapp.campaigns import contact_exports, contact_imports
from courseapp.campaigns.asking import Asked, link_for
from courseapp.campaigns.contacting.loops import work_contacts
from courseapp.campaigns.experiments import experiment_of
from courseapp.campaigns.models import Condition, ContactImport, SequenceVersion
from courseapp.campaigns.models import Sequence as Drip
from courseapp.campaigns.sequence_drafts import draft_of, keep_draft, new_sequence, publish
from courseapp.campaigns.sequence_shapes import StepDraft
from courseapp.campaigns.signing_up import Offer, token_of
from courseapp.campaigns.translations import Translation
from courseapp.catalog.models import Course, Lesson, Need
from courseapp.contacts.models import Purpose
from courseapp.contacts.resting import begin_pause
from courseapp.extensions import db
from courseapp.insights.loops import renew_figures
from courseapp.learning.arrivals import make_source, source_id_of
from courseapp.learning.models import Arrival, Outcome
from courseapp.mailing import breaker
from courseapp.mailing.links import mail_token, mark_of_address
from courseapp.mailing.models import Letter, Message, State
from courseapp.mailing.streams import stream_of
from courseapp.operations.models import QuestionKind
from courseapp.operations.questions import ask
from courseapp.operations.support import person_of_address
from courseapp.organisation.invitations import invite
from courseapp.organisation.owner_link import new_owner_link
from courseapp.site import change_site
from tests.authoring.folders import lesson, small_course
from tests.campaigns.crowd import is_
from tests.client import Client
from tests.code.markup import faults_in
from tests.factories import (
    NOW,
    make_broadcast,
    make_completion,
    make_consent,
    make_contact,
    make_course,
    make_enrolment,
    make_guest,
    make_message,
    make_outcome,
    make_run,
    make_segment,
    make_sequence,
    make_suppression,
    make_user,
)
from tests.insights.scenes import make_draft_that_tries, make_results, make_trial
from tests.learning.checking import TO

if TYPE_CHECKING:  # importing Playwright takes 0.3 s, and most runs open no browser
    from playwright.sync_api import Page

pytestmark = pytest.mark.one_database

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
RUN = """async (only) => (await axe.run(document, {resultTypes: ["violations"], ...only})).violations
  .map((found) => `${found.id}: ${found.help} ${found.nodes.slice(0, 3).map((node) => node.html.slice(0, 160))}`)"""
SIDEWAYS = """() => document.documentElement.scrollWidth > innerWidth
  ? [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
      .map((one) => one.outerHTML.slice(0, 120)).slice(0, 4).concat(["it scrolls sideways"]) : []"""


ALL: dict[str, Any] = {}
COLOURS = {
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
}  # the rules that see them; the others see the width
LOOKS = ((1280, "light", ALL), (1280, "dark", COLOURS), (320, "dark", ALL), (320, "light", COLOURS))


def faults_of(page: "Page", name: str) -> list[str]:
    """What is wrong with the page as it stands, wide and narrow, in light and in dark."""
    found = []
    page.evaluate(AXE)
    for width, scheme, rules in LOOKS:
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]  # one of its literals
        problems = page.evaluate(RUN, rules)
        found += [f"{name} at {width} px in {scheme}: {problem}" for problem in problems]
    return found + [f"{name} at 320 px: {problem}" for problem in page.evaluate(SIDEWAYS)]


def faults_at(page: "Page", paths: dict[str, str]) -> list[str]:
    """What is wrong with the pages at these addresses; each name says what the page must show."""
    found = []
    for path, words in paths.items():
        answer = page.goto(path)
        assert answer is not None
        assert words in page.locator("body").inner_text(), path
        found += faults_of(page, path) + [f"{path}: {fault}" for fault in faults_in(answer.text())]
    return found


@pytest.fixture
def enter(app: Flask, page: "Page") -> Callable[..., User]:
    """enter(user, **kept): the browser is signed in as somebody, and keeps this in its session."""

    def as_user(user: User, **kept: str) -> User:
        client = app.test_client()
        assert isinstance(client, Client)
        client.sign_in(user)
        with client.session_transaction() as session:
            session.update(kept)
        cookie = client.get_cookie("session")
        assert cookie is not None
        page.goto("/healthz")
        page.context.add_cookies([{"name": "session", "value": cookie.value, "url": page.url}])
        return user

    return as_user


def lesson_of(key: str) -> str:
    """A lesson's address."""
    return f"/lessons/{db.session.scalars(sa.select(Lesson.public_id).where(Lesson.key == key)).one()}"


def learner(make: Callable[[], User] = make_user, outcome: Outcome | None = None, done: int = 3) -> User:
    """Somebody who takes the introduction and has done a few lessons."""
    user = make()
    make_enrolment(user, db.session.query(Course).one())
    for row in db.session.query(Lesson).order_by(Lesson.position).limit(done):
        make_completion(user, row)
    if outcome is not None:
        make_outcome(user, outcome)
    db.session.commit()
    return user


def invitation_of(address: str) -> str:
    """An open invitation's address, as its mail has it."""
    invite(address, [Role.INSTRUCTOR], None, clock.now())
    db.session.flush()
    url = db.session.scalars(sa.select(Message.fields).where(Message.template == "organisation/invitation")).one()["secret_url"]
    db.session.commit()
    return "/invitation/" + url.rpartition("/")[2]


def crowd_with_links(course: Course) -> None:
    """Learners enough to be counted, some of whom came by a link."""
    for number in range(12):
        user = make_guest()
        make_enrolment(user, course)
        for row in db.session.query(Lesson).order_by(Lesson.position).limit(number // 2):
            make_completion(user, row)
    source_id = source_id_of(course.id, make_source(course.id, "flyer", NOW))
    db.session.add(Arrival(source_id=source_id, day=NOW.date() - timedelta(days=2), count=7))
    renew_figures(clock.now)


def mails_of_each_kind() -> str:
    """Mail that waits, is paused, was refused, came back; and one in doubt, whose id is returned."""
    for number in range(6):
        contact = make_contact(f"somebody{number}@busy.example")
        make_message(contact, state=State.BOUNCED, reason="550 5.1.1 no such user", settled_at=NOW)
        make_message(contact, stream="marketing")
    stream = stream_of("marketing")
    stream.paused_at, stream.paused_why = NOW, "It paused itself: 12 of 130 mails of a day came back: the addresses take none."
    breaker.trip("files", "OSError: no room left", NOW)
    return str(make_message(state=State.UNCERTAIN, settled_at=NOW).public_id)


def test_before_anybody_owns_the_site(page: "Page", app: Flask) -> None:
    token = new_owner_link(clock.now())
    found = faults_at(page, {f"/setup/{token}": "Set up this site", invitation_of("ida@example.org"): "Help to run this site"})
    page.goto(f"/setup/{token}")
    page.locator("main form button[type=submit]").click()
    page.locator(".error").first.wait_for()
    found += faults_of(page, "/setup with an error")
    page.locator("main form input[type=email]").fill("boss@example.org")
    page.locator("main form button[type=submit]").click()
    page.get_by_role("heading", name="Look at your mail").wait_for()
    assert found + faults_of(page, "set up, mailed") == []


def test_what_stops_a_move(page: "Page", enter: Callable[[User], User]) -> None:
    user = enter(learner(done=0))
    token = ask_to_move(user, "elsewhere@example.org", clock.now(), old_is_lost=True)
    db.session.commit()
    found = faults_at(page, {f"/account/address/{token}": "Keep your address?", "/account/staff": "Nothing so far"})
    page.goto(f"/account/address/{token}")
    page.get_by_role("button", name="Stop it and keep my address").click()
    page.get_by_role("heading", name="Your address stays as it is").wait_for()
    assert found + faults_of(page, "address kept") == []


def test_what_support_and_settings_say_when_something_is_wrong(page: "Page", enter: Callable[[User], User]) -> None:
    enter(make_user(roles=["owner"]))
    address = learner(done=0).contact.address
    page.goto("/ask")
    page.locator("main form button[type=submit]").click()
    page.locator(".error").first.wait_for()
    found = faults_of(page, "/ask with an error")
    page.goto("/staff/people")
    page.locator("main input[type=email]").fill(address)
    page.get_by_role("button", name="Find").click()
    page.get_by_role("heading", name=address).wait_for()
    page.locator("summary", has_text="Change the address").click()
    page.get_by_role("button", name="Ask the addresses").click()
    page.locator(".error").first.wait_for()
    found += faults_of(page, "moving with an error")
    page.goto("/staff/settings")
    page.locator("input[name=colours-accent_light]").fill("#ffd54a")
    page.get_by_role("button", name="Save colours").click()
    page.locator(".error").first.wait_for()
    found += faults_of(page, "settings with an error")
    page.goto("/staff/settings")
    change_site({"crisis_words": "Call 116 123."}, clock.now())
    db.session.commit()
    page.locator("textarea[name=help-emergency_words]").fill("Call 112.")
    page.get_by_role("button", name="Save help").click()
    page.get_by_text("Somebody else changed this").wait_for()
    found += faults_of(page, "settings changed by another")
    page.goto("/staff/team")
    page.locator("summary", has_text="Take a role away").click()
    assert found + faults_of(page, "a role about to be taken") == []


def test_what_anyone_may_see(page: "Page", app: Flask) -> None:
    contact = make_user().contact
    token = mail_token(contact.public_id, "course", contact.address_mac)
    db.session.commit()
    paths = {
        "/": "A whole lesson to read now",
        "/start": "Start the course",
        "/help-now": "Get help now",
        "/sign-in": "Sign in",
        "/ask": "Ask us",
        "/sign-in/code": "Look at your mail",
        "/sign-in/link/nothing": "This link has been used, or is too old",
        f"/unsubscribe/{token}": "Stop these mails",
        f"/mail/{token}": "mail",
        "/courses/introduction/copy.pdf": "Your copy is being made",
        "/nothing-here": "There is nothing here",
        "/outbox": "No mail so far",
    }
    found = faults_at(page, paths)
    page.goto("/start")
    page.fill("input[name=address]", "nobody")
    page.locator("form[action='/start'] button").click()
    page.locator(".error").first.wait_for()
    found += faults_of(page, "/start with an error")
    page.goto(f"/unsubscribe/{token}")
    page.get_by_role("button", name="Stop these mails").click()
    page.wait_for_load_state()
    assert found + faults_of(page, "unsubscribed") == []


def test_what_a_learner_sees(page: "Page", enter: Callable[[User], User]) -> None:
    user = enter(learner(outcome=Outcome.GENTLY))
    make_course(slug="second", title="A second course")
    paths = {
        "/learn/introduction": "3 of 12 lessons",
        "/learn/introduction/progress": "Day by day",
        lesson_of("your-pelvic-floor"): "Done on",
        lesson_of("finding-someone"): "That is the whole lesson",
        lesson_of("self-massage"): "Stop if",
        "/safety-check": "You have taken it before",
        lesson_of("your-pelvic-floor") + "/report": "Report an error",
        "/account": "Account",
        "/account/staff": "What staff did with your account",
        "/forget-device": "device",
    }
    found = faults_at(page, paths)
    make_enrolment(user, db.session.query(Course).filter_by(slug="second").one())
    db.session.commit()
    assert found + faults_at(page, {"/learn": "A second course"}) == []


def test_what_links_in_mails_lead_to(app: Flask, page: "Page", enter: Callable[..., User], work: Callable[[], None]) -> None:
    guest = learner(make_guest)
    enter(learner(done=1), join=guest.public_id)
    found = faults_at(page, {"/join": "You have been reading in two places"})
    page.goto("/account")
    page.locator("form[action='/account/address'] input[type=email]").fill("moved@example.org")
    page.locator("form[action='/account/address'] button").click()
    page.wait_for_load_state()
    page.goto("/sign-in")
    page.locator("form[action='/sign-in'] input[type=email]").first.fill("somebody@example.org")
    page.locator("form[action='/sign-in'] button").first.click()
    page.wait_for_url("**/sign-in/code")
    work()
    mails = "".join(file.read_text().replace("=\n", "") for file in (app.config["SETTINGS"].data_dir / "mail").glob("*.eml"))
    links = set(re.findall(r"http://127\.0\.0\.1:8000((?:/account/address|/sign-in/link)/[\w-]{20,})", mails))
    assert len(links) == 3  # to either address of the move, and to sign in
    assert found + faults_at(page, dict.fromkeys(links, "")) == []


def test_what_a_guest_sees(page: "Page", enter: Callable[[User], User]) -> None:
    enter(learner(make_guest, done=0))
    paths = {
        "/learn/introduction": "Keep your place",
        "/learn/introduction/progress": "Nothing so far",
        lesson_of("stretches"): "A few questions about your health come before this lesson",
        "/safety-check": "One question at a time",
        "/account": "address",
        "/forget-device": "browser",
    }
    assert faults_at(page, paths) == []


def test_every_screen_of_the_safety_check_and_every_outcome(page: "Page", enter: Callable[[User], User]) -> None:
    enter(learner())
    found = []
    for outcome, answers in TO.items():
        page.goto("/safety-check")
        page.locator("main form[action='/safety-check'] button").click()
        for number, value in enumerate(answers.values(), 1):
            if outcome == "ahead":
                if number == 1:
                    page.get_by_role("button", name="Continue").click()  # without an answer
                    page.locator("#check-problem").wait_for()
                found += faults_of(page, f"question {number}")
            page.locator(f"input[type=radio][value='{value}']").check()
            page.get_by_role("button", name="Continue").click()
        page.wait_for_url("**/safety-check/outcome")
        found += faults_of(page, f"outcome {outcome}")
        if outcome == "professional":
            found += faults_at(page, {lesson_of("stretches"): "This lesson stays closed for now"})
    assert found == []


def test_what_staff_see(page: "Page", enter: Callable[[User], User], work: Callable[[], None]) -> None:
    owner = enter(make_user(roles=["owner"]))
    page.goto("/sign-in")
    page.locator("form[action='/sign-in'] input[type=email]").first.fill("somebody@example.org")
    page.locator("form[action='/sign-in'] button").first.click()
    page.wait_for_url("**/sign-in/code")
    work()
    mail = db.session.scalars(sa.select(Message.public_id)).one()
    letter = db.session.scalars(sa.select(Letter.public_id).order_by(Letter.id)).first()
    learner_found = learner(done=1)
    person = learner_found.contact.public_id
    person_of_address(learner_found.contact.address, owner, clock.now())
    ask(QuestionKind.MAIL, "Where is my mail?", NOW, user=None, typed_address="somebody@example.org")
    crowd_with_links(db.session.query(Course).one())
    make_course(slug="first-steps", title="First steps")
    doubt = mails_of_each_kind()
    db.session.commit()
    paths = {
        "/staff/courses": "An introduction to pelvic massage therapy",
        "/staff/uploads?into=introduction": "What do the lessons ask of the body?",
        "/staff/settings": "What this site is called",
        "/staff/settings/pages/privacy": "This is a draft",
        "/staff/team": "Invite somebody",
        "/staff/courses/introduction": "15 new, 0 changed, 0 removed lessons",
        "/staff/courses/introduction/lessons/self-massage/edit": "As learners see it",
        "/staff/courses/introduction/lessons/self-massage/history": "came with an import",
        "/staff/courses/introduction/lessons/self-massage/history/1": "The text is the same in both",
        "/staff/courses/introduction/lessons/self-massage/review": "No clinician has reviewed this text so far",
        "/staff/courses/introduction/order": "Drag by the handle",
        "/staff/reviews": "Never reviewed",
        "/staff/courses/introduction/insights": "Started by “flyer”",
        "/staff/courses/first-steps/insights": "Too early to say",
        "/staff/people": "Find a learner",
        f"/staff/people/{person}": "What they take, and roughly how far they are",
        f"/staff/people/{person}/erase": "Erase for good",
        "/staff/mail": "Kinds of mail",
        "/staff/mail/streams/course/pause": "will wait",
        "/staff/mail/streams/marketing/resume": "Run again and send",
        "/staff/mail/doubts": "Mails in doubt",
        f"/staff/mail/doubts/{doubt}": "Send it again?",
        "/staff/questions": "Where is my mail?",
        "/staff/questions?show=answered": "Nothing answered yet",
        "/staff/mail/letters": "Newest first",
        f"/staff/mail/letters/{letter}": "How it looks",
        "/outbox": "Newest first",
        f"/outbox/{mail}": "As a letter",
        "/learn": "No course yet",
        "/pieces": "",
    }
    assert faults_at(page, paths) == []


def test_what_marketers_see(page: "Page", enter: Callable[[User], User]) -> None:
    enter(make_user(roles=["owner"]))
    empty = faults_at(page, {"/staff/mail/segments": "No segment so far", "/staff/mail/segments?show=archived": "Nothing was put away"})
    between = {"course": "introduction", "from": 30, "to": 60}
    inner = {"any": [is_("consent", "given", purpose="course"), {"not": is_("zone", zone="UTC")}]}
    kept = make_segment({"all": [is_("enrolled_at", "between_days", **between), inner]}, name="Begun a month ago")
    broken = make_segment({"all": [is_("enrolled", "yes", course="gone"), is_("since", "within_days", days="soon")]}, archived_at=NOW)
    db.session.commit()
    paths = {
        "/staff/mail/segments": "Courses by which nobody is chosen",
        "/staff/mail/segments/new": "everybody is chosen",
        f"/staff/mail/segments/{kept.public_id}": "Put this segment away",
        f"/staff/mail/segments/{broken.public_id}": "Nobody can be counted yet.",
    }
    assert empty + faults_at(page, paths) == []


def test_what_came_of_mails_and_who_did_what(page: "Page", enter: Callable[[User], User]) -> None:
    enter(make_user(roles=["owner"]))
    sent = make_broadcast(is_sent=True).public_id
    unpublished = make_sequence()
    sequence = unpublished.sequence.public_id
    db.session.delete(unpublished)
    db.session.commit()
    paths = {
        f"/staff/mail/broadcasts/{make_broadcast().public_id}/results": "It has not begun",
        f"/staff/mail/broadcasts/{sent}/results": "There was nothing to tell so far",
        f"/staff/mail/sequences/{sequence}/results": "It is not published",
        "/staff/mail/deliverability": "Nothing to tell yet",
        "/staff/audit?matter=site": "Nothing of that kind",
    }
    db.session.commit()
    empty = faults_at(page, paths)
    course = db.session.query(Course).one()
    broadcast, version = make_results(course, clock.now(), people=60)
    draft, trial = make_draft_that_tries(), make_trial(course, clock.now(), people=60)
    paths = {
        f"/staff/mail/broadcasts/{draft.public_id}": "Try a second letter against this one",
        f"/staff/mail/broadcasts/{draft.public_id}/look?letter=second": "What you could learn next",
        f"/staff/mail/broadcasts/{trial.public_id}": "wait for the better letter",
        f"/staff/mail/broadcasts/{trial.public_id}/results": "What was tried out",
        f"/staff/mail/broadcasts/{broadcast.public_id}/results?days=30": "Mails that left in each hour",
        f"/staff/mail/sequences/{version.sequence.public_id}/results": "Step by step",
        "/staff/mail/deliverability": "large.example",
        "/staff/audit": "Scheduled a broadcast to be sent",
    }
    assert empty + faults_at(page, paths) == []


@pytest.mark.settings(languages="en,de,ar")
def test_a_broadcast_in_several_languages(page: "Page", enter: Callable[[User], User]) -> None:
    enter(make_user(roles=["owner"]))
    make_consent(make_contact(language="de"), Purpose.MARKETING)
    german = {"language": "de", "subject": "Der nächste Kurs ist da", "preheader": "Zwei Kurse", "body": "Es sind zwei.\n" * 40}
    draft, sent = make_draft_that_tries(), make_broadcast(is_sent=True, translations=[german])
    draft.translations, experiment_of(draft).translations = [german], [german]
    db.session.commit()
    at = f"/staff/mail/broadcasts/{draft.public_id}"
    paths = {
        at: "In other languages",
        f"{at}/look?language=de": "By language",
        f"{at}/languages/de": "The second letter",
        f"{at}/languages/ar": "Keep it and look at it",
        f"{at}/languages/de/remove": "Take German out?",
        f"/staff/mail/broadcasts/{sent.public_id}": "It is written in English and German.",
    }
    found = faults_at(page, paths)
    page.goto(f"{at}/languages/ar")
    page.get_by_label("Letter", exact=True).fill("")
    page.get_by_role("button", name="Keep it", exact=True).click()
    assert found + faults_of(page, "a translation with an error") == []


LIST = """Email,First name,Agreed on,Notes
ada.with.a.rather.long.address.that.goes.on@subdomain.example.org,Ada,2026-03-31,a
known@example.org,Zoë,2026-03-31,b
stopped@example.org,,2026-03-31,c
not an address,,yes,d
"""


def a_list(by: User, content: str = LIST) -> ContactImport:
    """A list of contacts that came."""
    found = contact_imports.receive(io.BytesIO(content.encode()), "newsletter-2025.csv", by.id, "en", NOW)
    db.session.commit()
    return found


def looked_through(found: ContactImport, fields: Sequence[str] = ("address", "first_name", "marketing", "")) -> ContactImport:
    """The same with its columns named, worked through as far as it goes by itself."""
    contact_imports.describe(
        found, fields, "en", "Newsletter form on example.org, 2021 to 2025", is_confirmed=False, by_user_id=found.by_user_id or 0, now=NOW
    )
    db.session.commit()
    work_contacts(clock.now)
    return found


def test_what_marketers_see_of_contacts(page: "Page", enter: Callable[[User], User]) -> None:
    owner = enter(make_user(roles=["owner"]))
    empty = faults_at(page, {"/staff/mail/contacts": "No list so far"})
    make_consent(make_contact("known@example.org"), Purpose.MARKETING)
    make_suppression("stopped@example.org")
    sent, ready, done = a_list(owner), looked_through(a_list(owner)), looked_through(a_list(owner))
    broken = looked_through(a_list(owner, LIST + '"' + "x" * 200_000))
    contact_imports.accept(done, owner, NOW)
    written = contact_exports.ask_for_file(None, owner, NOW)
    db.session.commit()
    work_contacts(clock.now)
    waiting = contact_exports.ask_for_file(make_segment(name="Those who agreed"), owner, NOW)
    working = a_list(owner)
    contact_imports.describe(working, ["address", "", "marketing", ""], "en", "A list", is_confirmed=False, by_user_id=owner.id, now=NOW)
    db.session.commit()
    base = "/staff/mail/contacts"
    paths = {
        base: "being looked through",
        f"{base}/new": "How the file should look",
        f"{base}/{sent.public_id}": "What is in the columns",
        f"{base}/{ready.public_id}": "fewer than five",
        f"{base}/{done.public_id}": "1 person is taken in",
        f"{base}/{broken.public_id}": "could not be worked through to its end",
        f"{base}/{working.public_id}": "lines",
        f"{base}/files/{written.public_id}": "Take care of it",
        f"{base}/files/{waiting.public_id}": "people are written",
        f"{base}/form": "A form for another site",
        f"{base}/form?purpose=marketing&language=en&source=blog": "Put this into the page",
        f"{base}/form?purpose=marketing&language=en&source=Two+words": "small letters",
    }
    assert empty + faults_at(page, paths) == []


def test_what_is_wrong_with_a_list_is_said_on_its_pages(page: "Page", enter: Callable[[User], User]) -> None:
    owner = enter(make_user(roles=["owner"]))
    sent = a_list(owner)
    page.goto("/staff/mail/contacts/new")
    page.click("main form button")
    found = faults_of(page, "no file chosen")
    page.goto(f"/staff/mail/contacts/{sent.public_id}")
    page.select_option("#column-0", "")
    page.click("form[action$='/columns'] button")
    page.wait_for_load_state()
    assert "Please look at these answers again" in page.locator("main").inner_text()
    assert found + faults_of(page, "columns refused") == []


def test_what_anyone_sees_who_signs_up_or_pauses(page: "Page", app: Flask) -> None:
    contact = make_user().contact
    begin_pause(contact, NOW)
    form = token_of(Offer((Purpose.COURSE, Purpose.MARKETING), "en", "blog"))
    asked = link_for(
        Asked(contact.public_id, mark_of_address(contact.address_mac), (Purpose.COURSE, Purpose.MARKETING), "form:blog", NOW)
    ).rpartition("/")[2]
    db.session.commit()
    paths = {
        f"/mail/{mail_token(contact.public_id, 'all', contact.address_mac)}": "End the pause now",
        f"/sign-up/{form}": "Sign up for mails",
        f"/sign-up/{form}/sent": "Look at your mail",
        f"/agree/{asked}": "Yes, send me these mails",
        "/agree/nothing": "This link has ended",
    }
    found = faults_at(page, paths)
    page.goto(f"/sign-up/{form}")
    page.click("main form button")
    page.wait_for_load_state()
    found += faults_of(page, "signing up refused")
    page.goto(f"/agree/{asked}")
    page.click("main form button")
    page.wait_for_load_state()
    assert "it is noted" in page.locator("main").inner_text()
    assert found + faults_of(page, "agreed") == []


def test_what_marketers_see_of_a_sequence(page: "Page", enter: Callable[[User], User]) -> None:
    enter(make_user(roles=["owner"]))
    week = db.session.scalars(sa.select(Drip)).one()
    said = draft_of(week)
    for version in (2, 3):
        steps = (
            replace(said.steps[0], body=f"Of version {version}."),
            replace(said.steps[1], condition=Condition.NOT_FINISHED),
            said.steps[2],
        )
        keep_draft(week, replace(said, steps=steps, weekdays="12345"), week.draft_version, None, NOW)
        if version == 2:
            publish(week, None, NOW)
    make_run(make_sequence(title="Away", archived_at=NOW), make_contact(), db.session.query(Course).one())
    make_run(version_of(week, 1), make_contact(), db.session.query(Course).one())
    broken = StepDraft(9, None, "", "A line", "Hello {{ nobody }},\n\n[here](/relative)")
    new = new_sequence(replace(said, title="Not yet", steps=(broken,), purpose=Purpose.MARKETING), None, NOW)
    db.session.commit()
    here = f"/staff/mail/sequences/{week.public_id}"
    paths = {
        "/staff/mail/sequences": "When somebody begins a course",
        "/staff/mail/sequences?show=archived": "Away",
        "/staff/mail/sequences/new": "A new sequence",
        here: "Move those on older versions to the newest",
        f"{here}?version=1": "This is version 1",
        f"{here}/archive": "On their way now",
        f"{here}/move": "go on with version 2",
        f"{here}/draft": "New people get version 3 from now; a few people go on with version 1.",
        f"{here}/draft/head": "The sequence itself",
        f"{here}/draft/discard": "Throw the changes away?",
        f"{here}/draft/letters/new": "A new letter",
        f"{here}/draft/letters/2": "Only those who have not finished the course",
        f"{here}/draft/letters/2/look": "only if they have not finished the course",
        f"{here}/draft/letters/2/remove": "Take step 2 out?",
        f"/staff/mail/sequences/{new.public_id}/draft": "must carry a postal address",
        f"/staff/mail/sequences/{new.public_id}/draft/letters/1/look": "then it can be tried out and published",
    }
    assert faults_at(page, paths) == []


@pytest.mark.settings(languages="en,de,ar")
def test_a_sequence_in_several_languages(page: "Page", enter: Callable[[User], User]) -> None:
    enter(make_user(roles=["owner"]))
    week = db.session.scalars(sa.select(Drip)).one()
    said = draft_of(week)
    german = Translation("de", "Ihr Kurs: womit beginnen", "Zehn Minuten reichen für den Anfang", said.steps[0].body)
    first = replace(said.steps[0], translations=(german,))
    keep_draft(week, replace(said, steps=(first, *said.steps[1:])), week.draft_version, None, NOW)
    publish(week, None, NOW)
    broken = replace(said.steps[1], translations=(Translation("de", "Eines", "", "Hallo {{ nobody }}."),))
    keep_draft(week, replace(said, steps=(first, broken, said.steps[2])), week.draft_version, None, NOW)
    db.session.commit()
    here = f"/staff/mail/sequences/{week.public_id}"
    paths = {
        here: "Written in English and German.",
        f"{here}/draft": "It is not written in German, as others are",
        f"{here}/draft/letters/1": "In other languages",
        f"{here}/draft/letters/1/look?language=de": "womit beginnen",
        f"{here}/draft/letters/1/languages/de": "Subject in English",
        f"{here}/draft/letters/1/languages/ar": "In Arabic",
        f"{here}/draft/letters/1/languages/de/remove": "Take German out?",
    }
    found = faults_at(page, paths)
    page.goto(f"{here}/draft/letters/1/languages/ar")
    page.get_by_role("button", name="Keep it", exact=True).click()
    assert found + faults_of(page, "a letter of a sequence in another language with an error") == []


def version_of(sequence: Drip, number: int) -> SequenceVersion:
    """One version of a sequence."""
    query = sa.select(SequenceVersion).where(SequenceVersion.sequence_id == sequence.id, SequenceVersion.number == number)
    return db.session.scalars(query).one()


def test_what_instructors_see_of_an_upload(page: "Page", enter: Callable[[User], User], tmp_path: Path) -> None:
    enter(make_user(roles=["instructor"]))
    base = page.url.removesuffix("/healthz")
    send_course(page, base, small_course(tmp_path / "a"), "draft")
    changed = {
        "01-beginning/02-two.md": lesson("two", "Quite other words.\n\nAnd more.\n", title="Renamed"),
        "01-beginning/03.md": lesson("new"),
    }
    upload = send_course(page, base, small_course(tmp_path / "b", **changed))
    page.fill("input[name=day]", "2027-01-31")
    page.click("button[name=choice][value=plan]")
    page.wait_for_load_state()
    two = db.session.scalars(sa.select(Lesson.public_id).where(Lesson.key == "two")).one()
    touch = db.session.scalars(sa.select(Lesson.public_id).where(Lesson.key == "touch")).one()
    paths = {
        upload: "It will be published on January 31, 2027",
        f"{upload}/changes/{two}": "As it would be",
        f"{upload}/preview/unchecked/{two}": "of an upload that is not brought in yet",
        f"{upload}/preview/unchecked/{touch}": "A few questions about your health",
        f"{upload}/preview/gently/{touch}": "Press.",
        f"/staff/courses/small/preview/ahead/{touch}": "of a draft",
        "/staff/uploads": "Waiting for you",
        "/staff/courses/small": "An upload for this course waits",
        "/staff/courses/small/publish": "Or at a time",
        "/staff/courses/introduction/withdraw": "out of learners’ sight?",
    }
    found = faults_at(page, paths)
    db.session.execute(sa.update(Course).where(Course.slug == "small").values(version=Course.version + 1))
    db.session.commit()
    assert found + faults_at(page, {upload: "The course has changed since this was looked through"}) == []


def send_course(page: "Page", base: str, folder: Path, choice: str = "") -> str:
    """Upload a course folder and have the worker look it through, and bring it in where a choice is made; the upload's path."""
    packed = shutil.make_archive(str(folder), "zip", folder)
    page.goto("/staff/uploads")
    page.set_input_files("input[type=file]", packed)
    page.click("main form[data-upload] button")
    page.wait_for_url("**/staff/uploads/*")
    work_uploads(clock.now)
    page.reload()
    if choice:
        page.click(f"button[name=choice][value={choice}]")
        page.wait_for_load_state()
        work_uploads(clock.now)
    return page.url.removeprefix(base)


def test_an_empty_place(page: "Page") -> None:
    course = db.session.query(Course).one()
    course.published_at = None
    db.session.commit()
    assert faults_at(page, {"/": "There is no course here yet"}) == []


def test_every_page_is_valid_html_with_no_id_twice(app: Flask, client: Client) -> None:
    client.sign_in(learner(outcome=Outcome.AHEAD))
    technique = db.session.scalars(sa.select(Lesson.public_id).where(Lesson.needs_check == Need.TOUCH)).one()
    lessons = [f"/lessons/{lesson.public_id}" for lesson in db.session.query(Lesson)]
    assert f"/lessons/{technique}" in lessons
    visitor: Any = app.test_client()
    pages = {
        path: client.get(path) for path in ("/learn/introduction", "/learn/introduction/progress", "/account", "/safety-check", *lessons)
    }
    pages |= {path: visitor.get(path) for path in ("/", "/start", "/help-now", "/sign-in", "/sign-in/code", "/nothing")}
    for path, answer in pages.items():
        assert faults_in(answer.text) == [], path
