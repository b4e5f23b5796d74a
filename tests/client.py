"""The test client: speaks by endpoint name, fills in real forms with their CSRF token, and keeps clear of the test's own context."""

import contextvars
from datetime import datetime
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

from flask import has_app_context
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.accounts.sessions import open_session
from courseapp.extensions import db


class Client(FlaskClient):
    """A browser without pictures. Every request runs in a context of its own, as it does in a server.

    Before each request the test's own transaction is committed: so factories need no commit, SQLite's write lock is free,
    and rows the test holds are read again afterwards. (`with client:` is not supported.)
    """

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """One request; like Flask's, but apart from the test's app context, whose `g` and session it must not share."""
        if has_app_context():
            db.session.commit()
        kwargs.setdefault("buffered", True)
        return contextvars.Context().run(lambda: super(Client, self).open(*args, **kwargs))

    def path(self, where: str, **values: Any) -> str:
        """The address of an endpoint; a path stays what it is."""
        return where if where.startswith("/") else self.application.url_map.bind("localhost").build(where, values)

    def visit(self, where: str, **values: Any) -> TestResponse:
        """GET an endpoint (or path), and follow no redirect."""
        return self.get(self.path(where, **values))

    def submit(
        self, page: str, data: dict[str, Any] | None = None, *, to: str | None = None, follow: bool = False, **values: Any
    ) -> TestResponse:
        """Fetch `page`, fill in its form that posts to `to` (default: to the page itself) with `data`, and post it.

        `page` and `to` are endpoints or paths, built with `values`. What the form holds already is sent along, as a browser
        does; a `data` value of None leaves a field out. Fails in words where the page has no such form.
        """
        address = self.path(page, **{name: value for name, value in values.items() if _takes(self, page, name)})
        target = self.path(to, **{name: value for name, value in values.items() if _takes(self, to, name)}) if to else address
        shown = self.get(address)
        found = {form.action: form for form in reversed(forms_of(shown.text, address)) if form.method == "post"}
        assert target in found, f"{address} ({shown.status}) has no POST form to {target}, only to {sorted(found)}"
        fields = {name: value for name, value in {**found[target].fields, **(data or {})}.items() if value is not None}
        is_upload = found[target].is_upload
        return self.post(target, data=fields, follow_redirects=follow, content_type="multipart/form-data" if is_upload else None)

    def csrf_token(self, page: str = "accounts.sign_in", **values: Any) -> str:
        """The token of this client's session, read from a form of `page`."""
        shown = self.visit(page, **values)
        tokens = [form.fields["csrf_token"] for form in forms_of(shown.text, "/") if "csrf_token" in form.fields]
        assert tokens, f"{page} ({shown.status}) has no form with a token"
        return str(tokens[0])

    def sign_in(self, user: User, now: datetime | None = None) -> User:
        """Open a session for `user` as signing in by mail would, without the mail."""
        open_session(user, now or clock.now(), "Test")
        token = user.session_token
        db.session.commit()
        with self.session_transaction() as session:
            session["_user_id"] = token
            session["_fresh"] = True
        return user


class Form:
    """One form of a page: where it posts, and what it holds."""

    def __init__(self, action: str, method: str, is_upload: bool) -> None:
        self.action, self.method, self.is_upload = action, method, is_upload
        self.fields: dict[str, Any] = {}


class _Forms(HTMLParser):
    def __init__(self, address: str) -> None:
        super().__init__()
        self.address, self.forms = address, list[Form]()
        self._form: Form | None = None
        self._select = self._textarea = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Take up a form or one of its controls."""
        at = dict(attributes)
        name, value = at.get("name") or "", at.get("value") or ""
        if tag == "form":
            action = urlsplit(urljoin(self.address, at.get("action") or self.address))
            path = action.path + (f"?{action.query}" if action.query else "")
            self._form = Form(path, (at.get("method") or "get").lower(), at.get("enctype") == "multipart/form-data")
            self.forms.append(self._form)
        elif self._form is None or "disabled" in at:
            return
        elif tag == "input" and name:
            kind = (at.get("type") or "text").lower()
            if kind not in {"checkbox", "radio", "submit", "button", "image", "file"} or (
                kind in {"checkbox", "radio"} and "checked" in at
            ):
                self._form.fields[name] = value or ("on" if kind == "checkbox" else "")
        elif tag == "textarea" and name:
            self._textarea, self._form.fields[name] = name, ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in at or self._select not in self._form.fields):
            self._form.fields[self._select] = value

    def handle_data(self, text: str) -> None:
        """The words inside a textarea are its value."""
        if self._textarea and self._form is not None:
            self._form.fields[self._textarea] += text

    def handle_endtag(self, tag: str) -> None:
        """Leave a form or control."""
        if tag == "form":
            self._form = None
        elif tag == "textarea":
            self._textarea = ""
        elif tag == "select":
            self._select = ""


def forms_of(html: str, address: str) -> list[Form]:
    """The forms of a page that was fetched from `address`."""
    parser = _Forms(address)
    parser.feed(html)
    return parser.forms


def _takes(client: Client, where: str | None, name: str) -> bool:
    """Whether the address of an endpoint has a place for `name`; else it would become part of the query."""
    rules = client.application.url_map.iter_rules(where) if where and not where.startswith("/") else []
    return any(name in rule.arguments for rule in rules)
