"""An instructor's first hour, in browsers alone: invited by mail, a report, the difference, a preview, learners, and back again.

The installation is a real one with its own worker, started once for this file as `make run` starts it.
"""

import io
import re
import signal
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.authoring.folders import STOP, SVG, lesson
from tests.browser import watched
from tests.houses import House
from tests.journeys.conftest import CONTENT
from tests.journeys.test_every_page import faults_of

if TYPE_CHECKING:  # importing Playwright takes 0.3 s, and most runs open no browser
    from playwright.sync_api import Browser, Page

DOCUMENTS = Path(__file__).parents[1] / "authoring" / "documents"
ROUTINE = (CONTENT / "introduction" / "05-your-next-steps" / "01-a-routine-of-your-own.md").read_text()
PLACE = "Your next steps"
PATIENCE = 60_000  # milliseconds for the worker, on a machine that has much else to do
Visitor = Callable[[], "Page"]


@pytest.fixture(autouse=True)
def course() -> None:
    """The house has a course of its own; that of the neighbours is not asked for."""


@pytest.fixture(scope="module")
def house(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, dict[str, Any]]]:
    """The installation, and what signs its owner in."""
    folder = tmp_path_factory.mktemp("house") / "data"
    folder.mkdir()
    made = House(folder)
    link = made.link_of("owner", made.start())
    with watched(browser, made.url) as page:
        page.goto(link)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/staff/courses")
        kept = page.context.storage_state()
    yield made, kept
    made.end(signal.SIGTERM)


@pytest.fixture
def owner(browser: "Browser", house: tuple[House, dict[str, Any]]) -> Iterator["Page"]:
    """The owner's browser."""
    with watched(browser, house[0].url, storage_state=house[1]) as page:
        yield page


@pytest.fixture
def visitor(browser: "Browser", house: tuple[House, dict[str, Any]], script: bool) -> Iterator[Visitor]:
    """visitor(): a browser nobody has used, with or without JavaScript; nothing it asks for may be answered by an error of ours."""
    broken: list[str] = []

    def answered(answer: Any) -> None:
        if answer.status >= 500:
            broken.append(f"{answer.status} {answer.url}")

    with ExitStack() as opened:

        def open_one() -> "Page":
            page: Page = opened.enter_context(watched(browser, house[0].url, java_script_enabled=script))
            page.on("response", answered)
            return page

        yield open_one
    assert broken == []


@pytest.fixture(params=[True, False], ids=["script", "no-script"])
def script(request: pytest.FixtureRequest) -> bool:
    """Whether browsers run scripts."""
    return bool(request.param)


def invited(owner: "Page", page: "Page", address: str) -> None:
    """The owner invites an instructor, who accepts by the mail's link."""
    owner.goto("/staff/settings")
    owner.get_by_role("link", name="People with roles").click()
    owner.get_by_label("Their e-mail address").fill(address)
    owner.get_by_label("Instructor: courses and their lessons").check()
    owner.get_by_role("button", name="Send the invitation").click()
    expect(owner.get_by_role("status")).to_contain_text("The invitation is on its way")
    page.goto(invitation_of(page, address))
    expect(page.locator("main")).to_contain_text("Instructor: courses and their lessons")
    page.get_by_role("button", name="Accept and sign in").click()
    page.wait_for_url("**/staff/courses")


def invitation_of(page: "Page", address: str) -> str:
    """The link in the mail to this address, once the worker has sent it."""
    row = page.locator("tbody tr", has_text=address)
    for _look in range(PATIENCE // 200):
        page.goto("/outbox")
        if row.count():
            row.first.get_by_role("link").click()
            return re.search(r"https?://\S+/invitation/[\w-]+", page.locator("pre").inner_text())[0]
        page.wait_for_timeout(200)
    raise AssertionError(f"no mail to {address}")


def learner(page: "Page") -> "Page":
    """Somebody starts the course, without an address."""
    page.goto("/start")
    page.locator("form[action='/start'] button").click()
    page.wait_for_url("**/learn/introduction")
    return page


def packed(files: dict[str, str]) -> bytes:
    """Files as a ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def send(page: "Page", name: str, content: bytes) -> None:
    """Choose a file in the form that is open, and send it."""
    page.get_by_label("Files").set_input_files({"name": name, "mimeType": "application/octet-stream", "buffer": content})
    page.get_by_role("button", name="Upload and check").click()
    page.wait_for_url(re.compile(r"/staff/uploads/[\w-]+$"))


def wait_for(page: "Page", heading: str, script: bool) -> None:
    """Until the page says how the worker's part ended: by itself, or when one looks again."""
    ending = page.get_by_role("heading", name=heading)
    for _look in range(0 if script else PATIENCE // 300):
        if ending.count():
            break
        page.wait_for_timeout(300)
        page.get_by_role("link", name="Look again").click()
    ending.wait_for(timeout=PATIENCE)


def course_of(page: "Page") -> str:
    """What a learner's list of lessons says, folded away or not."""
    page.goto("/learn/introduction")
    return page.locator("main").text_content() or ""


def open_lesson(page: "Page", title: str) -> str:
    """A learner opens a lesson from their list, whose modules may be folded away; its address."""
    page.goto("/learn/introduction")
    address = page.locator(".rows a", has_text=title).first.get_attribute("href")
    page.goto(address)
    return address


def pass_check(page: "Page") -> None:
    """Answer the safety check with no throughout."""
    page.goto("/safety-check")
    page.locator("main form[action='/safety-check'] button").click()
    while not page.url.endswith("/outcome"):
        page.locator("input[type=radio][value=no]").check()
        page.get_by_role("button", name="Continue").click()


def bring_in(page: "Page", script: bool) -> None:
    """Publish what was looked through, and wait until it is in."""
    page.get_by_role("button", name="Publish now").click()
    wait_for(page, "It is in", script)
    expect(page.locator("main")).to_contain_text("Learners see it now. It can be undone as a whole.")


def undo(page: "Page") -> None:
    """Undo the upload whose page is open, as a whole."""
    page.get_by_role("link", name="Undo it").click()
    page.get_by_role("button", name="Undo it").click()
    expect(page.get_by_role("status")).to_contain_text("Undone: the course stands as it did before.")


def mistaken() -> bytes:
    """Three lessons with a mistake each: a picture that is not there, a colon too many, a need nobody knows."""
    return packed(
        {
            "01-routine.md": ROUTINE.replace("## Three examples", "![A week of evenings](week.svg)\n\n## Three examples"),
            "02-evening.md": lesson("evening", "Dim the lamp.\n", title="QUIET").replace("QUIET", "Evening: what helps"),
            "03-hands.md": lesson("hands", STOP + "Lay a hand on your belly.\n", title="Warm hands", needs_check="hands"),
        }
    )


def mended() -> bytes:
    """The same lessons without the mistakes, and a sentence put better in the one the course has already."""
    better = ROUTINE.replace("or leave it as it is.", "or let it be.")
    return packed(
        {
            "01-routine.md": better.replace("## Three examples", "![A week of evenings](week.svg)\n\n## Three examples"),
            "02-evening.md": lesson("evening", "Dim the lamp.\n", title="Evening: what helps"),
            "03-hands.md": lesson("hands", STOP + "Lay a hand on your belly.\n", title="Warm hands", needs_check="touch"),
            "week.svg": SVG,
        }
    )


def test_from_the_invitation_to_a_lesson_and_back(owner: "Page", visitor: Visitor, script: bool) -> None:
    page, reader = visitor(), learner(visitor())
    invited(owner, page, f"ida-{script}@example.org".lower())
    faults = faults_of(page, "the first page") if script else []

    page.get_by_role("link", name="Upload lessons or a course").click()
    page.get_by_text("How your files should look").click()
    expect(page.locator("main")).to_contain_text("needs_check: none")
    page.get_by_label("Where it goes").select_option(label=PLACE)
    send(page, "evenings.zip", mistaken())
    wait_for(page, "3 things to mend first", script)
    assert page.title().startswith("Needs mending: evenings.zip")
    report = {section.locator("h3").inner_text(): section.inner_text() for section in page.locator("main section").all()}
    assert list(report) == ["01-routine.md", "02-evening.md", "03-hands.md"]
    for file, words in (
        ("01-routine.md", ("Line 26", "“week.svg” is not there", "Add it beside the lesson")),
        ("02-evening.md", ("Line 3", "there is a colon where none may be", "between double quotes")),
        ("03-hands.md", ("Line 6", "should be one of none, gentle, touch", "Write for example")),
    ):
        assert [piece for piece in words if piece not in report[file]] == []
    assert "Warm hands" not in course_of(reader)
    faults += faults_of(page, "the report") if script else []

    page.get_by_role("link", name="Upload again").click()
    expect(page.get_by_label("Where it goes").locator("option:checked")).to_have_text(PLACE)
    send(page, "evenings.zip", mended())
    wait_for(page, "What changes", script)
    changes = page.locator(".what-changes").inner_text()
    assert [piece for piece in ("New lessons (2)", "Evening: what helps", "Changed lessons (1)") if piece not in changes] == []
    expect(page.locator(".versions del").first).to_contain_text("leave")
    expect(page.locator(".versions ins").first).to_contain_text("let")
    faults += faults_of(page, "the difference") if script else []

    page.get_by_role("link", name=re.compile("Preview ?: Warm hands")).click()
    expect(page.locator("main")).to_contain_text("A few questions about your health come before this lesson")
    page.get_by_role("link", name="may go ahead").click()
    expect(page.locator("main")).to_contain_text("Lay a hand on your belly.")
    page.get_by_role("link", name="Leave the preview").click()
    assert "Warm hands" not in course_of(reader)

    bring_in(page, script)
    faults += faults_of(page, "brought in") if script else []
    open_lesson(reader, "A routine of your own")
    expect(reader.locator("main")).to_contain_text("or let it be.")
    expect(reader.get_by_role("img", name="A week of evenings")).to_be_visible()
    address = open_lesson(reader, "Warm hands")
    expect(reader.locator("main")).not_to_contain_text("Lay a hand on your belly.")
    pass_check(reader)
    reader.goto(address)
    expect(reader.locator("main")).to_contain_text("Lay a hand on your belly.")

    upload = page.url
    undo(page)
    page.goto(upload)
    expect(page.locator("main")).to_contain_text("It was in, and is undone")
    assert reader.goto(address).status == 404
    assert "Warm hands" not in course_of(reader)
    open_lesson(reader, "A routine of your own")
    expect(reader.locator("main")).to_contain_text("or leave it as it is.")
    assert faults == []


OFFICE = [
    ("evening", "docx", "An evening of rest", "Under “What you need”: picture 1 has no words", "A lamp beside a bed", "Before supper"),
    ("desk", "pptx", "Rest at a desk", "On slide 1: a picture has no words", "A chair at a desk", "At noon"),
]


@pytest.mark.parametrize("script", [True], indirect=True)
@pytest.mark.parametrize(("name", "kind", "title", "said", "alt", "cell"), OFFICE, ids=["docx", "pptx"])
def test_the_same_with_a_document_of_libreoffice(
    owner: "Page", visitor: Visitor, script: bool, name: str, kind: str, title: str, said: str, alt: str, cell: str
) -> None:
    page, reader = visitor(), learner(visitor())
    invited(owner, page, f"{name}@example.org")
    page.get_by_role("link", name="Upload lessons or a course").click()
    page.get_by_label("Where it goes").select_option(label=PLACE)
    page.get_by_label("Nothing: they are there to be read").check()
    send(page, f"{name}.{kind}", (DOCUMENTS / f"{name}-forgotten.{kind}").read_bytes())
    wait_for(page, "1 thing to mend first", script)
    expect(page.locator("main")).to_contain_text(said)
    expect(page.locator("main")).to_contain_text("“View Alt Text”")

    page.get_by_role("link", name="Upload again").click()
    expect(page.get_by_label("Nothing: they are there to be read")).to_be_checked()
    send(page, f"{name}.{kind}", (DOCUMENTS / f"{name}.{kind}").read_bytes())
    wait_for(page, "What changes", script)
    page.get_by_role("link", name=re.compile(f"Preview ?: {title}")).click()
    for outcome in ("has taken no check yet", "may go gently"):
        page.get_by_role("link", name=outcome).click()
        expect(page.get_by_role("img", name=alt)).to_be_visible()
    page.get_by_role("link", name="Leave the preview").click()
    bring_in(page, script)

    address = open_lesson(reader, title)
    expect(reader.get_by_role("heading", name=title, level=1)).to_be_visible()
    assert reader.locator(".prose h2").count() >= 1
    assert reader.locator(".prose li").count() >= 4
    expect(reader.get_by_role("cell", name=cell)).to_be_visible()
    picture = reader.get_by_role("img", name=alt)
    picture.scroll_into_view_if_needed()  # else it may not be fetched
    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("picture => picture.naturalWidth") > 0
    undo(page)
    assert reader.goto(address).status == 404
    assert title not in course_of(reader)
