"""Who did what: every act of staff with who, when and in words; nothing of learners; marketers see mail alone; the file is safe to open."""

import csv
import io
import re
from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import Role, User
from courseapp.authoring import uploads
from courseapp.campaigns import broadcasts
from courseapp.extensions import db
from courseapp.journal.models import OF_LEARNERS, Event
from courseapp.learning.arrivals import make_source
from courseapp.learning.models import Source
from courseapp.operations import questions
from courseapp.operations.audit import acts_of, entries_before
from courseapp.operations.audit_words import MATTERS, WORDS, Matter
from courseapp.operations.models import QuestionKind
from courseapp.operations.people import erase
from courseapp.organisation import invitations
from courseapp.organisation.models import Invitation
from courseapp.site import FIELDS
from tests.campaigns.test_broadcasts import draft
from tests.client import Client
from tests.factories import (
    NOW,
    lessons_of,
    make_broadcast,
    make_course,
    make_event,
    make_guest,
    make_letter,
    make_message,
    make_plan,
    make_segment,
    make_sequence,
    make_tier,
    make_user,
)
from tests.query_counts import statements


@pytest.fixture
def ada(app: Flask) -> User:
    """A marketer who does things."""
    return make_user("ada@example.org", roles=[Role.MARKETER])


@pytest.fixture
def owner(app: Flask) -> User:
    """Who sees everything."""
    return make_user("owner@example.org", roles=[Role.OWNER])


def seen(client: Client, reader: User, **asked: object) -> list[tuple[str, str, str]]:
    """(who, what, about) of the lines of the page, as somebody sees it."""
    db.session.commit()
    client.sign_in(reader)
    page = client.visit("auditing.acts", **asked).text
    cells = re.findall(r'<th scope="row">(.*?)</th>\s*<td>(.*?)</td>\s*<td>(.*?)</td>\s*<td class="when">[^<]+</td>', page)
    return [(who, what, about) for what, about, who in cells]


def test_what_staff_did_stands_there_with_who_and_about_what(client: Client, ada: User, owner: User) -> None:
    course, broadcast = make_course(title="Walking"), make_broadcast(title="News")
    make_event("broadcast_paused", f"broadcast:{broadcast.id}", data={"by_user_id": ada.id})
    make_event("segment_saved", f"segment:{make_segment(name='Idle').id}", data={"by": ada.id})
    make_event("sequence_published", f"sequence:{make_sequence(title='Welcome').sequence_id}", data={"by_user_id": ada.id, "version": 3})
    make_event("letter_tried", f"letter:{make_letter(subject='Hello').id}", data={"by": ada.id, "contact_id": 1})
    make_event("stream_paused_itself", "stream:marketing", data={"count": 1, "whole": 9, "why": "bounced"})
    make_event("course_published", f"course:{course.id}", data={"by_user_id": owner.id, "version": 2})
    make_event("course_changed", f"course:{course.id}", data={"by_user_id": None, "version": 2})
    make_event("role_granted", f"user:{ada.id}", data={"by": owner.id, "role": "marketer"})
    make_event("site_settings_changed", "site", data={"by": owner.id, "fields": ["site_name", "logo", "logo_size"]})
    make_event("owner_link_made", "site")
    assert seen(client, owner) == [
        ("somebody on the server", "Made a link for the first owner on the server", ""),
        ("owner@example.org", "Changed settings: Neutral name, Logo", ""),
        ("owner@example.org", "Gave the role Marketer", "ada@example.org"),
        ("the site or its command line", "A course was changed by an import, version 2", "Walking"),
        ("owner@example.org", "Published a course", "Walking"),
        ("the site by itself", "A kind of mail paused itself: too much went wrong", "Marketing"),
        ("ada@example.org", "Tried a letter out on staff", "Hello"),
        ("ada@example.org", "Published version 3 of a sequence", "Welcome"),
        ("ada@example.org", "Saved a segment", "Idle"),
        ("ada@example.org", "Paused a broadcast", "News"),
    ]


def test_marketers_see_mail_alone(client: Client, ada: User, owner: User) -> None:
    for matter in Matter:
        for kind in MATTERS[matter]:
            make_event(kind, "thing:1", data={"by": owner.id})
    assert len(entries_before(list(Matter), None, None, 1000)) == len(WORDS)
    told = [what for _who, what, _about in seen(client, ada)]
    assert len(told) == len(MATTERS[Matter.MAIL])
    client.sign_in(ada)
    assert client.visit("auditing.acts", matter="people").status_code == 404
    token = client.csrf_token("auditing.acts")
    assert client.post(client.path("auditing.export"), data={"csrf_token": token, "matter": "people"}).status_code == 404
    assert not re.search(r'<option value="(people|courses|site)"', client.visit("auditing.acts").text)


def test_nothing_of_learners_is_told(client: Client, ada: User, owner: User) -> None:
    for kind in OF_LEARNERS:
        make_event(kind, f"user:{ada.id}", data={"user_id": ada.id, "lesson_id": 1, "by": ada.id})
    make_event("something_new", "user:1", data={"by": owner.id})
    assert seen(client, owner) == []


@pytest.mark.parametrize(
    "kind",
    [
        *("staff_found", "staff_exported", "staff_exported_consents", "staff_lifted_suppression"),
        *("operator_exported", "staff_replaced_address"),
    ],
)
def test_whom_somebody_looked_up_is_not_told(client: Client, owner: User, kind: str) -> None:
    learner = make_user("learner@example.org")
    make_event(kind, f"user:{learner.id}", data={"by": owner.id, "role": "owner", "reason": "lost to learner@example.org"})
    db.session.commit()
    assert len(seen(client, owner)) == 1
    assert "learner@example.org" not in client.visit("auditing.acts").text


def test_one_kind_and_one_person_can_be_chosen(client: Client, ada: User, owner: User) -> None:
    make_event("segment_saved", "segment:1", data={"by": ada.id})
    make_event("segment_saved", "segment:1", data={"by": owner.id})
    make_event("broadcast_paused", "broadcast:1", data={"by_user_id": ada.id})
    make_event("course_published", "course:1", data={"by_user_id": ada.id})
    assert len(seen(client, owner)) == 4
    assert [what for _who, what, _about in seen(client, owner, by=ada.public_id)] == [
        "Published a course",
        "Paused a broadcast",
        "Saved a segment",
    ]
    assert len(seen(client, owner, by=ada.public_id, matter="mail")) == 2
    assert len(seen(client, owner, matter="site")) == 0
    assert "Nothing of that kind" in client.visit("auditing.acts", matter="site").text
    assert client.visit("auditing.acts", matter="everything").status_code == 404
    assert client.visit("auditing.acts", by="nobody").status_code == 404


def test_it_is_paged_by_key(client: Client, ada: User) -> None:
    for _number in range(120):
        make_event("segment_saved", "segment:1", data={"by": ada.id})
    db.session.commit()
    client.sign_in(ada)
    counts, url = [], client.path("auditing.acts", matter="mail")
    while url:
        page = client.get(url).text
        counts.append(page.count("Saved a segment"))
        older = re.search(r'href="([^"]*)"\s+rel="next"', page)
        url = older[1].replace("&amp;", "&") if older else ""
    assert counts == [50, 50, 20]


def test_who_has_left_is_nobody_by_name(client: Client, ada: User, owner: User) -> None:
    make_event("segment_saved", "segment:1", data={"by": ada.id})
    make_event("role_granted", f"user:{ada.id}", data={"by": owner.id, "role": "marketer"})
    erase(ada, ada.contact, NOW)
    assert seen(client, owner) == [
        ("owner@example.org", "Gave the role Marketer", ""),
        ("somebody who has left", "Saved a segment", ""),
    ]


def test_roles_and_settings_are_called_as_on_their_pages(client: Client, ada: User, owner: User) -> None:
    make_event("staff_invited", "invitation:1", data={"by": owner.id, "roles": ["instructor", "owner"]})
    make_event("role_taken", f"user:{ada.id}", data={"by": owner.id, "role": "marketer"})
    make_event("site_settings_changed", "site", data={"by": owner.id, "fields": sorted(FIELDS)})
    changed, taken, invited = (what for _who, what, _about in seen(client, owner))
    assert invited == "Invited somebody as Instructor, Owner"
    assert taken == "Took the role Marketer away"
    assert not [name for name in FIELDS if name in changed.split(": ")[1].split(", ")]
    assert "Neutral name, Help address, Terms" in changed


def test_an_erasure_covers_up_nothing_that_staff_did(client: Client, owner: User) -> None:
    learner = make_user("learner@example.org")
    client.sign_in(owner)
    client.submit("support.people", {"address": "learner@example.org"})
    client.submit("support.person", to="support.export_person", id=learner.contact.public_id)
    client.submit("support.erasure", {"address": "learner@example.org"}, id=learner.contact.public_id)
    assert seen(client, owner) == [
        ("owner@example.org", "Erased somebody who asked for it", ""),
        ("owner@example.org", "Downloaded what staff may see of somebody’s data", ""),
        ("owner@example.org", "Looked up an account by its address", ""),
    ]


def rows_of(content: str) -> list[list[str]]:
    """The rows of a file."""
    return list(csv.reader(io.StringIO(content.removeprefix("\ufeff"))))


def test_the_file_says_the_same_runs_nothing_and_is_written_down(client: Client, ada: User, owner: User) -> None:
    for title in ("=cmd|' /C calc'!A0", "+1", "@SUM(A1)", "plain, with a comma"):
        make_event("segment_saved", f"segment:{make_segment(name=title).id}", data={"by": ada.id})
    make_event("course_published", "course:1", data={"by_user_id": ada.id})
    db.session.commit()
    client.sign_in(owner)
    answer = client.submit("auditing.acts", {}, to="auditing.export")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == 'attachment; filename="who-did-what.csv"'
    rows = rows_of(answer.text)
    assert rows[0] == ["When (UTC)", "Who", "What", "About"]
    assert rows[1][1:3] == ["ada@example.org", "Published a course"]
    assert [row[3] for row in rows[2:]] == ["plain, with a comma", "'@SUM(A1)", "'+1", "'=cmd|' /C calc'!A0"]
    assert seen(client, owner)[0][:2] == ("owner@example.org", "Downloaded this list")


def test_the_file_holds_what_was_chosen(client: Client, ada: User) -> None:
    make_event("segment_saved", "segment:1", data={"by": ada.id})
    make_event("course_published", "course:1", data={"by_user_id": ada.id})
    db.session.commit()
    client.sign_in(ada)
    token = client.csrf_token("auditing.acts")
    answer = client.post(client.path("auditing.export"), data={"csrf_token": token, "matter": "", "by": ada.public_id})
    assert [row[2] for row in rows_of(answer.text)[1:]] == ["Saved a segment"]


@pytest.mark.parametrize(("roles", "status"), [(["instructor"], 404), ([], 404)])
def test_nobody_else_opens_it(client: Client, roles: Sequence[str], status: int) -> None:
    client.sign_in(make_user(roles=roles))
    assert client.visit("auditing.acts").status_code == status


def test_the_page_asks_little_and_changes_nothing(client: Client, ada: User) -> None:
    for number in range(30):
        make_event("segment_saved", f"segment:{number}", data={"by": ada.id})
        make_event("broadcast_paused", f"broadcast:{number}", data={"by_user_id": ada.id})
    db.session.commit()
    client.sign_in(ada)
    client.visit("auditing.acts")
    with statements() as sent:
        client.visit("auditing.acts")
    assert len(sent) <= 7, sent
    assert all(statement.startswith("SELECT") for statement in sent)


def test_acts_are_found_among_a_multitude_by_an_index(app: Flask) -> None:
    rows = [{"type": "lesson_completed", "subject": f"user:{number}", "data": {}, "at": NOW} for number in range(3000)]
    db.session.execute(sa.insert(Event), [*rows, *({**rows[0], "type": "segment_saved"} for _number in range(60))])
    query = acts_of(list(Matter)).order_by(Event.id.desc()).limit(51)
    text = str(query.compile(dialect=db.engine.dialect, compile_kwargs={"literal_binds": True}))
    prefix = "EXPLAIN QUERY PLAN " if db.engine.dialect.name == "sqlite" else "EXPLAIN "
    db.session.execute(sa.text("ANALYZE"))
    plan = repr(db.session.execute(sa.text(prefix + text)).all())
    assert "ix_events_others" in plan, plan


def test_new_acts_are_written_down(app: Flask, ada: User) -> None:
    made = broadcasts.new_broadcast(draft(), ada.id, NOW)
    found = entries_before([Matter.MAIL], ada.id, None, 10)
    assert [(entry.what, entry.about) for entry in found] == [("Wrote a broadcast", made.title)]


def test_guests_and_deeds_of_the_journal_do_not_stop_it(client: Client, owner: User) -> None:
    make_event("staff_ended_sessions", f"user:{make_guest().id}", data={"by": owner.id, "role": "owner"})
    make_event("stream_resumed", "stream:course", data={"by": None, "dropped": 3})
    make_event("broadcast_given_back", "broadcast:999", data={"by_user_id": None, "why": "gone"})
    assert [who for who, _what, _about in seen(client, owner)] == [
        "the site by itself",
        "the site or its command line",
        "owner@example.org",
    ]


def acts(matter: Matter) -> list[tuple[str, str]]:
    """(type's words, about what), the newest first."""
    return [(entry.what, entry.about) for entry in entries_before([matter], None, None, 20)]


def test_what_instructors_send_and_throw_away_is_written_down(app: Flask) -> None:
    ida, course = make_user("ida@example.org", roles=[Role.INSTRUCTOR]), make_course(title="Walking")
    upload = uploads.receive(ida, [("course.zip", io.BytesIO(b"no archive"))], NOW)
    uploads.cancel(upload, NOW, ida.id)
    uploads.cancel(upload, NOW, ida.id)
    make_source(course.id, "flyer", NOW, ida.id)
    make_source(course.id, "flyer", NOW, ida.id)
    assert acts(Matter.COURSES) == [
        ("Made a link whose starts are counted", "Walking: flyer"),
        ("Threw an upload away", "course.zip"),
        ("Sent files of a course", "course.zip"),
    ]
    assert {entry.who for entry in entries_before([Matter.COURSES], ida.id, None, 9)} == {"ida@example.org"}


def test_a_question_is_answered_once(app: Flask, owner: User) -> None:
    asked = questions.ask(QuestionKind.MAIL, "Where is it?", NOW, user=None, typed_address="somebody@example.org")
    for _time in range(2):
        questions.mark_answered(asked.public_id, NOW, owner.id)
    assert acts(Matter.PEOPLE) == [("Marked a question as answered", "Mails, Nov 2, 2026")]


UNTOLD = {"operator_made_link", *(kind for kind in WORDS if kind.startswith("staff_") and kind != "staff_invited")}
"""Whom of the learners an act was about is told to nobody."""
WITHOUT_A_THING = {
    *("operator_exported", "operator_erased", "owner_link_made", "site_settings_changed", "audit_exported", "payments_exported"),
    *("stripe_event_replayed", "billing_reconciled", "billing_brought_in_line", "billing_synced", "billing_needs_attention"),
}
OF_LISTS = {kind for kind in WORDS if kind.startswith("contacts_")}


def test_each_line_says_about_what_it_is(app: Flask, ada: User, owner: User) -> None:
    course = make_course(title="Walking")
    source = Source(course_id=course.id, word="flyer", created_at=NOW)
    broadcast, letter = make_broadcast(title="News"), make_letter(subject="Hello")
    asked = questions.ask(QuestionKind.MAIL, "Where is it?", NOW, user=None, typed_address="somebody@example.org")
    upload = uploads.receive(ada, [("course.zip", io.BytesIO(b"no archive"))], NOW)
    invitations.invite("new@example.org", [Role.MARKETER], owner, NOW)
    db.session.add(source)
    db.session.flush()
    plan = make_plan(make_tier(name="Practice"), key="practice-monthly")
    things = {
        "tier": (plan.tier_id, "Practice"),
        "plan": (plan.id, "practice-monthly"),
        "price": (plan.id, "practice-monthly"),
        "access": (ada.id, "Practice"),
        "broadcast": (broadcast.id, "News"),
        "sequence": (make_sequence(title="Welcome").sequence_id, "Welcome"),
        "segment": (make_segment(name="Idle").id, "Idle"),
        "letter": (letter.id, "Hello"),
        "stream": (f"broadcast-{broadcast.id}", "News"),
        "uncertain": (make_message(letter=letter).id, "Hello"),
        "course": (course.id, "Walking"),
        "import": (course.id, "Walking"),
        "publication": (upload.id, "course.zip"),
        "lesson": (course.id, f"Walking: {lessons_of(course)[0].title}"),
        "source": (course.id, "Walking: flyer"),
        "upload": (upload.id, "course.zip"),
        "question": (asked.id, "Mails, Nov 2, 2026"),
        "role": (ada.id, "ada@example.org"),
        "staff": (db.session.scalars(sa.select(Invitation.id)).one(), "new@example.org"),
    }
    kinds = {"uncertain": "message", "import": "course", "publication": "upload", "lesson": "course", "source": "course", "role": "user"}
    kinds |= {"price": "plan", "access": "user"}
    things["invitation"], kinds["staff"] = things["staff"], "invitation"
    parts = {"lesson_edited": {"lesson_id": lessons_of(course)[0].id}, "source_made": {"source_id": source.id}}
    parts |= {kind: {"tier_id": plan.tier_id} for kind in ("access_given", "access_end_changed", "access_withdrawn")}
    for kind in WORDS.keys() - UNTOLD - WITHOUT_A_THING - OF_LISTS:
        first = kind.partition("_")[0]
        number, name = things[first]
        make_event(kind, f"{kinds.get(first, first)}:{number}", data={"by": owner.id, **parts.get(kind, {})})
        assert entries_before(list(Matter), None, None, 1)[0].about == name, kind


@pytest.mark.one_database
def test_what_is_done_on_the_server_is_written_down(app: Flask) -> None:
    runner = app.test_cli_runner()
    for _time in range(2):
        assert runner.invoke(args=["user", "create", "new@example.org", "--role", "instructor", "--role", "learner"]).exit_code == 0
    assert acts(Matter.PEOPLE) == [("Gave the role Instructor", "new@example.org")]
    make_user("gone@example.org")
    db.session.commit()
    assert runner.invoke(args=["privacy", "erase", "gone@example.org", "--yes"]).exit_code == 0
    entry = entries_before([Matter.PEOPLE], None, None, 1)[0]
    assert (entry.who, entry.what, entry.about) == ("somebody on the server", "Erased somebody on the server", "")
