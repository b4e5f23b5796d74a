"""The settings page: who may, what changes where, and that it shows on kept pages and in mails."""

import email
import io
import quopri
import re
import struct
import zlib
from email.header import decode_header, make_header

import html5lib
import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import site as site_words
from courseapp import storage
from courseapp.accounts.models import User
from courseapp.contacts.people import contact_of_address
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing import outbox
from courseapp.mailing.message import outgoing
from courseapp.mailing.models import Message
from courseapp.organisation.contrast import LEAST, LIGHT, contrast
from courseapp.organisation.logo import LARGEST
from courseapp.site import SiteSetting, change_site, forget_site, present_site
from tests.accounts.mailbox import last_mail_to
from tests.client import Client, forms_of
from tests.factories import NOW, lessons_of, make_course, make_enrolment, make_user
from tests.query_counts import statements

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 40"><path d="M0 0h80v40z"/></svg>'


@pytest.fixture
def owner(client: Client) -> User:
    """The owner, signed in."""
    return client.sign_in(make_user("boss@example.org", roles=["owner"]))


def save(client: Client, section: str, **values: str) -> str:
    """Save one section; the page that follows."""
    data = {f"{section}-{name}": value for name, value in values.items()}
    return client.submit("organisation.settings", data, to="organisation.change_settings", section=section, follow=True).text


def stored() -> dict[str, str]:
    """What the database holds."""
    return {row.name: row.value for row in db.session.scalars(sa.select(SiteSetting))}


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int = 60, height: int = 30, *more: bytes) -> bytes:
    """A small grey PNG; `more` are further chunks."""
    lines = zlib.compress(b"".join(b"\0" + b"\x80" * width for _ in range(height)))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def upload(client: Client, content: bytes, name: str = "logo.svg") -> str:
    """Upload a logo; the page that follows."""
    data = {"logo-picture": (io.BytesIO(content), name)}
    return client.submit("organisation.settings", data, to="organisation.change_logo", follow=True).text


# Names and words


def test_names_and_addresses_show_where_they_belong(client: Client, owner: User) -> None:
    make_course()
    page = save(
        client,
        "names",
        public_name="Pelvic Health School",
        site_name="Course House",
        sender_name="The house",
        postal_address="1 Road, Town",
        support_address="help@example.org",
    )
    assert "Saved." in page
    stranger = client.application.test_client()
    landing, sign_in = stranger.visit("catalog.landing").text, stranger.visit("accounts.sign_in").text
    assert "Pelvic Health School</a>" in landing
    assert "Course House</a>" in sign_in
    assert "Pelvic Health School" not in sign_in
    assert "<title>Sign in · Course House</title>" in sign_in
    for page in (landing, sign_in):
        assert "1 Road, Town" in page
    assert "mailto:help@example.org" in stranger.visit("asking.ask").text


def test_the_journal_has_the_names_of_fields_and_who_and_no_value(client: Client, owner: User) -> None:
    save(client, "names", postal_address="7 Secret Lane", site_name="Course House")
    event = db.session.scalars(sa.select(Event).where(Event.type == "site_settings_changed")).one()
    assert (event.subject, event.data) == ("site", {"fields": ["postal_address", "site_name"], "by": owner.id})


def test_the_page_says_who_changed_what_last(client: Client, owner: User) -> None:
    save(client, "help", crisis_words="Call 116 123.")
    page = save(client, "names", site_name="Course House", support_address="help@example.org")
    last = page.partition("Last changes")[2]
    assert "Neutral name, Help address" in last
    assert "(boss@example.org)" in last
    assert last.index("Neutral name") < last.index("In a crisis")
    assert "Call 116 123." not in last


def test_saving_what_is_there_changes_nothing(client: Client, owner: User) -> None:
    assert "Nothing was different." in save(client, "names")
    assert stored() == {}
    assert db.session.query(Event).filter_by(type="site_settings_changed").count() == 0


@pytest.mark.settings(site_name="From the environment", sender_name="Env sender")
def test_an_emptied_field_goes_back_to_the_environment(client: Client, owner: User) -> None:
    save(client, "names", site_name="Mine")
    assert present_site().name == "Mine"
    save(client, "names", site_name="")
    assert present_site().name == "From the environment"
    assert stored() == {}


def test_a_name_follows_the_neutral_one_until_it_is_set_itself(client: Client, owner: User) -> None:
    save(client, "names", site_name="Course House")
    assert (present_site().public_name, present_site().sender_name) == ("Course House", "Course House")
    assert stored() == {"site_name": "Course House"}


@pytest.mark.parametrize(
    ("section", "field", "value", "words"),
    [
        ("names", "sender_name", "Me\r\nBcc: thief@evil.test", "line breaks"),
        ("names", "site_name", "x" * 81, "80"),
        ("names", "site_name", "\ue0000\ue001", "control characters"),
        ("help", "crisis_words", "Call \uf8ff", "control characters"),
        ("names", "support_address", "nonsense", "e-mail address"),
        ("people", "minimum_age", "0", "1 to 99"),
        ("mail", "marketing_per_week", "0", "1 to 20"),
        ("mail", "marketing_per_week", "21", "1 to 20"),
        ("people", "minimum_age", "16 years", "1 to 99"),
        ("people", "default_zone", "Mars/Olympus", "valid choice"),
        ("colours", "accent_light", "#ffd54a", "darker"),
        ("colours", "accent_dark", "#202060", "lighter"),
        ("colours", "accent_light", "teal", "six digits"),
    ],
)
def test_what_cannot_be_is_refused_in_words(client: Client, owner: User, section: str, field: str, value: str, words: str) -> None:
    assert words in save(client, section, **{field: value})
    assert stored() == {}


def test_an_unknown_section_and_an_unknown_field_are_not_there(client: Client, owner: User) -> None:
    token = client.csrf_token("organisation.settings")
    assert client.post("/staff/settings/secrets", data={"csrf_token": token}).status_code == 404
    data = {"names-secret_key": "mine", "secret_key": "mine", "names-sender_address": "x@evil.test", "names-site_name": "Course House"}
    client.submit("organisation.settings", data, to="organisation.change_settings", section="names")
    assert stored() == {"site_name": "Course House"}
    with pytest.raises(KeyError):
        change_site({"secret_key": "mine"}, NOW)


def test_the_page_says_what_is_still_to_do_until_it_is_done(client: Client, owner: User) -> None:
    page = client.visit("organisation.settings").text
    for anchor in ("#names", "#help", "/staff/settings/pages/privacy", "/staff/settings/pages/imprint"):
        assert f'<li>\n<a href="{anchor}"' in page.replace("  ", "") or f'<li><a href="{anchor}"' in page, anchor
    save(client, "names", postal_address="1 Road, Town", support_address="help@example.org")
    save(client, "help", emergency_words="Call 112.", crisis_words="Call 116 123.")
    for name in ("privacy", "terms", "imprint"):
        save_page(client, name, "Words.")
    assert "Still to do" not in client.visit("organisation.settings").text


# Two at once


def test_nobody_undoes_what_they_have_not_seen(client: Client, owner: User) -> None:
    other = client.application.test_client()
    other.sign_in(make_user("second@example.org", roles=["owner"]))
    seen = sections_of(other)["help"]
    save(client, "help", emergency_words="Germany: call 112.")
    target = other.path("organisation.change_settings", section="help")
    page = other.post(target, data={**seen, "help-crisis_words": "Call 116 123."}).text
    assert "Somebody else changed this while you were writing" in page
    assert "Germany: call 112." in page
    assert "Call 116 123." in page
    assert stored() == {"emergency_words": "Germany: call 112."}
    again = {**sections_of(other)["help"], "help-crisis_words": "Call 116 123."}
    assert other.post(target, data=again).status_code == 303
    assert stored() == {"emergency_words": "Germany: call 112.", "crisis_words": "Call 116 123."}


def test_counting_clicks_is_off_until_it_is_ticked_and_off_again_when_it_is_not(client: Client, owner: User) -> None:
    assert present_site().counts_clicks is False
    page = save(client, "mail", counts_clicks="y")
    assert present_site().counts_clicks is True
    assert stored() == {"counts_clicks": "on"}
    assert "Count clicks on links in mails" in page.partition("Last changes")[2]
    assert re.search(r'<input(?=[^>]* checked)[^>]* name="mail-counts_clicks"', page)
    save(client, "mail", marketing_per_week="3")  # the form as it is, with its tick
    assert stored() == {"counts_clicks": "on", "marketing_per_week": "3"}
    unticked = {name: value for name, value in sections_of(client)["mail"].items() if name != "mail-counts_clicks"}
    client.post(client.path("organisation.change_settings", section="mail"), data=unticked)
    assert stored() == {"marketing_per_week": "3"}
    assert present_site().counts_clicks is False


def test_a_box_that_somebody_else_ticked_meanwhile_is_told_in_words(client: Client, owner: User) -> None:
    seen = sections_of(client)["mail"]
    save(client, "mail", counts_clicks="y")
    page = client.post(client.path("organisation.change_settings", section="mail"), data={**seen, "mail-marketing_per_week": "5"}).text
    told = page.partition("this stands there now:")[2].partition("</dl>")[0]
    assert [words.strip() for words in re.findall(r'call-lines">([^<]*)<', told)] == ["(empty)", "ticked"]
    assert stored() == {"counts_clicks": "on"}


def test_two_who_wrote_the_same_are_not_in_each_others_way(client: Client, owner: User) -> None:
    seen = sections_of(client)["help"]
    save(client, "help", crisis_words="Call 116 123.")
    target = client.path("organisation.change_settings", section="help")
    page = client.post(target, data={**seen, "help-crisis_words": "Call 116 123."}, follow_redirects=True).text
    assert "Nothing was different." in page
    assert "Somebody else" not in page


@pytest.mark.parametrize(("section", "field", "value"), [("colours", "accent_light", "teal"), ("people", "minimum_age", "0")])
def test_what_was_refused_is_said_at_the_head_of_the_long_page(client: Client, owner: User, section: str, field: str, value: str) -> None:
    page = save(client, section, **{field: value})
    assert page.index("Please look at these answers again") < page.index(f'href="#{section}-{field}"') < page.index('id="names"')


def test_another_section_may_be_saved_meanwhile(client: Client, owner: User) -> None:
    seen = sections_of(client)["names"]
    save(client, "help", emergency_words="Germany: call 112.")
    answer = client.post(client.path("organisation.change_settings", section="names"), data={**seen, "names-site_name": "Course House"})
    assert answer.status_code == 303


def test_a_legal_text_is_not_written_over_unseen(client: Client, owner: User) -> None:
    target = client.path("organisation.edit_page", name="terms")
    [seen] = [form.fields for form in forms_of(client.get(target).text, target) if "text" in form.fields]
    save_page(client, "terms", "The other owner's words.")
    page = client.post(target, data={**seen, "text": "My own words."}).text
    assert "Somebody else changed this while you were writing" in page
    assert "My own words." in page
    assert "The other owner&#39;s words." in page
    assert stored() == {"terms": "The other owner's words."}


def sections_of(client: Client) -> dict[str, dict[str, str]]:
    """What each section's form holds as it is shown now."""
    page = "/staff/settings"
    return {form.action.rpartition("/")[2]: form.fields for form in forms_of(client.get(page).text, page)}


# The rest of the sections


@pytest.mark.settings(emergency_words="Germany: call 112.\nUK: call 999.")
def test_the_line_ends_of_a_browser_change_nothing(client: Client, owner: User) -> None:
    save(client, "help", emergency_words="Germany: call 112.\r\nUK: call 999.", crisis_words="A.\r\nB.")
    assert stored() == {"crisis_words": "A.\nB."}


@pytest.mark.settings(default_zone="Japan")
def test_a_zone_of_the_environment_that_is_not_offered_stays(client: Client, owner: User) -> None:
    assert "Saved." in save(client, "people", minimum_age="16")
    assert stored() == {"minimum_age": "16"}


def test_the_longest_legal_text_arrives_in_any_script(client: Client, owner: User) -> None:
    save_page(client, "privacy", "Мы " * 20_000)
    assert len(stored()["privacy"]) == 59_999


def test_help_words_show_a_line_for_each_country(client: Client, owner: User) -> None:
    save(client, "help", emergency_words="Germany: call 112.\nUK: call 999.", crisis_words="Call 116 123.")
    page = client.application.test_client().visit("learning.help_now").text
    assert "Germany: call 112." in page
    assert "UK: call 999." in page
    assert "Call 116 123." in page


def test_the_minimum_age_stands_beside_the_start(client: Client, owner: User) -> None:
    make_course()
    stranger = client.application.test_client()
    sentence = "You must be at least 16 years old"
    assert sentence not in stranger.visit("learning.start").text + stranger.visit("catalog.landing").text
    save(client, "people", minimum_age="16")
    assert sentence in stranger.visit("learning.start").text
    assert sentence in stranger.visit("catalog.landing").text


def test_whoever_has_chosen_no_zone_gets_the_sites(client: Client, owner: User) -> None:
    save(client, "people", default_zone="Asia/Tokyo")
    client.application.test_client().submit("accounts.sign_in", {"address": "new@example.org"})
    message = db.session.scalars(sa.select(Message).order_by(Message.id.desc())).first()
    assert message.contact.zone == "Asia/Tokyo"


@pytest.mark.settings(languages="en, de, fr")
def test_whoever_asks_for_no_language_of_ours_gets_the_sites(client: Client, owner: User, app: Flask) -> None:
    save(client, "people", default_language="de")
    asked = {"Accept-Language": "ja"}
    assert 'lang="de"' in app.test_client().get("/sign-in", headers=asked).text
    assert 'lang="fr"' in app.test_client().get("/sign-in", headers={"Accept-Language": "fr"}).text


@pytest.mark.settings(languages="en, pt-BR")
def test_a_language_with_a_region_is_shown_and_kept_by_its_tag(client: Client, owner: User, app: Flask) -> None:
    make_course()
    reader = app.test_client()
    for asked in ("pt-BR", "pt-br,en;q=0.5", "pt"):
        assert 'lang="pt-BR"' in reader.get("/sign-in", headers={"Accept-Language": asked}).text
    reader.environ_base["HTTP_ACCEPT_LANGUAGE"] = "pt-BR"
    assert reader.submit("learning.start", {"address": "rui@example.org"}).status_code == 303
    assert contact_of_address("rui@example.org").language == "pt-BR"
    save(client, "people", default_language="pt-BR")
    assert 'lang="pt-BR"' in app.test_client().get("/sign-in").text


# Kept pages, mails, memory


def test_a_changed_name_shows_on_a_kept_lesson_at_once(client: Client, owner: User) -> None:
    course = make_course()
    learner = client.application.test_client()
    make_enrolment(learner.sign_in(make_user()), course)
    lesson = lessons_of(course)[0].public_id
    assert "Course House" not in learner.visit("learning.lesson", id=lesson).text
    save(client, "names", site_name="Course House")
    assert "Course House" in learner.visit("learning.lesson", id=lesson).text


def test_a_changed_name_shows_in_the_next_mail(client: Client, owner: User, app: Flask) -> None:
    stranger = app.test_client()

    def mail_to(address: str) -> str:
        stranger.submit("accounts.sign_in", {"address": address})
        assert last_mail_to(address).link
        newest = db.session.scalar(sa.select(sa.func.max(Message.id)))
        return outgoing(outbox.sendables([newest])[newest], NOW).content.decode()

    before = mail_to("one@example.org")
    save(client, "names", site_name="Course House", sender_name="The house", postal_address="1 Road, Town")
    after = mail_to("two@example.org")
    for words in ("From: The house <", "Course House", "1 Road, Town"):
        assert words not in before
        assert words in after


@pytest.mark.parametrize("name", ["Die Praxis für Beckenbodengesundheit, Müller & Söhne in Düsseldorf", "ä" * 80, "“x” <eve@evil.test>"])
def test_a_long_sender_in_any_script_is_one_sender_in_short_words(client: Client, owner: User, app: Flask, name: str) -> None:
    save(client, "names", sender_name=name)
    app.test_client().submit("accounts.sign_in", {"address": "one@example.org"})
    newest = db.session.scalar(sa.select(sa.func.max(Message.id)))
    content = outgoing(outbox.sendables([newest])[newest], NOW).content
    sent_from = email.message_from_bytes(content)["From"]
    assert str(make_header(decode_header(sent_from))).replace(" <course@", "<course@") == f"{name}<course@localhost.localdomain>"
    assert max(len(word) for word in content.partition(b"\r\n\r\n")[0].split() if word.startswith(b"=?")) <= 75


@pytest.mark.parametrize(("typed", "found"), [("", LIGHT.standard[0]), ("7A1F5C", "#7a1f5c")])
def test_mails_have_the_owners_colour_on_their_button_and_links(client: Client, owner: User, app: Flask, typed: str, found: str) -> None:
    save(client, "colours", accent_light=typed)
    client.submit("support.people", {"address": "boss@example.org"})
    client.submit("support.person", to="support.send_link", id=owner.contact.public_id)  # a mail with a button and a link
    newest = db.session.scalar(sa.select(sa.func.max(Message.id)))
    mail = quopri.decodestring(outgoing(outbox.sendables([newest])[newest], NOW).content).decode()
    assert f"background-color: {found}" in mail
    assert f"color: {found}" in mail
    assert (LIGHT.standard[0] in mail) is (found == LIGHT.standard[0])
    assert contrast(found, "#ffffff") >= LEAST
    assert contrast(found, LIGHT.backgrounds[0]) >= LEAST
    assert f"background-color: {LIGHT.backgrounds[0]}" in mail


def test_a_warm_page_asks_the_database_for_no_setting(client: Client, owner: User) -> None:
    make_course()
    save(client, "names", site_name="Course House")
    stranger = client.application.test_client()
    stranger.visit("catalog.landing")
    with statements() as sent:
        assert "Course House" in stranger.visit("catalog.landing").text
    assert sent == []


def test_another_process_notices_within_ten_seconds(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert present_site().name == "Your course"
    change_site({"site_name": "Course House"}, NOW)
    db.session.commit()
    assert present_site().name == "Your course"
    monkeypatch.setattr(site_words, "FRESH_FOR", 0.0)
    assert present_site().name == "Course House"


def test_with_the_database_away_pages_keep_the_name_known_last(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    change_site({"site_name": "Course House"}, NOW)
    db.session.commit()
    forget_site()
    assert present_site().name == "Course House"

    def away() -> dict[str, str]:
        raise sa.exc.OperationalError("", {}, Exception())

    monkeypatch.setattr(site_words, "FRESH_FOR", 0.0)
    monkeypatch.setattr(site_words, "_read", away)
    assert present_site().name == "Course House"
    forget_site()
    assert present_site().name == "Your course"


def test_reading_the_settings_does_not_wait_for_a_page_that_writes(app: Flask) -> None:
    """On SQLite a second connection that began to write would wait until it gives up, and the page would lose its name."""
    change_site({"site_name": "Course House"}, NOW)
    db.session.commit()
    db.session.execute(sa.text("UPDATE users SET name = name"))
    forget_site()
    assert present_site().name == "Course House"
    db.session.rollback()


def test_the_pages_are_valid_html_with_no_id_twice(client: Client, owner: User) -> None:
    save_page(client, "terms", "## What it is\n\nA course.")
    for path in ("/staff/settings", "/staff/team", "/staff/settings/pages/privacy", "/terms"):
        root = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(client.get(path).text)
        ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
        assert len(ids) == len(set(ids)), (path, ids)


# Legal pages


def test_a_legal_page_begins_as_a_draft_that_nobody_sees(client: Client, owner: User) -> None:
    for name in ("privacy", "terms", "imprint"):
        page = client.visit("organisation.edit_page", name=name)
        assert "[[" in page.text
        assert client.visit(f"site.{name}").status_code == 404
    assert 'href="/privacy"' not in client.visit("accounts.sign_in").text


def test_gaps_keep_it_from_being_shown(client: Client, owner: User) -> None:
    page = client.submit("organisation.edit_page", name="privacy")
    assert "still gaps" in page.text
    assert client.visit("site.privacy").status_code == 404


def test_a_written_page_is_shown_linked_and_changed(client: Client, owner: User) -> None:
    stranger = client.application.test_client()
    save_page(client, "privacy", "## What we hold\n\nAlmost **nothing**.")
    page = stranger.visit("site.privacy").text
    assert "<h2>What we hold</h2>" in page
    assert "<strong>nothing</strong>" in page
    assert "2 November 2026" in page or "November 2, 2026" in page
    assert 'href="/privacy"' in stranger.visit("accounts.sign_in").text
    save_page(client, "privacy", "Other words.")
    assert "Other words." in stranger.visit("site.privacy").text
    save_page(client, "privacy", "")
    assert stranger.visit("site.privacy").status_code == 404


def save_page(client: Client, name: str, text: str) -> None:
    """Write a legal page."""
    assert client.submit("organisation.edit_page", {"text": text}, name=name).status_code == 303


def test_what_could_do_harm_is_shown_as_it_was_typed(client: Client, owner: User) -> None:
    save_page(client, "terms", "<script>alert(1)</script> <b onclick=x>bold</b>")
    shown = client.visit("site.terms").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script>alert" not in shown
    assert "<b onclick" not in shown


@pytest.mark.parametrize("target", ["ftp://example.org/x", "javascript:alert(1)"])
def test_a_link_that_would_not_work_is_refused(client: Client, owner: User, target: str) -> None:
    page = client.submit("organisation.edit_page", {"text": f"[x]({target})"}, name="imprint")
    assert "would not work" in page.text
    assert 'href="javascript' not in page.text
    assert client.visit("site.imprint").status_code == 404
    assert client.visit("organisation.edit_page", name="secrets").status_code == 404


# Colours and logo


def test_colours_come_as_a_style_sheet_of_their_own(client: Client, owner: User) -> None:
    stranger = client.application.test_client()
    assert "/site.css" not in stranger.visit("accounts.sign_in").text
    assert stranger.visit("site.colours").status_code == 404
    save(client, "colours", accent_light="7A1F5C")
    version = present_site().version
    assert f'href="/site.css?v={version}"' in stranger.visit("accounts.sign_in").text
    answer = stranger.visit("site.colours", v=version)
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["Cache-Control"]
    assert "--accent: #7a1f5c;" in answer.text
    assert "immutable" not in stranger.visit("site.colours", v="old").headers["Cache-Control"]
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(("content", "media_type"), [(SVG, "image/svg+xml"), (png(), "image/png")], ids=["svg", "png"])
def test_a_logo_is_kept_and_shown_and_taken_away(client: Client, owner: User, content: bytes, media_type: str) -> None:
    assert "Saved." in upload(client, content)
    stranger = client.application.test_client()
    assert '<img class="logo"' in stranger.visit("accounts.sign_in").text
    answer = stranger.visit("site.logo_picture", v=present_site().version)
    if media_type == "image/svg+xml":  # written anew: the same drawing in other bytes
        assert answer.data.startswith(b"<svg xmlns=")
        assert answer.data.count(b"<path") == content.count(b"<path")
    else:
        assert answer.data == content
    assert answer.headers["Content-Type"].partition(";")[0] == media_type
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert present_site().logo_size == (56, 28)
    data = {"remove": "1", "csrf_token": client.csrf_token("organisation.settings")}
    client.post(client.path("organisation.change_logo"), data=data)
    assert stranger.visit("site.logo_picture").status_code == 404
    assert '<img class="logo"' not in stranger.visit("accounts.sign_in").text


def test_a_png_keeps_its_picture_alone(client: Client, owner: User) -> None:
    upload(client, png(60, 30, chunk(b"tEXt", b"Author\0Canary"), chunk(b"eXIf", b"Canary")) + b"<script>Canary</script>")
    with storage.open_stored(present_site().logo) as file:
        assert file.read() == png()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><script>alert(1)</script></svg>', "neither a PNG nor a plain SVG"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1" onload="alert(1)"/>', "neither a PNG nor a plain SVG"),
        (b'<!DOCTYPE svg [<!ENTITY x "y">]><svg xmlns="http://www.w3.org/2000/svg"/>', "neither a PNG nor a plain SVG"),
        (b"<html><body>hello</body></html>", "neither a PNG nor a plain SVG"),
        (b"GIF89a", "neither a PNG nor a plain SVG"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "how large"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 -5 1"/>', "how large"),
        (png()[:-20], "damaged"),
        (png()[:45] + b"xx" + png()[47:], "damaged"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""), "damaged"),
        (png(1, 1)[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 5000, 1, 8, 0, 0, 0, 0)) + chunk(b"IEND", b""), "4000 pixels"),
        (b"x" * (LARGEST + 1), "larger than 300 KB"),
        (b"", "neither a PNG nor a plain SVG"),
    ],
    ids=["script", "handler", "entity", "html", "gif", "no size", "odd size", "cut off", "altered", "no head", "wide", "large", "empty"],
)
def test_what_is_no_harmless_picture_is_refused_in_words(client: Client, owner: User, content: bytes, words: str) -> None:
    assert words in upload(client, content)
    assert stored() == {}
