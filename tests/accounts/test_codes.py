"""The six digits: typed by hand in the browser that asked, five tries, once."""

from flask import Flask

from tests.accounts.mailbox import last_mail_to, mails_to
from tests.client import Client
from tests.factories import make_user


def ask(client: Client, address: str = "ada@example.org") -> str:
    """Ask for a mail; its code."""
    client.submit("accounts.sign_in", {"address": address})
    return last_mail_to(address).code


def type_code(client: Client, code: str) -> int:
    """Type a code; 303 where it let the browser in, 200 where it did not."""
    return client.submit("accounts.check_mail", {"code": code}).status_code


def other_than(code: str) -> str:
    """A code that is not this one."""
    return f"{(int(code) + 1) % 10**6:06d}"


def test_the_code_signs_in_the_browser_that_asked(client: Client) -> None:
    code = ask(client)
    assert len(code) == 6
    assert type_code(client, f" {code[:3]} {code[3:]} ") == 303
    assert "ada@example.org" in client.visit("accounts.settings").text


def test_the_code_means_nothing_in_any_other_browser(client: Client) -> None:
    code = ask(client)
    thief = client.application.test_client()
    assert type_code(thief, code) == 200
    ask(thief, "eve@example.org")
    assert type_code(thief, code) == 200
    assert thief.visit("accounts.settings").status_code == 302
    assert type_code(client, code) == 303


def test_the_fifth_try_still_counts_and_the_sixth_does_not(client: Client, app: Flask) -> None:
    for wrong_tries, answer in ((4, 303), (5, 200)):
        browser = app.test_client()
        code = ask(browser)
        for _ in range(wrong_tries):
            assert type_code(browser, other_than(code)) == 200
        assert type_code(browser, code) == answer


def test_after_five_tries_the_link_still_works_so_that_nobody_is_locked_out(client: Client) -> None:
    code = ask(client)
    for _ in range(5):
        type_code(client, other_than(code))
    assert client.submit(last_mail_to("ada@example.org").link).status_code == 303


def test_a_code_does_not_work_twice_nor_after_its_link_was_used(client: Client) -> None:
    code = ask(client)
    assert type_code(client, code) == 303
    client.submit("accounts.settings", to="accounts.sign_out")
    assert type_code(client, code) == 200
    code = ask(client)
    phone = client.application.test_client()
    assert phone.submit(last_mail_to("ada@example.org").link).status_code == 303
    assert type_code(client, code) == 200


def test_the_link_does_not_work_after_its_code_was_used(client: Client) -> None:
    code, link = ask(client), last_mail_to("ada@example.org").link
    type_code(client, code)
    assert client.get(link).status_code == 410


def test_a_code_is_too_old_after_fifteen_minutes(client: Client, pass_time) -> None:
    code = ask(client)
    pass_time(minutes=15.5)
    assert type_code(client, code) == 200


def test_only_the_code_of_the_newest_mail_counts(client: Client) -> None:
    old, new = ask(client), ask(client)
    assert old == new or type_code(client, old) == 200
    assert type_code(client, new) == 303


def test_what_is_no_code_is_answered_with_the_form(client: Client) -> None:
    code = ask(client)
    for typed in ("", "abcdef", "１２３４５６", "0" * 20, "-1", f"{code}0"):
        assert type_code(client, typed) == 200


def test_a_code_lets_the_guest_keep_the_course(client: Client) -> None:
    make_user("bob@example.org")
    assert type_code(client, ask(client)) == 303
    assert [mail.template for mail in mails_to("ada@example.org")] == ["accounts/sign_in", "accounts/welcome"]
