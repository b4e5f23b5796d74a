"""Passwords: optional, argon2id, none that everybody guesses, and one sentence for every failure."""

import hashlib
import time

import pytest
from argon2 import Type, extract_parameters
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from courseapp.accounts.models import User
from courseapp.accounts.passwords import _DECOY, _hasher, is_password, set_password
from courseapp.errors import Refusal
from tests.client import Client
from tests.factories import make_guest, make_user

pytestmark = pytest.mark.one_database  # each hash takes 64 MB and a tenth of a second, and no database sees it differently

GOOD = "three quiet owls by the river"
SIXTY_FOUR = hashlib.sha256(b"a password").hexdigest()


def set_on_page(client: Client, new: str, current: str | None = None) -> str:
    """Send the password form; the page that comes of it."""
    data = {"new": new} | ({"current": current} if current is not None else {})
    return client.submit("accounts.settings", data, to="accounts.change_password", follow=True).text


def sign_in(client: Client, address: str, password: str) -> int:
    """Sign in by a password; 303 where it was right."""
    return client.submit(
        "accounts.sign_in", {"pw-address": address, "pw-password": password}, to="accounts.sign_in_with_password"
    ).status_code


@pytest.mark.parametrize("password", [GOOD, SIXTY_FOUR, "🦉🔑🌊 ö 🐙🌵🧭"])
def test_a_good_password_is_kept_as_argon2id_and_lets_in(client: Client, password: str) -> None:
    user = client.sign_in(make_user("ada@example.org"))
    set_on_page(client, password)
    assert extract_parameters(user.password_hash).type is Type.ID
    browser = client.application.test_client()
    assert sign_in(browser, "ADA@example.org", password) == 303
    assert browser.visit("accounts.settings").status_code == 200


@pytest.mark.parametrize("password", ["Short7!", "password1", "qwertyuiop", "iloveyou", "12345678901", "Password123", "letmein123"])
def test_a_short_or_common_password_is_refused(client: Client, password: str) -> None:
    user = client.sign_in(make_user())
    assert "Your password is set" not in set_on_page(client, password)
    assert user.password_hash is None


def test_nothing_is_cut_off_at_72_bytes_or_anywhere_else(app: Flask) -> None:
    user, hexes = User(), "".join(hashlib.sha512(bytes([number])).hexdigest() for number in range(3))
    for length in (73, 256):
        set_password(user, hexes[:length])
        assert is_password(user, hexes[:length])
        assert not is_password(user, hexes[:72])
        assert not is_password(user, hexes[: length + 1])
    with pytest.raises(Refusal):
        set_password(user, hexes[:257])


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("\0" + GOOD)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_any_text_is_either_refused_in_words_or_the_password_itself(app: Flask, typed: str) -> None:
    user = User()
    try:
        set_password(user, typed)
    except Refusal:
        assert user.password_hash is None
    else:
        assert is_password(user, typed)


def test_wrong_passwords_and_accounts_without_one_do_not_let_in(client: Client) -> None:
    make_user("ada@example.org", password=GOOD)
    make_user("bob@example.org")
    for address, password in (
        ("ada@example.org", GOOD + "x"),
        ("bob@example.org", GOOD),
        ("bob@example.org", ""),
        ("no@example.org", GOOD),
    ):
        assert sign_in(client, address, password) == 200
    assert client.visit("accounts.settings").status_code == 302


def test_a_disabled_account_is_refused_in_the_same_words(client: Client, now) -> None:
    make_user("ada@example.org", password=GOOD, disabled_at=now)
    assert sign_in(client, "ada@example.org", GOOD) == 200


def test_the_work_is_the_same_for_an_unknown_person(app: Flask) -> None:
    """The decoy is a whole hash with today's parameters: else the check ends early, and time tells who is a member."""
    assert extract_parameters(_DECOY) == extract_parameters(_hasher().hash("x"))
    user = User()
    set_password(user, GOOD)
    spent = {}
    for name, person in (("known", user), ("unknown", None), ("without", User())):
        begin = time.process_time()
        for _ in range(2):
            assert not is_password(person, "wrong wrong wrong")
        spent[name] = time.process_time() - begin
    assert min(spent.values()) > 0.4 * max(spent.values())


def test_changing_a_password_needs_the_present_one_and_ends_all_other_sessions(client: Client) -> None:
    user = make_user("ada@example.org", password=GOOD)
    client.sign_in(user)
    phone = client.application.test_client()
    phone.sign_in(user)
    kept = user.password_hash
    for wrong in (None, "", "not the one it is"):
        set_on_page(client, "another four quiet owls", wrong)
        assert user.password_hash == kept
    assert phone.visit("accounts.settings").status_code == 200
    assert "Your password is set" in set_on_page(client, "another four quiet owls", GOOD)
    assert client.visit("accounts.settings").status_code == 200
    assert phone.visit("accounts.settings").status_code == 302


def test_a_guest_sets_no_password(client: Client) -> None:
    guest = client.sign_in(make_guest())
    answer = client.post(client.path("accounts.change_password"), data={"csrf_token": client.csrf_token("accounts.settings"), "new": GOOD})
    assert answer.status_code == 400
    assert guest.password_hash is None
