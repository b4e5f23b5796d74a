"""Sessions are rows: seen, ended one by one or all, dead in every copy, and no older than they may be."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from courseapp.accounts.models import LoginSession, User
from courseapp.accounts.sessions import device_words
from courseapp.extensions import db
from tests.client import Client
from tests.conftest import NOW
from tests.factories import make_course, make_enrolment, make_user
from tests.rows import all_rows, changed_tables


def is_in(client: Client) -> bool:
    """Whether this browser is signed in."""
    return client.visit("accounts.settings").status_code == 200


def copy_of(client: Client) -> Client:
    """A second browser with the cookie of the first, as a thief would have it."""
    thief = client.application.test_client()
    thief.set_cookie("session", client.get_cookie("session").value)
    return thief


def test_a_copied_cookie_is_dead_after_signing_out(client: Client) -> None:
    client.sign_in(make_user())
    thief = copy_of(client)
    assert is_in(thief)
    answer = client.submit("accounts.settings", to="accounts.sign_out")
    assert '"storage"' in answer.headers["Clear-Site-Data"]
    assert not is_in(thief)
    assert not is_in(client)
    assert db.session.query(LoginSession).count() == 0


def test_only_the_hash_of_the_cookies_token_is_kept(client: Client) -> None:
    user = client.sign_in(make_user())
    assert user.session_token not in repr(all_rows()["login_sessions"])


def test_a_made_up_token_is_nobody(client: Client) -> None:
    make_user()
    for token in ("", "1", "x" * 43, "' OR 1=1 --"):
        with client.session_transaction() as session:
            session["_user_id"] = token
        assert not is_in(client)


def test_each_device_is_listed_and_ended_by_itself(client: Client) -> None:
    user = make_user()
    phone = client.application.test_client()
    for browser in (client, phone):
        browser.sign_in(user)
    page = client.visit("accounts.settings").text
    assert page.count("This device") == 1
    other = db.session.scalars(sa.select(LoginSession).order_by(LoginSession.id.desc())).first()
    client.submit("accounts.settings", to="accounts.end_session", public_id=other.public_id)
    assert is_in(client)
    assert not is_in(phone)


def test_all_other_devices_end_at_once(client: Client) -> None:
    user = make_user()
    others = [client.application.test_client() for _ in range(3)]
    for browser in (client, *others):
        browser.sign_in(user)
    client.submit("accounts.settings", to="accounts.end_other_sessions")
    assert is_in(client)
    assert not any(is_in(browser) for browser in others)


def test_nobody_ends_another_persons_session(client: Client) -> None:
    victim = client.application.test_client()
    victim.sign_in(make_user())
    row = db.session.scalars(sa.select(LoginSession)).one().public_id
    client.sign_in(make_user())
    token = client.csrf_token("accounts.settings")
    assert client.post(client.path("accounts.end_session", public_id=row), data={"csrf_token": token}).status_code == 404
    assert is_in(victim)


@pytest.mark.parametrize(("roles", "idle_days", "days"), [((), 90, 365), (("instructor",), 2, 14), (("owner",), 2, 14)])
def test_a_session_ends_when_it_lies_idle_and_at_the_latest_after_its_whole_time(
    client: Client, pass_time, roles: tuple[str, ...], idle_days: int, days: int
) -> None:
    user = make_user(roles=roles)
    signed = client.application.test_client()
    signed.sign_in(user)
    pass_time(days=idle_days, minutes=-5)
    assert is_in(signed)
    pass_time(days=idle_days, minutes=-5)
    assert is_in(signed)
    pass_time(days=idle_days, minutes=5)
    assert not is_in(signed)
    client.sign_in(user)
    for _ in range(2 * days):
        pass_time(days=idle_days / 2)
        if not is_in(client):
            break
    began = db.session.scalars(sa.select(LoginSession).order_by(LoginSession.id.desc())).first().created_at
    lasted = db.session.scalars(sa.select(sa.func.max(LoginSession.last_seen_at))).one()
    assert timedelta(days=days - idle_days) <= lasted - began <= timedelta(days=days, minutes=2)


def test_looking_notes_when_at_most_once_an_hour_and_writes_nothing_else(client: Client, pass_time) -> None:
    course = make_course()
    make_enrolment(client.sign_in(make_user()), course)
    pages = [client.path("accounts.settings"), client.path("learning.course", slug="introduction"), client.path("learning.my_courses")]
    before = all_rows()
    pass_time(minutes=59)
    for page in pages:
        client.get(page)
    assert changed_tables(before, all_rows()) == []
    later = pass_time(minutes=2)
    for page in pages:
        client.get(page)
    after = all_rows()
    assert set(changed_tables(before, after)) == {"login_sessions", "users"}
    for model, column in ((LoginSession, "last_seen_at"), (User, "seen_at")):
        table = model.__table__
        seen = db.session.scalars(sa.select(table.c[column])).one()
        assert abs(seen - later) < timedelta(seconds=30)
        changed = [index for index, value in enumerate(before[table.name][0]) if value != after[table.name][0][index]]
        assert [table.columns.keys()[index] for index in changed] == [column]


def test_a_page_that_fails_to_exist_still_counts_as_being_here(client: Client, pass_time) -> None:
    client.sign_in(make_user())
    pass_time(hours=2)
    assert client.get("/no-such-page").status_code == 404
    client.visit("accounts.settings")
    assert db.session.scalars(sa.select(LoginSession)).one().last_seen_at > NOW


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605 Version/17.5 Mobile Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/126.0 Safari/537.36 Edg/126.0", "Edge on Windows"),
        ("", "A browser"),
        ("<script>" * 100, "A browser"),
    ],
)
def test_a_device_is_named_coarsely(agent: str, words: str) -> None:
    assert device_words(agent) == words
