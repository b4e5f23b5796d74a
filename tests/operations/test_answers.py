"""What every answer carries, what a cookie is, and what a form from elsewhere comes to."""

import pytest
from flask import Flask

from tests.client import Client, forms_of
from tests.factories import make_asset, make_course, make_enrolment, make_user

PRODUCTION = {
    "mode": "production",
    "base_url": "https://learn.example",
    "postal_address": "1 Road",
    "sender_address": "us@learn.example",
    "smtp_url": "smtp://127.0.0.1:1",
    "allow_sqlite": True,
}
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def all_kinds_of_answers(client: Client) -> dict[str, object]:
    """One answer of each kind."""
    course = make_course()
    asset = make_asset(course)
    make_enrolment(client.sign_in(make_user(roles=["owner"])), course)
    token = client.csrf_token("accounts.settings")
    form = {"csrf_token": token}
    return {
        "page": client.visit("accounts.settings"),
        "redirect": client.visit("learning.my_courses"),
        "guarded": client.application.test_client().visit("accounts.settings"),
        "json": client.visit("operations.export_data"),
        "health": client.visit("health.healthz"),
        "not ready": client.visit("health.readyz"),
        "400": client.post(client.path("accounts.change_own_name")),
        "403": client.application.test_client().post(client.path("accounts.sign_out"), data={"csrf_token": "x"}),
        "404": client.get("/no-such-page"),
        "405": client.post("/healthz", data=form),
        "410": client.visit("accounts.sign_in_link", token="x"),
        "413": client.post(client.path("accounts.change_own_name"), data={**form, "name": "x" * 2_000_000}),
        "asset": client.visit("learning.asset", public_id=asset.public_id, suffix="svg"),
        "options": client.options("/sign-in"),
    }


def test_every_kind_of_answer_carries_the_headers_and_a_strict_policy(client: Client) -> None:
    answers = all_kinds_of_answers(client)
    for name, answer in answers.items():
        for header, value in ALWAYS.items():
            assert answer.headers.get(header) == value, (name, header)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, name
        assert "unsafe-eval" not in policy, name
        if name != "asset":
            assert "unsafe-inline" not in policy, name
            for rule in ("script-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"):
                assert rule in policy, (name, rule)
            assert answer.headers["Cache-Control"] == "no-store", name
        else:
            assert "sandbox" in policy
            assert answer.headers["Cache-Control"].startswith("private")
        if answer.data:
            kind = answer.headers["Content-Type"]
            assert "charset=utf-8" in kind or kind == "application/json" or name == "asset", (name, kind)
    assert [answers[status].status_code for status in ("400", "404", "405", "410", "413")] == [400, 404, 405, 410, 413]


def test_a_failure_is_a_page_in_words_with_the_same_headers_and_no_trace(make_app, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_app()
    made.config.update(PROPAGATE_EXCEPTIONS=False, TESTING=False)
    made.view_functions["accounts.sign_in"] = lambda: 1 // 0
    answer = made.test_client().get("/sign-in")
    assert answer.status_code == 500
    assert "ZeroDivisionError" not in answer.text
    assert "Traceback" not in answer.text
    for header, value in ALWAYS.items():
        assert answer.headers.get(header) == value


@pytest.mark.settings(**PRODUCTION)
@pytest.mark.one_database
def test_over_https_cookies_are_bound_to_the_host_and_browsers_are_told_to_stay(app: Flask) -> None:
    client = app.test_client()
    answer = client.get("/sign-in", base_url="https://learn.example")
    [cookie] = answer.headers.getlist("Set-Cookie")
    assert cookie.startswith("__Host-session=")
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"secure", "httponly", "samesite=lax", "path=/"} <= parts
    assert not any(part.startswith("domain") for part in parts)
    age = int(answer.headers["Strict-Transport-Security"].partition("max-age=")[2].partition(";")[0])
    assert age >= 31_536_000
    assert "includeSubDomains" in answer.headers["Strict-Transport-Security"]


def test_the_cookie_is_out_of_scripts_reach(client: Client) -> None:
    [cookie] = client.visit("accounts.sign_in").headers.getlist("Set-Cookie")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


EXEMPT = {"mailing.stop", "signup.ask"}  # neither can have a token: a mail program posts the one, a form on another site the other


def test_every_form_is_refused_without_its_token_and_from_elsewhere(client: Client) -> None:
    """Walks the routes, so that one made tomorrow is asked too."""
    make_enrolment(client.sign_in(make_user(roles=["owner"])))
    stranger = client.application.test_client()
    foreign = stranger.csrf_token()
    tried = 0
    for rule in client.application.url_map.iter_rules():
        if "POST" not in (rule.methods or ()) or rule.endpoint in EXEMPT:
            continue
        path = client.application.url_map.bind("localhost").build(rule.endpoint, dict.fromkeys(rule.arguments, "1"))
        for data in ({}, {"csrf_token": ""}, {"csrf_token": "x" * 90}, {"csrf_token": foreign}):
            answer = client.post(path, data=data, headers={"Origin": "https://evil.test", "Referer": "https://evil.test/"})
            assert answer.status_code in {400, 403}, (rule.endpoint, answer.status_code)
        tried += 1
    assert tried > 15
    assert client.visit("accounts.settings").status_code == 200


@pytest.mark.settings(**PRODUCTION)
@pytest.mark.one_database
def test_over_https_even_a_right_token_from_a_foreign_page_is_refused(app: Flask) -> None:
    client = app.test_client()
    here = "https://learn.example"
    page = client.get("/sign-in", base_url=here).text
    token = next(form.fields["csrf_token"] for form in forms_of(page, "/sign-in") if "csrf_token" in form.fields)
    data = {"csrf_token": token, "address": "ada@example.org"}
    for referrer in ("https://evil.test/", None):
        headers = {"Referer": referrer} if referrer else {}
        assert client.post("/sign-in", base_url=here, data=data, headers=headers).status_code == 400
    assert client.post("/sign-in", base_url=here, data=data, headers={"Referer": f"{here}/sign-in"}).status_code == 303


@pytest.mark.parametrize(
    "target", ["//evil.test", "/\\evil.test", "https://evil.test", "%0d%0aLocation:https://evil.test", "javascript:alert(1)"]
)
def test_no_page_sends_anyone_elsewhere(client: Client, target: str) -> None:
    make_course()
    query = "?" + "&".join(f"{name}={target}" for name in ("next", "url", "redirect", "return_to", "continue"))
    for path in ("/sign-in", "/start", "/account", "/learn", "/sign-in/code"):
        answer = client.get(path + query)
        assert not answer.location or (answer.location.startswith("/") and not answer.location.startswith(("//", "/\\")))
        assert "evil.test" not in (answer.location or "")
    for path in ("//evil.test", "/\\evil.test", "//evil.test/%2f..", f"/{target}"):
        answer = client.get(path)
        assert "evil.test" not in (answer.location or "").partition("/")[0]
        assert answer.location is None or not answer.location.startswith(("//", "/\\", "https://evil"))


@pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE", "PATCH", "XYZZY"])
def test_other_methods_do_nothing(client: Client, method: str) -> None:
    assert client.open("/sign-in", method=method).status_code in {400, 405}


def test_what_a_browser_cannot_send_is_a_400_or_404_and_never_a_500(client: Client) -> None:
    make_enrolment(client.sign_in(make_user()))
    token = client.csrf_token("accounts.settings")
    strange = ["a\0b", "\ud83d", "x" * 5000, "\r\n"]
    forms = {
        "accounts.change_own_name": ["name"],
        "accounts.change_zone": ["zone"],
        "accounts.change_address": ["new_address", "password"],
        "accounts.change_password": ["new", "current"],
        "accounts.sign_in_with_password": ["pw-address", "pw-password"],
        "accounts.enter_code": ["code"],
        "accounts.ask_for_link": ["address"],
    }
    for value in strange:
        for endpoint, names in forms.items():
            data = {"csrf_token": token, **dict.fromkeys(names, value.encode("utf-8", "replace"))}
            assert client.post(client.path(endpoint), data=data).status_code < 500, (endpoint, value)
    assert client.visit("accounts.settings").status_code == 200


def test_a_name_with_a_line_break_or_control_character_is_refused_in_words(client: Client) -> None:
    user = client.sign_in(make_user(name="Ada"))
    for name in ("Ada\r\nBcc: x@y.test", "Ada\nx", "a\0b", "a\x0bb", "a\u2028b"):
        page = client.submit("accounts.settings", {"name": name}, to="accounts.change_own_name")
        assert "line breaks" in page.text
        assert user.name == "Ada"
    client.submit("accounts.settings", {"name": "  Zoë O'Neill 🌿 "}, to="accounts.change_own_name")
    assert (user.name, user.contact.first_name) == ("Zoë O'Neill 🌿", "Zoë O'Neill 🌿")
