"""What every page shares: headers, cookies, languages, and the globals and filters of templates."""

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from flask import Flask, Request, Response, abort, current_app, g, make_response, request, session
from flask.sessions import SecureCookieSessionInterface
from flask_babel import format_date, format_time, get_domain, get_locale, ngettext, refresh
from flask_babel import gettext as _
from flask_login import current_user
from flask_wtf.csrf import generate_csrf
from markupsafe import Markup
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import Rule
from whitenoise import WhiteNoise

from courseapp import clock, storage
from courseapp.config import Settings
from courseapp.extensions import SAFE_METHODS
from courseapp.site import init_site, present_site

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_keeping = threading.Lock()
LARGEST_UPLOAD = 1_000_000_000  # bytes
LARGEST_LIST = 51_000_000  # bytes of a file of contacts with its form
LONGEST_FORM = 4_000_000  # bytes of a lesson's text with its form
FORM_MARK = "form-token-goes-here"
PAGES_KEPT = 128  # of some 20 KB each
STATIC = Path(__file__).parent / "static"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self'{media}",
        "connect-src 'self'",
        "frame-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'{forms}",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "object-src 'none'",
    )
)
STRIPE_PAGES = ("https://checkout.stripe.com", "https://billing.stripe.com")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), interest-cohort=()",
}

UNLESS_SAID = {
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",  # a shared or stolen device must not show what was learnt
}


def init_web(app: Flask, settings: Settings) -> None:
    """Bind headers, cookies, static files and template globals to the application."""
    secure = settings.is_https
    cookies = SecureCookieSessionInterface()
    cookies.digest_method = hashlib.sha256  # Flask's is SHA-1, and a Python function: with those hmac is slow
    cookies.get_signing_serializer = lru_cache(cookies.get_signing_serializer)  # type: ignore[method-assign]  # one signer, not one a page
    app.session_interface = cookies
    app.request_class = RoomyRequest
    app.url_rule_class = LateRule
    app.ensure_sync = _as_it_is  # type: ignore[method-assign]  # nothing here is async, and Flask would look at a dozen functions a request
    app.config.update(
        SESSION_COOKIE_NAME="__Host-session" if secure else "session",
        SESSION_COOKIE_SECURE=secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=365 * 24 * 3600,
        MAX_CONTENT_LENGTH=1024 * 1024,
        MAX_FORM_MEMORY_SIZE=256 * 1024,
    )
    always = HEADERS | ({"Strict-Transport-Security": "max-age=63072000; includeSubDomains"} if secure else {})
    app.extensions["pages"] = {}
    _refuse_foreign_posts(app)
    _refuse_odd_paths(app)

    _init_templates(app, settings)
    _say_language(app, settings)
    init_site(app)
    app.wsgi_app = WithHeaders(  # type: ignore[method-assign]  # as below
        app.wsgi_app, always, UNLESS_SAID | {"Content-Security-Policy": policy_of(app)}
    )
    app.wsgi_app = WhiteNoise(  # type: ignore[method-assign]  # Flask documents wrapping wsgi_app
        app.wsgi_app, root=STATIC, prefix="static/", max_age=365 * 24 * 3600, add_headers_function=_static_headers
    )
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]  # as above


def _as_it_is(func: Callable[..., Any]) -> Callable[..., Any]:
    return func


def policy_of(app: Flask) -> str:
    """What pages may load: from here alone; sound and film also from the bucket that holds them, where there is one.

    Where something is sold, forms lead on to Stripe: browsers hold the redirect behind a form against this policy too.
    """
    settings: Settings = app.config["SETTINGS"]
    with app.app_context():
        bucket = storage.origin()
    paying = [*STRIPE_PAGES, *filter(None, [settings.stripe_url])] if settings.has_billing else []
    return POLICY.format(media=f" {bucket}" if bucket else "", forms="".join(f" {place}" for place in paying))


class LateRule(Rule):
    """A route whose way to build its address is compiled when one is built: Werkzeug compiles two for each, 0.1 s of a start."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compiled = cache(lambda: super(LateRule, self)._compile_builder(append_unknown))

        def build(rule: Rule, /, **values: Any) -> tuple[str, str]:
            return compiled()(rule, **values)

        return build


class WithHeaders:
    """Adds what every answer says. As WSGI, for Werkzeug's headers look through all the others for each that is added.

    Args:
        always: headers that no page sets itself.
        unless_said: those that a page may set otherwise.
    """

    def __init__(self, inner: "WSGIApplication", always: Mapping[str, str], unless_said: Mapping[str, str]) -> None:
        self._inner = inner
        self._always = list(always.items())
        self._unless_said = [(name.lower(), (name, value)) for name, value in unless_said.items()]

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            said = {name.lower() for name, _value in headers}
            headers += self._always
            headers += [header for name, header in self._unless_said if name not in said]
            return start_response(status, headers, *error)

        return self._inner(environ, start)


class RoomyRequest(Request):
    """A request whose body may be large where files are sent by somebody who may send them; everywhere else it stays small."""

    @property
    def max_content_length(self) -> int | None:
        """Bytes the whole body may have."""
        role = current_app.config["LARGE_POSTS"].get(self.endpoint)
        if role and current_user.is_authenticated and current_user.has_role(role):
            return LARGEST_LIST if role == "marketer" else LARGEST_UPLOAD
        return LONGEST_FORM if self._is_long_text else super().max_content_length

    @max_content_length.setter
    def max_content_length(self, value: int | None) -> None:
        self._max_content_length = value

    @property
    def max_form_memory_size(self) -> int | None:
        """Bytes the fields of a form may have together."""
        return LONGEST_FORM if self._is_long_text else super().max_form_memory_size

    @max_form_memory_size.setter
    def max_form_memory_size(self, value: int | None) -> None:
        self._max_form_memory_size = value

    @property
    def _is_long_text(self) -> bool:
        """Whether somebody who may writes a lesson."""
        return self.endpoint in current_app.config["LONG_POSTS"] and current_user.is_authenticated and current_user.has_role("instructor")


def _refuse_foreign_posts(app: Flask) -> None:
    """A form sent from another site is refused, even with a token (Fetch Metadata, RFC 6454)."""

    @app.before_request
    def refuse() -> None:
        if request.method in SAFE_METHODS or request.endpoint in app.config["FOREIGN_POSTS"]:
            return
        origin = request.headers.get("Origin")
        is_foreign = origin is not None and urlsplit(origin).netloc != request.host
        if is_foreign or request.headers.get("Sec-Fetch-Site") == "cross-site":
            abort(400)


def _refuse_odd_paths(app: Flask) -> None:
    """No address of ours holds a NUL, and PostgreSQL would refuse it as text."""

    @app.before_request
    def refuse() -> None:
        if "\0" in request.path:
            abort(404)


def _say_language(app: Flask, settings: Settings) -> None:
    """Where a site has several languages, a page says which it is in, and by what that was chosen besides the session."""
    if len(settings.language_list) > 1:

        @app.after_request
        def say(answer: Response) -> Response:
            if answer.mimetype == "text/html":
                answer.headers["Content-Language"] = page_language()
                answer.vary.add("Accept-Language")
            return answer


def _static_headers(headers: dict[str, str], _path: str, _url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"


def _init_templates(app: Flask, settings: Settings) -> None:
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.globals.update(
        static_url=static_url,
        csrf_field=csrf_field,
        form_token=form_token,  # not csrf_token: flask-wtf puts its own under that name
        current_user=current_user,
        page_language=page_language,
        in_language=in_language,
        languages_to_choose=languages_to_choose,
        sells=settings.has_billing,
        is_play_money=settings.has_billing and not settings.is_live,
        now=clock.now,
    )
    app.jinja_env.newstyle_gettext = True  # type: ignore[attr-defined]  # what the i18n extension reads when it compiles {% trans %}
    app.jinja_env.globals.update(_=words_of, gettext=words_of, ngettext=count_words_of)
    app.jinja_env.filters.update(mailto=mail_link, unbroken=unbroken)
    app.jinja_env.filters.update(day=day_words, moment=moment_words, minutes=minutes_words, bytes=bytes_words)


def words_of(text: str, **facts: object) -> Markup:
    """A template's words in the language of the page, with `%(name)s` filled in and escaped."""
    words = Markup(_catalogue().ugettext(text))  # noqa: S704  # our own words, or our translators'
    return words % facts if facts else words.replace("%%", "%")


def count_words_of(one: str, many: str, num: int, **facts: object) -> Markup:
    """A template's words for a number, which they may name as `%(num)s`."""
    return Markup(_catalogue().ungettext(one, many, num)) % {"num": num, **facts}  # noqa: S704  # as above


def _catalogue() -> Any:
    """The catalogue of the present language, found once a page: Flask-Babel and Jinja would look it up anew for every word.

    `force_locale` (mails, imports) puts another locale where Flask-Babel keeps it, and that is noticed.
    """
    held = vars(g._get_current_object())
    locale = getattr(held.get("_flask_babel"), "babel_locale", None)
    kept = held.get("catalogue")
    if kept is None or locale is None or kept[0] is not locale:
        kept = held["catalogue"] = (get_locale(), get_domain().get_translations())
    return kept[1]


@lru_cache(maxsize=64)
def static_url(name: str) -> str:
    """The address of a static file, with its content's hash, so that browsers may keep it for a year."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?v={digest}"


def page_language() -> str:
    """The language of the words on this page, as HTML names it (BCP 47)."""
    return str(get_locale() or "en").replace("_", "-")


def in_language(tag: str) -> Markup:
    """The attribute of what is written in a language of its own, such as a course; nothing where that is the page's (WCAG 3.1.2)."""
    return Markup(' lang="{}"').format(tag) if tag and tag != page_language() else Markup("")


def languages_to_choose() -> dict[str, str]:
    """What the languages of the site call themselves, by tag, for a page that may be read in each.

    None where there is one alone, on pages for staff, and in answers to a form: what was typed in it would be lost.
    """
    names: dict[str, str] = current_app.extensions["language_names"]
    is_read = request.method in {"GET", "HEAD"} and request.endpoint is not None
    return names if is_read and "is_for_staff" not in g else {}


def keep_to_english() -> None:
    """Have the rest of this request speak English, whatever its reader chose: what staff alone see stands in no catalogue."""
    g.is_for_staff = True  # which the choice of the locale heeds
    refresh()


def csrf_field() -> Markup:
    """The hidden input every POST form carries."""
    return Markup('<input type="hidden" name="csrf_token" value="{}">').format(form_token())


def form_token() -> str:
    """This session's token; or, while a page is rendered to be kept, the mark it is put in for."""
    return str(g.get("form_token") or generate_csrf())


def day_words(value: date | datetime | None) -> str:
    """A date in words; empty for none."""
    return format_date(value, "long") if value else ""


def moment_words(value: datetime | None) -> str:
    """A date and time in the reader's zone; empty for none."""
    return f"{format_date(value, 'medium')}, {format_time(value, 'short')}" if value else ""


def minutes_words(minutes: int) -> str:
    """A length in words: exact for one lesson, rounded to five for many."""
    if minutes <= 10:
        return str(ngettext("about %(num)s minute", "about %(num)s minutes", minutes))
    if minutes < 90:
        return str(_("about %(count)s minutes", count=5 * round(minutes / 5)))
    hours, rest = divmod(15 * round(minutes / 15), 60)
    if not rest:
        return str(ngettext("about %(num)s hour", "about %(num)s hours", hours))
    return str(_("about %(hours)s h %(minutes)s min", hours=hours, minutes=rest))


def unbroken(words: str) -> Markup:
    """Words that stay on one line where a line holds them: an address would be broken at its dots."""
    return Markup('<span class="unbroken">{}</span>').format(words)


def mail_link(address: str) -> str:
    """An address as the target of a link; what it holds can add no recipient and no words of its own (RFC 6068, 2)."""
    return f"mailto:{quote(address, safe='@')}"


def bytes_words(size: int) -> str:
    """A file size in words."""
    if size < 1_000_000:
        return f"{max(1, round(size / 1000))} KB"
    if size >= 1_000_000_000:
        return f"{size / 1_000_000_000:g} GB"
    return f"{size / 1_000_000:.1f} MB"


def kept_page(key: tuple[object, ...], render: Callable[[], str]) -> Response:
    """A page rendered once and then kept in memory, but for its form token, which is each session's own.

    Args:
        key: everything that `render` shows. The language, the address, the version of the site's settings and what else the frame
            of every page depends on (is this a guest, which roles) are added here. What tells two people's pages apart must be in it, or
            one would see the other's.
        render: makes the page of the key; asked once, and again after `PAGES_KEPT` other pages.
    """
    if "_flashes" in session:  # it is to say something once, to this person
        return make_response(render())
    who = (current_user.is_guest, current_user.roles) if current_user.is_authenticated else None
    pages: dict[tuple[object, ...], list[bytes]] = current_app.extensions["pages"]
    whole = (*key, str(get_locale()), request.path, present_site().version, who)
    kept = pages.get(whole)
    if kept is None:
        g.pop("csrf_token", None)  # where flask-wtf notes the token it has made
        g.form_token = FORM_MARK
        kept = [part.encode() for part in without_indents(render()).split(FORM_MARK)]
        del g.form_token
        if "csrf_token" in g:
            raise RuntimeError(f"The page {key[0]} shows its reader's own form token; use form_token() or csrf_field().")
        with _keeping:
            pages[whole] = kept
            if len(pages) > PAGES_KEPT:
                del pages[next(iter(pages))]  # the one kept longest
    return make_response(generate_csrf().encode().join(kept))


def without_indents(page: str) -> str:
    """A page without the indents of its templates, an eighth of what would be sent; as it is where white space may count."""
    return page if "<pre" in page or "<textarea" in page else re.sub(r"\n\s+", "\n", page)
