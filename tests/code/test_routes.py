"""Every change asks for its token and its own origin. Who may what is the table in routes.txt."""

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_wtf import CSRFProtect
from werkzeug.routing import Rule

from tests.code.source import expect
from tests.factories import lesson_that_needs as lesson_of
from tests.factories import make_asset, make_course, make_enrolment, make_user

TOKENLESS = {
    "mailing.stop": "RFC 8058: the mail program posts it, without a cookie or a token",
    "stripe.take_event": "Stripe posts it; its signature is looked at instead",
    "mailing.take_ses": "Amazon posts it; its signature is looked at instead",
    "signup.ask": "other sites have the form; it does nothing in anybody's name but ask an address by mail",
    "mailing.count_click": "pages that are kept for all have no token; it adds one to a number, which following the link would too",
    "mailing.take_postmark": "Postmark posts it, with a password that only it and we know",
    "mailing.take_mailgun": "Mailgun posts it; its signature is looked at instead",
}


def unprotected_changes(app: Flask, client: FlaskClient, token: str, values: dict[str, str]) -> list[str]:
    """Changes that are accepted without a token, or sent from another origin."""
    found = []
    for rule, path in _addresses(app, values):
        for method in sorted((rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"} if rule.endpoint not in TOKENLESS else ()):
            without = client.open(path, method=method)
            if without.status_code != 400:
                found.append(f"{rule.endpoint}: {method} without a token is answered with {without.status}")
            foreign = client.open(path, method=method, data={"csrf_token": token}, headers={"Origin": "https://elsewhere.test"})
            if foreign.status_code not in {400, 403}:
                found.append(f"{rule.endpoint}: {method} from another origin is answered with {foreign.status}")
    return found


def _addresses(app: Flask, values: dict[str, str]) -> Iterator[tuple[Rule, str]]:
    adapter = app.url_map.bind("localhost")
    for rule in app.url_map.iter_rules():
        yield (
            rule,
            adapter.build(rule.endpoint, {name: values.get(name, "1") for name in rule.arguments}, next(iter(rule.methods or {"GET"}))),
        )


@pytest.fixture
def site(app, client, monkeypatch):
    """The client of a stranger to a site that has something to show, and what addresses are built with."""
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)  # a page that breaks is a finding among others
    course = make_course()
    make_enrolment(make_user(), course)
    asset = make_asset(course)
    lesson = lesson_of(course, "none")
    return client, {"slug": course.slug, "id": lesson.public_id, "public_id": asset.public_id, "suffix": "svg", "token": "no-such-token"}


@pytest.mark.one_database
def test_every_change_asks_for_its_token_and_its_own_origin(app, site):
    client, values = site
    _fail_with(unprotected_changes(app, client, client.csrf_token(), values))


@pytest.mark.one_database
def test_only_the_listed_changes_are_exempt_from_the_token(app):
    exempt = app.extensions["csrf"]._exempt_views
    assert {name.rpartition(".")[2] for name in exempt} == {name.rpartition(".")[2] for name in TOKENLESS}
    assert not app.extensions["csrf"]._exempt_blueprints


@pytest.mark.parametrize(("protected", "words"), [(True, None), (False, "without a token")])
def test_a_planted_change_is_judged_rightly(protected, words):
    app = _small_app()
    if protected:
        CSRFProtect(app)
    expect(unprotected_changes(app, app.test_client(), "", {}), words)


def _small_app() -> Flask:
    app = Flask("planted")
    app.secret_key = "planted"
    app.add_url_rule("/page", "page", lambda: "changed", methods=["GET", "POST"])
    return app


def _fail_with(found: list[str]) -> None:
    if found:
        pytest.fail("\n".join(found), pytrace=False)
