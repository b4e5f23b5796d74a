"""How the hosted pages look: plain HTML forms without script, so that a browser, or a program with an HTTP client, can click."""

from dataclasses import dataclass, field
from html import escape
from urllib.parse import parse_qs

from tests.fakes.stripe.wire import ApiError

STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}"
    "button{font:inherit;padding:.5rem 1rem;margin:.25rem .25rem .25rem 0}label{display:block;margin:.5rem 0}"
    "[role=alert]{border-left:4px solid #b00020;padding-left:.75rem}"
)
BANNER = "This is a test server that looks like a payment provider. No money moves."


@dataclass
class Page:
    """An answer for a browser."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def shown(title: str, *parts: str, status: int = 200) -> Page:
    """A page of parts that are HTML already."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title><style>{STYLE}</style>'
    body = f"<main><p><small>{BANNER}</small></p><h1>{escape(title)}</h1>{''.join(parts)}</main>"
    html = f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>'
    return Page(status, html.encode(), {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"})


def sent_to(url: str) -> Page:
    """A redirect after a POST."""
    return Page(303, b"", {"Location": url})


def words(text: str) -> str:
    """A paragraph."""
    return f"<p>{escape(text)}</p>"


def alert(text: str | None) -> str:
    """What went wrong, if anything did."""
    return f'<p role="alert">{escape(text)}</p>' if text else ""


def link(text: str, url: str) -> str:
    """A paragraph that is a link."""
    return f'<p><a href="{escape(url)}">{escape(text)}</a></p>'


def form(action: str, *parts: str) -> str:
    """A form that is posted."""
    return f'<form method="post" action="{escape(action)}">{"".join(parts)}</form>'


def entry(label: str, name: str, value: str = "", type: str = "text") -> str:
    """A field with its label."""
    return f'<label>{escape(label)} <input name="{name}" type="{type}" value="{escape(value)}"></label>'


def hidden(name: str, value: str) -> str:
    """A field that is sent along."""
    return f'<input type="hidden" name="{name}" value="{escape(value)}">'


def button(label: str, name: str = "", value: str = "") -> str:
    """A button, which may send a value of its own."""
    own = f' name="{name}" value="{escape(value)}"' if name else ""
    return f"<button{own}>{escape(label)}</button>"


def choice(label: str, name: str, options: list[tuple[str, str]]) -> str:
    """A list to choose from: (value, words)."""
    listed = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options)
    return f'<label>{escape(label)} <select name="{name}">{listed}</select></label>'


class Fields(dict[str, str]):
    """What a form sent. Asked for what it lacks, it raises ApiError."""

    def __missing__(self, name: str) -> str:
        raise ApiError(400, f"The form lacks {name}.")


def fields(body: str) -> Fields:
    """What a form sent."""
    return Fields({name: values[-1] for name, values in parse_qs(body, keep_blank_values=True).items()})


def not_found() -> Page:
    """There is no such page."""
    return shown("Not found", words("There is no such page, or its link is over."), status=404)


def refused(error: ApiError) -> Page:
    """What somebody did cannot be done."""
    return shown("That did not work", alert(str(error)), status=400)
