"""A sequence in a browser, with and without JavaScript: written, mended, tried out, published, sent, changed, people moved, stopped."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import expect

from courseapp.accounts.models import User
from courseapp.campaigns.models import Sequence, SequenceRun
from courseapp.campaigns.sequence_drafts import archive
from courseapp.catalog.models import Course
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.mailing.models import Letter, Message, State
from tests.campaigns.people import learner_of
from tests.factories import NOW, make_user
from tests.journeys.test_every_page import enter, faults_of

if TYPE_CHECKING:  # importing Playwright takes 0.3 s, and most runs open no browser
    from playwright.sync_api import Page

__all__ = ["enter"]
pytestmark = pytest.mark.one_database
LEARNERS = 6


@pytest.fixture(params=[True, False], ids=["script", "no-script"])
def context_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """With and without JavaScript."""
    return {"viewport": {"width": 1280, "height": 900}, "java_script_enabled": request.param}


@pytest.fixture
def looked_at(context_settings: dict[str, Any], page: "Page") -> Callable[[str], None]:
    """looked_at(name): nothing is wrong with the page as it stands."""

    def look(name: str) -> None:
        if context_settings["java_script_enabled"]:
            assert faults_of(page, name) == []

    return look


@pytest.fixture
def marketer(page: "Page", enter: Callable[..., User]) -> User:
    """The browser is a marketer's."""
    user = enter(make_user("marketer@example.org", roles=("marketer",)))
    archive(db.session.scalars(sa.select(Sequence)).one(), None, NOW)  # two letters on one day are one too many
    db.session.commit()
    return user


def write_letter(page: "Page", days: int, subject: str, body: str) -> None:
    """Fill in the page of one letter."""
    page.get_by_label("Days after the beginning").fill(str(days))
    page.get_by_label("Subject").fill(subject)
    page.get_by_label("Preheader").fill("A line")
    page.get_by_label("Letter", exact=True).fill(body)


def mailed() -> list[str]:
    """The subjects that learners were sent, each once."""
    query = sa.select(Letter.subject).join(Message, Message.letter_id == Letter.id).join(Contact, Contact.id == Message.contact_id)
    sent = query.where(Message.state == State.ACCEPTED, Contact.address != "marketer@example.org")
    return sorted(set(db.session.scalars(sent)))


def test_from_the_first_word_to_putting_it_away(
    marketer: User,
    page: "Page",
    enter: Callable[..., User],
    work: Callable[[], None],
    pass_time: Callable[..., object],
    looked_at: Callable[[str], None],
) -> None:
    page.goto("/staff/mail/sequences")
    looked_at("sequences")
    page.get_by_role("link", name="Write one").click()
    page.get_by_label("Name among staff").fill("Two letters")
    page.get_by_label("Monday").uncheck()
    page.get_by_label("Not before").fill("00:00")
    page.get_by_label("Not after").fill("00:00")
    page.get_by_label("Hours between two letters, at least").fill("0")
    looked_at("a new sequence")
    page.get_by_role("button", name="Keep the draft").click()
    expect(page.locator(".error-summary")).to_contain_text("from 1 to 720")
    looked_at("a new sequence with an error")
    assert not page.get_by_label("Monday").is_checked()
    page.get_by_label("Monday").check()
    page.get_by_label("Hours between two letters, at least").fill("1")
    page.get_by_role("button", name="Keep the draft").click()
    expect(page.locator("main")).to_contain_text("There is no step yet.")
    looked_at("a draft without a letter")
    page.get_by_role("link", name="Write the first letter").click()
    write_letter(page, 0, "", 'Hello {{ first_name | default("there") }}, it is ready.\n\n::: offer\nMore.\n:::')
    looked_at("a letter")
    page.get_by_role("button", name="Keep it", exact=True).click()
    expect(page.locator("main")).to_contain_text("The subject is empty.")
    expect(page.locator("main")).to_contain_text("This offers something that costs money")
    looked_at("a draft with problems")
    page.get_by_role("link", name="Step 1").first.click()
    write_letter(page, 0, "The first", 'Hello {{ first_name | default("there") }}, it is ready.')
    page.get_by_role("button", name="Keep it and look at it").click()
    expect(page.frame_locator("iframe").first.locator("body")).to_contain_text("Hello Ada, it is ready.")
    looked_at("the look")
    page.get_by_role("button", name="Send it to this address").click()
    expect(page.get_by_role("status")).to_contain_text("on its way to marketer@example.org")
    page.get_by_role("link", name="Back to the sequence").click()
    page.get_by_role("link", name="Add a letter").click()
    write_letter(page, 2, "The second", "There is no hurry.")
    page.get_by_role("button", name="Keep it", exact=True).click()
    page.get_by_role("button", name="Move up “The second”").click()
    expect(page.locator(".sequence-letter h2")).to_have_text(["The second", "The first"])
    page.get_by_role("button", name="Move down “The second”").click()
    expect(page.locator(".sequence-letter h2")).to_have_text(["The first", "The second"])
    looked_at("a draft")
    page.get_by_role("button", name="Publish it").click()
    expect(page.get_by_role("status")).to_contain_text("Version 1 is published.")
    looked_at("a sequence")

    course = db.session.query(Course).one()
    for _number in range(LEARNERS):
        learner_of(course)
    work()
    assert "The first" in mailed()
    page.reload()
    expect(page.locator("main")).to_contain_text(f"On their way now: {LEARNERS} people.")
    expect(page.locator("#letter-2 .sequence-counts")).to_contain_text("6")
    page.get_by_role("link", name="Write a new version").click()
    page.get_by_role("button", name="Take out “The second”").click()
    expect(page.locator("h1")).to_have_text("Take step 2 out?")
    looked_at("taking out")
    page.get_by_role("button", name="Yes, take it out").click()
    page.get_by_role("link", name="Add a letter").click()
    write_letter(page, 3, "The other second", "There is no hurry at all.")
    page.get_by_role("button", name="Keep it", exact=True).click()
    expect(page.locator("main")).to_contain_text(f"New people get version 2 from now; {LEARNERS} people go on with version 1.")
    page.get_by_role("button", name="Publish version 2").click()
    page.get_by_role("link", name=f"Move the {LEARNERS} people on older versions to the newest").click()
    looked_at("moving")
    page.get_by_role("button", name="Yes, move them").click()
    expect(page.get_by_role("status")).to_contain_text(f"Moved to the newest version: {LEARNERS} people.")
    here = page.url
    pass_time(days=2, hours=12)
    work()
    assert "The other second" not in mailed()
    enter(marketer)
    page.goto(here)
    page.get_by_role("button", name="Pause it").click()
    expect(page.locator(".page-head .tag")).to_have_text("paused")
    pass_time(days=1)
    work()
    assert "The other second" not in mailed()
    enter(marketer)
    page.goto(here)
    page.get_by_role("button", name="Let it go on").click()
    expect(page.locator(".page-head .tag")).to_have_text("published")
    work()
    assert "The other second" in mailed()
    assert "The second" not in mailed()
    page.reload()
    expect(page.locator(".sequence-end .sequence-counts")).to_contain_text("had every letter")
    looked_at("a sequence at its end")
    page.get_by_role("button", name="Put it away").click()
    looked_at("putting away")
    page.get_by_role("button", name="Yes, put it away").click()
    expect(page.locator(".page-head .tag")).to_have_text("put away")
    looked_at("a sequence that was put away")
    assert (
        db.session.scalars(sa.select(SequenceRun.id).where(SequenceRun.ended_at.is_(None), SequenceRun.version.has(number=2))).all() == []
    )
