"""A browser without pictures for the hosted pages: reads forms, presses buttons, follows redirects to these pages alone."""

from html.parser import HTMLParser
from urllib.parse import urljoin

import requests


class _Forms(HTMLParser):
    """The forms, buttons and links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str], dict[str, dict[str, str]]]] = []  # action, fields, buttons
        self.links: dict[str, str] = {}
        self.words = ""
        self._tag, self._attributes, self._text = "", dict[str, str](), ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a form, note a field, or begin a button or link."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((given["action"], {}, {}))
        elif tag == "input":
            self.forms[-1][1][given["name"]] = given.get("value", "")
        elif tag == "select":
            self._attributes = given
        elif tag == "option":
            self.forms[-1][1].setdefault(self._attributes["name"], given["value"])
        elif tag in {"button", "a"}:
            self._tag, self._attributes, self._text = tag, given, ""

    def handle_data(self, data: str) -> None:
        """Words, of the page and of what is open."""
        self.words += data + "\n"
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        """Close a button or link."""
        if tag == self._tag == "button":
            name = self._attributes.get("name")
            self.forms[-1][2][self._text] = {name: self._attributes["value"]} if name else {}
        elif tag == self._tag == "a":
            self.links[self._text] = self._attributes["href"]


class Clicker:
    """One person at the hosted pages of the server at `base`; `.url` is where they are, or were sent to."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._session = requests.Session()
        self.url, self.status, self._page = "", 0, _Forms()

    @property
    def words(self) -> str:
        """What the page says."""
        return self._page.words

    @property
    def links(self) -> dict[str, str]:
        """Its links, by their words."""
        return self._page.links

    @property
    def buttons(self) -> set[str]:
        """The words on its buttons."""
        return {label for _action, _fields, buttons in self._page.forms for label in buttons}

    def visit(self, url: str | None) -> "Clicker":
        """Open a page."""
        assert url is not None
        self._read(self._session.get(url, allow_redirects=False, timeout=20), url)
        return self

    def press(self, label: str, **typed: str) -> "Clicker":
        """Fill in and press a button of the page."""
        for action, fields, buttons in self._page.forms:
            if label in buttons:
                sent, url = {**fields, **typed, **buttons[label]}, urljoin(self.url, action)
                self._read(self._session.post(url, sent, allow_redirects=False, timeout=20), url)
                return self
        raise AssertionError(f"there is no button {label!r}, but {sorted(self.buttons)}")

    def close(self) -> None:
        """Let go of the line."""
        self._session.close()

    def _read(self, answer: requests.Response, url: str) -> None:
        to = urljoin(url, answer.headers["Location"]) if answer.is_redirect else ""
        self.status, self.url, self._page = answer.status_code, to or url, _Forms()
        if to.startswith(self._base):
            self.visit(to)
        elif not to:
            self._page.feed(answer.text)
