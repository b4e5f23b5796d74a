"""Pictures of every main page: `make shots` writes them into docs/shots/, `make shots ARGS="--only upload,team"` some alone.

A real installation is started on a free port with a folder of its own, walked through as a learner would, and stopped. The pages
that learners meet first are taken in three widths, light and dark; the others narrow and dark, wide and light. Pictures have few
colours, the commonest of them exact, so that they show what a page looks like and stay small.
"""

import argparse
import io
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask_migrate import upgrade
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from courseapp import create_app
from tests.authoring.folders import lesson, small_course, write
from tests.browser import ARGUMENTS, NAMES
from tests.mailing.standard import standard_mails
from tests.shots_of_money import SELLING, walk_money

ROOT = Path(__file__).parent.parent
WAYS = [(width, scheme) for width in (320, 768, 1280) for scheme in ("light", "dark")]
ENDS = [(320, "dark"), (1280, "light")]
OF_MAILS = [(320, "light"), (640, "light"), (640, "dark")]  # as a telephone and as two mail programs show them
IN_EVERY_WAY = {"landing", "start", "safety-check", "outcome", "lesson", "practice", "locked", "course", "progress"}
IN_EVERY_WAY |= {"plans", "bought", "own-plan"}
PARTS = ("free", "money", "mails")
COMMONEST, OTHERS = 12, 20  # colours of a picture
HREFS = "links => links.map(link => link.getAttribute('href'))"
TALLEST = 2400  # pixels of a page that are kept
Pages = list[tuple[str, str, list[dict[str, object]]]]


def main() -> None:
    """Take them all."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--into", type=Path, default=ROOT / "docs" / "shots")
    reader.add_argument("--only", default="", help="parts of pages' names, with commas between them")
    reader.add_argument("--part", choices=PARTS, help="only the site that sells nothing, only the one that sells, or only the mails")
    wanted = reader.parse_args()
    wanted.into.mkdir(parents=True, exist_ok=True)
    if not wanted.only and not wanted.part:
        for left in wanted.into.iterdir():
            left.unlink()
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=next(filter(None, map(shutil.which, NAMES))), args=ARGUMENTS)
        for part, take_part in zip(PARTS, (take_free, take_money, take_mails), strict=True):
            if wanted.part in {None, part}:
                with tempfile.TemporaryDirectory() as folder:
                    take_part(browser, Path(folder), wanted)
        browser.close()


def take_free(browser: Browser, folder: Path, wanted: argparse.Namespace) -> None:
    """The pages of a site that sells nothing."""
    with installation(folder) as (base, staff):
        take_all(browser, base, walk(browser, base, staff, folder), wanted)
        take_all(browser, base, walk_empty(browser, base, folder), wanted)
        if wanted.only in "paper":
            picture_of_paper(base, wanted.into)


def take_money(browser: Browser, folder: Path, wanted: argparse.Namespace) -> None:
    """The pages about money, of a site that sells."""
    with installation(folder, **SELLING) as (base, staff):
        take_all(browser, base, walk_money(browser, base, staff, folder), wanted)


def take_all(browser: Browser, base: str, pages: Pages, wanted: argparse.Namespace) -> None:
    """Every page of a list that is wanted, in the ways it is to be seen."""
    for name, path, cookies in pages:
        if any(part in name for part in wanted.only.split(",")):
            for width, scheme in WAYS if name in IN_EVERY_WAY else ENDS:
                take(browser, f"{base}{path}", cookies, width, scheme, wanted.into / f"{name}-{width}-{scheme}.png")


def take_mails(browser: Browser, folder: Path, wanted: argparse.Namespace) -> None:
    """The HTML of every standard mail, as files that a browser opens."""
    with create_app(data_dir=folder, base_url="https://learn.example").app_context():
        upgrade()
        for name, mail in standard_mails():
            if any(part in f"mail-{name}" for part in wanted.only.split(",")):
                page = folder / "mail.html"
                page.write_text(mail.html, encoding="utf-8")
                for width, scheme in OF_MAILS:
                    take(browser, page.as_uri(), [], width, scheme, wanted.into / f"mail-{name}-{width}-{scheme}.png", least=200)


@contextmanager
def installation(folder: Path, **more: str) -> Iterator[tuple[str, str]]:
    """A running installation: its address, and the owner's sign-in link."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "flask", "--app", "courseapp", "up"]
    environment = {**os.environ, "DATA_DIR": str(folder), "PORT": str(port), "RATE_LIMITS": "false", **more}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        link = next(line.split()[1] for line in process.stdout if line.strip().startswith("owner"))
        yield f"http://127.0.0.1:{port}", link
    finally:
        process.terminate()
        process.wait(timeout=30)


def walk(browser: Browser, base: str, staff_link: str, folder: Path) -> Pages:
    """Go through the course as a learner, and look in as the owner; the pages to take, with whose cookies."""
    beginner, lessons = begin(browser, base, "learner@example.org")
    passed, _lessons = begin(browser, base, "")
    outcome = pass_check(passed.new_page(), base)
    owner = browser.new_context()
    staff = owner.new_page()
    staff.goto(staff_link)
    staff.click("main form button[type=submit]")
    staff.wait_for_url("**/staff/courses")
    mail = newest_mail(staff, base)
    letter = published_letter(staff, base)
    broken, small = upload(staff, base, mistakes=True), upload(staff, base)
    bring_in(staff, f"{base}{small}", "draft")
    ready = upload(staff, base, changed=True)
    plan(staff, f"{base}{ready}")
    staff.goto(f"{base}{ready}/preview")
    preview = staff.url.removeprefix(base)
    closed = str(staff.eval_on_selector_all(".outline a", HREFS)[-1])
    edit(staff, base)
    desk = walk_desk(browser, staff, base)
    crowd(folder)
    document = send(staff, base, ROOT / "tests" / "authoring" / "documents" / "losses.docx", into="introduction/")
    before, after, office = cookies_of(beginner), cookies_of(passed), cookies_of(owner)
    return [
        *((name, path, office if cookies is None else cookies) for name, path, cookies in [*desk, *walk_mail(folder), *walk_lists(folder)]),
        ("landing", "/", []),
        ("start", "/start", []),
        ("sign-in", "/sign-in", []),
        ("check-mail", "/sign-in/code", before),
        ("help-now", "/help-now", []),
        ("course", "/learn/introduction", before),
        ("lesson", lessons[3], before),
        ("locked", lessons[-3], before),
        ("safety-check", "/safety-check", before),
        ("outcome", outcome, after),
        ("practice", lessons[-3], after),
        ("progress", "/learn/introduction/progress", before),
        ("account", "/account", before),
        ("forget", "/forget-device", before),
        ("staff-courses", "/staff/courses", office),
        ("staff-course", "/staff/courses/introduction", office),
        ("uploads", "/staff/uploads", office),
        ("upload-refused", broken, office),
        ("upload-ready", ready, office),
        ("upload-in", small, office),
        ("upload-document", document, office),
        ("preview", preview, office),
        ("preview-closed", closed, office),
        ("preview-practice", closed.replace("/unchecked/", "/gently/"), office),
        ("publish", "/staff/courses/small/publish", office),
        ("withdraw", "/staff/courses/introduction/withdraw", office),
        ("undo", "/staff/courses/introduction/undo", office),
        ("editor", "/staff/courses/introduction/lessons/self-massage/edit", office),
        ("history", "/staff/courses/introduction/lessons/self-massage/history", office),
        ("revisions", "/staff/courses/introduction/lessons/self-massage/history/1", office),
        ("order", "/staff/courses/introduction/order", office),
        ("reviews", "/staff/reviews", office),
        ("insights", "/staff/courses/introduction/insights", office),
        ("insights-empty", "/staff/courses/small/insights", office),
        ("letters", "/staff/mail/letters", office),
        ("letter", letter, office),
        ("review", "/staff/courses/introduction/lessons/self-massage/review", office),
        ("outbox", "/outbox", []),
        ("mail", mail, []),
        ("pieces", "/pieces", []),
        ("not-found", "/nothing-here", []),
    ]


def walk_desk(browser: Browser, staff: Page, base: str) -> list[tuple[str, str, list[dict[str, object]] | None]]:
    """Ask, report, be found and helped, invite and set: the pages of support and settings. Without cookies: the owner's."""
    learner, lessons = begin(browser, base, "ada.lovelace@example.org")
    own = learner.new_page()
    own.goto(mailed_link(staff, base, "/sign-in/link/"))
    submit(own)
    own.goto(f"{base}/ask")
    own.fill("textarea", "The mail with the code comes hours late, every time. Can you see why?\n\nI use my work address.")
    submit(own)
    own.goto(f"{base}{lessons[1]}/report")
    own.fill("textarea", "In the second paragraph a word is missing: “the floor of pelvis”.")
    submit(own)
    for address, place in (("ada.lovelace@example.org", "support"), ("invited@example.org", "team")):
        staff.goto(f"{base}/staff/{'people' if place == 'support' else 'team'}")
        staff.fill("main input[type=email]", address)
        if place == "team":
            staff.check("main input[name=instructor]")
        staff.locator("main form:has(input[type=email]) button").click()
        staff.wait_for_load_state()
        if place == "support":
            person = staff.url.removeprefix(base)
            staff.locator(f"form[action='{person}/link'] button").click()
            staff.wait_for_load_state()
    invitation = mailed_link(staff, base, "/invitation/").removeprefix(base)
    hers = cookies_of(learner)
    return [
        ("ask", "/ask", []),
        ("report", f"{lessons[1]}/report", hers),
        ("staff-actions", "/account/staff", hers),
        ("support", "/staff/people", None),
        ("support-person", person, None),
        ("support-erase", f"{person}/erase", None),
        ("support-questions", "/staff/questions", None),
        ("segments", "/staff/mail/segments", None),
        ("segment", "/staff/mail/segments/new", None),
        ("team", "/staff/team", None),
        ("settings", "/staff/settings", None),
        ("legal-edit", "/staff/settings/pages/privacy", None),
        ("invitation", invitation, []),
    ]


def walk_mail(folder: Path) -> list[tuple[str, str, None]]:
    """Mail of every kind and how it may stand: the pages about it."""
    for kind in (MAILS, SEQUENCES):
        subprocess.run([sys.executable, "-c", kind], cwd=ROOT, env={**os.environ, "DATA_DIR": str(folder)}, check=True)
    with sqlite3.connect(folder / "courseapp.sqlite3") as database:
        doubt = database.execute("SELECT public_id FROM messages WHERE state = 'uncertain' LIMIT 1").fetchone()[0]
        week = database.execute("SELECT public_id FROM sequences WHERE key = 'first-week'").fetchone()[0]
    return [
        ("sequences", "/staff/mail/sequences", None),
        ("sequence", f"/staff/mail/sequences/{week}", None),
        ("sequence-move", f"/staff/mail/sequences/{week}/move", None),
        ("sequence-draft", f"/staff/mail/sequences/{week}/draft", None),
        ("sequence-head", f"/staff/mail/sequences/{week}/draft/head", None),
        ("sequence-letter", f"/staff/mail/sequences/{week}/draft/letters/2", None),
        ("mail-outbox", "/staff/mail", None),
        ("mail-pause", "/staff/mail/streams/course/pause", None),
        ("mail-resume", "/staff/mail/streams/marketing/resume", None),
        ("mail-doubts", "/staff/mail/doubts", None),
        ("mail-doubt", f"/staff/mail/doubts/{doubt}", None),
        *walk_results(folder),
    ]


def walk_results(folder: Path) -> list[tuple[str, str, None]]:
    """Broadcasts, what came of one and of a sequence, how mail arrives, and who did what."""
    subprocess.run([sys.executable, "-c", RESULTS], cwd=ROOT, env={**os.environ, "DATA_DIR": str(folder)}, check=True)
    with sqlite3.connect(folder / "courseapp.sqlite3") as database:
        newest = "SELECT public_id FROM {} ORDER BY id DESC LIMIT 3"
        trial, broadcast, draft = (row[0] for row in database.execute(newest.format("broadcasts")))
        sequence = database.execute(newest.format("sequences")).fetchone()[0]
    return [
        ("broadcasts", "/staff/mail/broadcasts", None),
        ("broadcast", f"/staff/mail/broadcasts/{broadcast}", None),
        ("broadcast-trial", f"/staff/mail/broadcasts/{trial}", None),
        ("results-trial", f"/staff/mail/broadcasts/{trial}/results", None),
        ("broadcast-edit", f"/staff/mail/broadcasts/{draft}", None),
        ("broadcast-look", f"/staff/mail/broadcasts/{draft}/look?letter=second", None),
        ("broadcast-new", "/staff/mail/broadcasts/new", None),
        ("results-broadcast", f"/staff/mail/broadcasts/{broadcast}/results", None),
        ("results-sequence", f"/staff/mail/sequences/{sequence}/results", None),
        ("mail-arrivals", "/staff/mail/deliverability", None),
        ("who-did-what", "/staff/audit", None),
    ]


def walk_lists(folder: Path) -> list[tuple[str, str, list[dict[str, object]] | None]]:
    """Lists of contacts on their way in and out, the form for other sites, and what those see who sign up or pause."""
    environment = {**os.environ, "DATA_DIR": str(folder)}
    said = subprocess.run([sys.executable, "-c", LISTS], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    columns, ready, done, written, form, asked, paused = said.splitlines()[-1].split()
    base = "/staff/mail/contacts"
    return [
        ("contacts", base, None),
        ("contacts-new", f"{base}/new", None),
        ("contacts-columns", f"{base}/{columns}", None),
        ("contacts-ready", f"{base}/{ready}", None),
        ("contacts-done", f"{base}/{done}", None),
        ("contacts-out", f"{base}/files/{written}", None),
        ("contacts-form", f"{base}/form?purpose=marketing&language=en&source=blog", None),
        ("sign-up", f"/sign-up/{form}", []),
        ("sign-up-sent", f"/sign-up/{form}/sent", []),
        ("agree", f"/agree/{asked}", []),
        ("preferences", f"/mail/{paused}", []),
    ]


def walk_empty(browser: Browser, base: str, folder: Path) -> Pages:
    """What stands there before anybody owns the site: its owner is closed, then the pages of setting up are walked."""
    with sqlite3.connect(folder / "courseapp.sqlite3") as database:
        database.execute("UPDATE users SET disabled_at = created_at WHERE id IN (SELECT user_id FROM role_grants WHERE role = 'owner')")
    command = [sys.executable, "-m", "flask", "--app", "courseapp", "setup-link"]
    environment = {**os.environ, "DATA_DIR": str(folder), "BASE_URL": base}
    said = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [("set-up", said.split()[-1].removeprefix(base), [])]


def submit(page: Page) -> None:
    """Press the button of the page's one form, and wait for what follows."""
    page.locator("main form button[type=submit]").last.click()
    page.wait_for_load_state()


def mailed_link(page: Page, base: str, kind: str) -> str:
    """The newest mailed link of a kind, from the outbox of the embedded mode."""
    for _attempt in range(50):
        page.goto(f"{base}/outbox")
        for path in page.eval_on_selector_all("main a[href^='/outbox/']", HREFS)[:3]:
            page.goto(f"{base}{path}")
            found = re.search(rf"https?://[^\s<>\"]*{kind}[\w-]{{20,}}", page.content())
            if found is not None:
                return found.group()
        time.sleep(0.2)
    raise LookupError(f"no mail with a link of the kind {kind}")


def crowd(folder: Path) -> None:
    """Invented learners, some of whom came by links, and the count that is made of them once a day."""
    for command in (["-m", "flask", "--app", "courseapp", "synth", "learners", "400"], ["-c", LINKS]):
        subprocess.run([sys.executable, *command], cwd=ROOT, env={**os.environ, "DATA_DIR": str(folder)}, check=True)


LINKS = """
from datetime import timedelta
from courseapp import clock, create_app
from courseapp.catalog.models import Course
from courseapp.extensions import db
from courseapp.insights.loops import renew_figures
from courseapp.learning.arrivals import make_source, source_id_of
from courseapp.learning.models import Arrival
with create_app().app_context():
    now, course = clock.now(), db.session.query(Course).filter_by(slug="introduction").one()
    for number, word in enumerate(("clinic-north", "flyer"), 1):
        source = source_id_of(course.id, make_source(course.id, word, now))
        for ago in range(1, 40):
            db.session.add(Arrival(source_id=source, day=(now - timedelta(days=ago)).date(), count=ago * number % 11))
    renew_figures(clock.now)
"""


MAILS = """
from datetime import timedelta
from courseapp import clock, create_app
from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.mailing.models import State
from courseapp.mailing.streams import stream_of
from tests.factories import make_contact, make_letter, make_message
with create_app().app_context():
    now = clock.now()
    letter = make_letter(subject="What comes after the introduction")
    ends = [("accepted", 410, None), ("skipped", 12, "unsubscribed"), ("bounced", 26, "550 5.1.1 no such user"),
            ("failed", 4, "550 5.7.1 refused"), ("failed", 2, "552 5.2.2 full"), ("pending", 64, "paused"), ("uncertain", 3, "line broke")]
    number = 0
    for stream in ("marketing", "course"):
        for state, count, reason in ends:
            for _ in range(count if stream == "marketing" else count // 8):
                number += 1
                domain = "mail.example" if number % 3 else "post.example"
                make_message(make_contact(f"reader{number}@{domain}"), stream=stream, letter=letter, state=State(state), reason=reason,
                             settled_at=None if state == "pending" else now, due_at=now + timedelta(hours=1))
    make_message(make_contact("last@mail.example"), stream="course", letter=letter, state=State.UNCERTAIN, settled_at=now)
    stream = stream_of("marketing")
    stream.paused_at, stream.paused_why = now, "It paused itself: 26 of 442 mails of a day came back: the addresses take none."
    db.session.commit()
"""


RESULTS = """
from courseapp import clock, create_app
from courseapp.catalog.models import Course
from courseapp.extensions import db
from tests.insights.scenes import make_draft_that_tries, make_results, make_trial
with create_app().app_context():
    course = db.session.query(Course).filter_by(slug="introduction").one()
    make_draft_that_tries()
    make_results(course, clock.now())
    make_trial(course, clock.now())
"""


LISTS = """
import io
from courseapp import clock, create_app
from courseapp.campaigns import contact_exports, contact_imports
from courseapp.campaigns.asking import Asked, link_for
from courseapp.campaigns.contacting.loops import work_contacts
from courseapp.campaigns.signing_up import Offer, token_of
from courseapp.accounts.models import Role, RoleGrant, User
from courseapp.contacts.models import Purpose
from courseapp.contacts.resting import begin_pause
from courseapp.extensions import db
from courseapp.mailing.links import mail_token, mark_of_address
from tests.factories import make_consent, make_contact
HEAD, LAST = "E-mail;First name;Signed up on;Country\\n", "reader.7@mail.example;Again;2024-01-01;DE\\n;Nameless;2024-01-01;\\n"
LIST = HEAD + "".join(f"reader.{n}@mail.example;Reader {n};2024-0{n % 9 + 1}-1{n % 9};DE\\n" for n in range(180))
LIST += "zo\u00eb@mail.example;Zo\u00eb;2024-02-30;FR\\nnobody at mail.example;;yes;\\n" + LAST
FIELDS = ["address", "first_name", "marketing", ""]
with create_app().app_context():
    now, owner = clock.now(), db.session.query(User).join(RoleGrant).filter(RoleGrant.role == Role.OWNER).first()
    made = []
    for name in ("newsletter-2024.csv", "conference-guests.csv", "readers-of-the-blog.csv"):
        content = io.BytesIO(LIST.replace("mail.example", name[:4] + ".example").encode())
        made.append(contact_imports.receive(content, name, owner.id, "en", now))
    for found in made[1:]:
        words = "Newsletter form on example.org, confirmed by mail, 2021 to 2025"
        contact_imports.describe(found, FIELDS, "en", words, is_confirmed=False, by_user_id=owner.id, now=now)
    db.session.commit()
    work_contacts(clock.now)
    contact_imports.accept(made[2], owner, now)
    written = contact_exports.ask_for_file(None, owner, now)
    person = make_contact("ada@mail.example")
    make_consent(person, Purpose.COURSE)
    begin_pause(person, now)
    db.session.commit()
    work_contacts(clock.now)
    mark = mark_of_address(person.address_mac)
    asked = link_for(Asked(person.public_id, mark, (Purpose.MARKETING,), "form:blog", now)).rpartition("/")[2]
    form = token_of(Offer((Purpose.COURSE, Purpose.MARKETING), "en", "blog"))
    print(*(found.public_id for found in made), written.public_id, form, asked, mail_token(person.public_id, "all", person.address_mac))
"""


SEQUENCES = """
from dataclasses import replace
from datetime import time, timedelta
from courseapp import clock, create_app
from courseapp.accounts.models import RoleGrant
from courseapp.campaigns.models import Condition, RunEnd, Sequence, SequenceStep
from courseapp.campaigns.sequence_drafts import draft_of, keep_draft, latest_version, pause, publish
from courseapp.campaigns.sequence_shapes import StepDraft
from courseapp.contacts.windows import Window
from courseapp.catalog.models import Course
from courseapp.extensions import db
from courseapp.mailing.models import Letter, State
from tests.factories import make_contact, make_message, make_run
def walk(version, waiting, ends):
    runs = [dict(position=position) for position, count in enumerate(waiting) for _ in range(count)]
    for end, (place, count) in ends.items():
        runs += count * [dict(position=place, next_run_at=None, ended_at=now, end=RunEnd(end))]
    letters = db.session.query(Letter).join(SequenceStep).filter_by(version_id=version.id).order_by(SequenceStep.position).all()
    for number, facts in enumerate(runs):
        run = make_run(version, make_contact(), course, **{"next_run_at": now + timedelta(days=1), **facts})
        for position, letter in enumerate(letters[:run.position]):
            if number % 9 or position != 1:
                key = f"sequence:{run.id}:{position}"
                make_message(run.contact, stream="course", letter=letter, dedupe_key=key, state=State.ACCEPTED, settled_at=now)
with create_app().app_context():
    now = clock.now()
    course = db.session.query(Course).filter_by(slug="introduction").one()
    week = db.session.query(Sequence).filter_by(key="first-week").one()
    owner = db.session.query(RoleGrant.user_id).filter_by(role="owner").first()[0]
    walk(latest_version(week), (0, 61, 67), {"finished": (3, 212), "goal": (2, 31), "unsubscribed": (1, 9), "erased": (1, 2)})
    said = replace(draft_of(week), window=Window(time(9), time(20)), weekdays="12345")
    said = replace(said, steps=(said.steps[0], replace(said.steps[1], condition=Condition.NOT_FINISHED), said.steps[2]))
    keep_draft(week, said, week.draft_version, None, now)
    walk(publish(week, owner, now), (14, 23, 3), {"finished": (3, 18), "goal": (2, 6), "unsubscribed": (1, 2)})
    more = StepDraft(9, None, "", "Whenever you like", "Hello {{ first_name }},\\n\\n::: offer\\nThere is a second course.\\n:::")
    keep_draft(week, replace(said, steps=(*said.steps, more)), week.draft_version, None, now)
    nudge = db.session.query(Sequence).filter_by(key="gentle-nudge").one()
    walk(latest_version(nudge), (8, 40), {"active": (1, 33)})
    pause(nudge, None, now)
    db.session.commit()
"""


def begin(browser: Browser, base: str, address: str) -> tuple[BrowserContext, list[str]]:
    """Start the course in a browser of one's own, do three lessons; the browser, and the lessons' addresses in order."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{base}/start")
    page.fill("input[name=address]", address)
    page.click("main form button[type=submit]")
    page.wait_for_url("**/learn/**")
    found = page.eval_on_selector_all("main .module a[href^='/lessons/'], main details a[href^='/lessons/']", HREFS)
    lessons = [str(path) for path in dict.fromkeys(found)]
    for path in lessons[:3]:
        page.goto(f"{base}{path}")
        page.click("form[action$='/completion'] button")
    return context, lessons


def pass_check(page: Page, base: str) -> str:
    """Answer the safety check with no throughout."""
    page.goto(f"{base}/safety-check")
    page.click("main form button[type=submit]")
    for _screen in range(12):
        if page.url.endswith("/outcome"):
            break
        page.check("input[name=choice][value=no]")
        page.click("main form button[type=submit]:not([name=back])")
    return "/safety-check/outcome"


def edit(page: Page, base: str) -> None:
    """Change a lesson by page, so that it has a history."""
    page.goto(f"{base}/staff/courses/introduction/lessons/self-massage/edit")
    page.fill("#body", page.input_value("#body").replace("lightly", "very lightly"))
    with page.expect_navigation():
        page.click("#save")


DRAWING = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 360 150" role="img"><title>{title}</title><desc>{title}</desc>
<style>svg{{color:#1f2937}}@media (prefers-color-scheme: dark){{svg{{color:#e5e7eb}}}}</style>
<path d="{lines}" fill="none" stroke="currentColor" stroke-width="4" stroke-linecap="round" stroke-linejoin="round"/></svg>
"""
DRAWINGS = {
    "01-beginning/square.svg": DRAWING.format(
        title="A chair, seen from the side", lines="M130 20v110M130 80h90v50M130 80l-8-60M40 130h280"
    ),
    "02-doing/circle.svg": DRAWING.format(
        title="Slow circles", lines="M180 25a50 50 0 1 1-48 36M180 45a30 30 0 1 1-29 22M132 61l-8-16M132 61l16-8"
    ),
}
CHANGED = {
    "01-beginning/01-one.md": lesson(
        "one",
        "Sit upright on a firm chair and put both feet on the floor.\n\nBreathe in slowly, and let the belly become wide.\n\n"
        "![A square](square.svg)\n\nRest for a moment afterwards.\n",
        title="Sitting well",
        minutes=7,
    ),
    "01-beginning/03-three.md": lesson("three", title="A lesson that is new"),
}
BEFORE = {
    "01-beginning/01-one.md": lesson(
        "one",
        "Sit upright on a chair and put your feet on the floor.\n\nBreathe in deeply, and let the belly become wide.\n\n"
        "![A square](square.svg)\n\nThis sentence says what is not right any more.\n",
        title="Sitting",
    )
}


def upload(page: Page, base: str, mistakes: bool = False, changed: bool = False) -> str:
    """Upload a small course, sound, changed or with three mistakes, and wait until the worker has looked it through; its page."""
    with tempfile.TemporaryDirectory() as folder:
        course = small_course(Path(folder) / "course", **DRAWINGS, **(CHANGED if changed else BEFORE))
        if mistakes:
            write(
                course,
                {"01-beginning/01-one.md": lesson("one", "![ ](lost.svg)\n"), "02-doing/01-touch.md": lesson("touch", minutes="long")},
            )
        packed = shutil.make_archive(f"{folder}/{'module' if mistakes else 'a-small-course'}", "zip", course)
        return send(page, base, Path(packed))


def send(page: Page, base: str, file: Path, into: str = "") -> str:
    """Send a file by the upload page, and wait until the worker has looked it through; its page."""
    page.goto(f"{base}/staff/uploads")
    page.set_input_files("input[type=file]", file)
    page.select_option("select[name=into]", into)
    page.check("input[name=needs_check][value=none]", force=True)
    page.click("main form[data-upload] button")
    page.wait_for_url("**/staff/uploads/*")
    wait_for_worker(page)
    return page.url.removeprefix(base)


def wait_for_worker(page: Page) -> None:
    """Until the page of an upload says how it ended."""
    page.wait_for_load_state()
    while page.locator("[data-follow]").count():
        page.wait_for_timeout(200)
    page.wait_for_load_state("networkidle")  # the page loads itself anew at the end


def bring_in(page: Page, url: str, choice: str) -> None:
    """Decide about an upload that is ready, and wait until it is in."""
    page.goto(url)
    page.click(f"button[name=choice][value={choice}]")
    wait_for_worker(page)


def plan(page: Page, url: str) -> None:
    """Have an upload published in the spring after next."""
    page.goto(url)
    page.fill("input[name=day]", f"{time.localtime().tm_year + 1}-04-01")
    page.click("button[name=choice][value=plan]")
    page.wait_for_load_state()


def newest_mail(page: Page, base: str) -> str:
    """The address of the newest mail in the outbox, once there is one."""
    for _attempt in range(50):
        page.goto(f"{base}/outbox")
        links = page.eval_on_selector_all("main a[href^='/outbox/']", HREFS)
        if links:
            return str(links[0])
        time.sleep(0.2)
    return "/outbox"


def published_letter(page: Page, base: str) -> str:
    """A letter of the sequence that comes with the course."""
    page.goto(f"{base}/staff/mail/letters")
    return str(page.eval_on_selector_all("main a[href^='/staff/mail/letters/']", HREFS)[-1])


def cookies_of(context: BrowserContext) -> list[dict[str, object]]:
    """What the browser kept."""
    return [dict(cookie) for cookie in context.cookies()]


def take(browser: Browser, url: str, cookies: list[dict[str, object]], width: int, scheme: str, file: Path, least: int = 900) -> None:
    """One picture, at least so many pixels high."""
    context = browser.new_context(viewport={"width": width, "height": least}, color_scheme=scheme)  # type: ignore[arg-type]  # light or dark
    context.add_cookies(cookies)  # type: ignore[arg-type]  # as the browser gave them, a TypedDict
    page = context.new_page()
    page.goto(url)
    height = min(TALLEST, int(page.evaluate("document.documentElement.scrollHeight")))
    page.set_viewport_size({"width": width, "height": height})
    keep(page.screenshot(), file)
    context.close()


def keep(picture: bytes, file: Path) -> None:
    """Write a picture with few colours: the commonest, in which pages are drawn, exactly; of those that blend at edges some between."""
    whole = Image.open(io.BytesIO(picture)).convert("RGB")
    commonest = sorted(whole.getcolors(whole.width * whole.height) or [], reverse=True)[:COMMONEST]
    between = whole.quantize(OTHERS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).getpalette() or []
    colours = Image.new("P", (1, 1))
    colours.putpalette([*(part for _count, colour in commonest for part in colour), *between[: 3 * OTHERS]])
    whole.quantize(palette=colours, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)


def picture_of_paper(base: str, into: Path) -> None:
    """Some pages of the printed copy, where poppler's pdftoppm is there to draw them."""
    drawer = shutil.which("pdftoppm")
    if drawer is None:
        print("pdftoppm is missing (apt-get install poppler-utils): no picture of the printed copy")
        return
    for _attempt in range(120):
        content = urllib.request.urlopen(f"{base}/courses/introduction/copy.pdf").read()
        if content.startswith(b"%PDF"):
            break
        time.sleep(0.5)
    for number in (1, 3, 7, 9):
        command = [drawer, "-r", "60", "-png", "-singlefile", "-f", str(number), "-l", str(number), "-"]
        keep(subprocess.run(command, input=content, stdout=subprocess.PIPE, check=True).stdout, into / f"paper-{number}.png")


if __name__ == "__main__":
    main()
