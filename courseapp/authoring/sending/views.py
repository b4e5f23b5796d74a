"""Files sent piece by piece: the tus protocol 1.0.0 (https://tus.io/protocols/resumable-upload), with creation, expiration, checksum and
termination. Spoken by the upload page's own script, and by any program that sends its session and the form's token along.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from contextlib import suppress

from flask import Blueprint, Response, abort, flash, redirect, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import ClientDisconnected
from werkzeug.http import http_date
from werkzeug.wrappers import Response as AnyResponse

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.authoring import parts
from courseapp.authoring.models import UploadPart
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.web import LARGEST_UPLOAD

VERSION = "1.0.0"
PIECE = "application/offset+octet-stream"
PATIENCE = 30.0  # seconds without a byte, after which a line counts as broken; until then it holds a thread, and the part
MOST_PASSED_OVER = 8_000_000  # bytes of a refused piece; one of our page has five
WORDLESS = {412: "Precondition Failed", 423: "Locked", 460: "Checksum Mismatch", 507: "Insufficient Storage"}

pages = Blueprint("parts", __name__)
pages.before_request(need_role(Role.INSTRUCTOR))


@pages.before_request
def check_version() -> Response | None:
    """Whoever speaks another version is told which is spoken here. A form of the page speaks none."""
    is_form = request.method == "POST" and request.endpoint == "parts.act" and "X-HTTP-Method-Override" not in request.headers
    if request.method == "OPTIONS" or is_form or request.headers.get("Tus-Resumable") == VERSION:
        return None
    return in_words(412, _("This is not the version of tus that is spoken here."), {"Tus-Version": VERSION})


@pages.after_request
def name_version(answer: Response) -> Response:
    """Every answer says the version."""
    answer.headers["Tus-Resumable"] = VERSION
    return answer


@pages.errorhandler(Refusal)
def refused(refusal: Refusal) -> Response:
    """A refusal in plain words, which the page's script shows."""
    db.session.rollback()
    return in_words(refusal.status, refusal.words)


@pages.errorhandler(CSRFError)
def forged(_error: CSRFError) -> Response:
    """The form's token is another session's."""
    return in_words(400, _("You have signed in anew since. Load this page again and choose the same files: they go on where they stopped."))


def in_words(status: int, words: str, headers: dict[str, str] | None = None) -> Response:
    """An answer of one sentence, in place of what was asked for."""
    if current_user.is_authenticated and current_user.has_role(Role.INSTRUCTOR):  # nobody else may hold a thread with what they send
        pass_over()
    line = f"{status} {WORDLESS[status]}" if status in WORDLESS else status
    return Response(f"{words}\n", line, headers, mimetype="text/plain")


def pass_over() -> None:
    """Take in what is left of a piece that is refused: a line that is closed over it is cut, and the refusal never heard."""
    left = MOST_PASSED_OVER
    for block in arriving():
        left -= len(block)
        if left <= 0:
            break


def arriving() -> Iterator[bytes]:
    """The request's body, block by block, until it ends, or its line breaks or stands still (then without the block that was begun)."""
    line = request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")
    if line is not None:
        line.settimeout(PATIENCE)
    try:
        while block := request.stream.read(parts.BLOCK):
            yield block
    except (OSError, ClientDisconnected):
        return


@pages.route("/staff/uploads/parts", methods=["OPTIONS"], provide_automatic_options=False)
@pages.route("/staff/uploads/parts/<id>", methods=["OPTIONS"], provide_automatic_options=False)
def show_abilities(id: str | None = None) -> Response:
    """What is understood here."""
    abilities = {
        "Tus-Version": VERSION,
        "Tus-Extension": "creation,expiration,checksum,termination",
        "Tus-Max-Size": str(LARGEST_UPLOAD),
        "Tus-Checksum-Algorithm": ",".join(parts.ALGORITHMS),
    }
    return Response(status=204, headers=abilities)


@pages.post("/staff/uploads/parts")
def begin() -> Response:
    """Begin a file (tus: creation)."""
    size, told = number_in("Upload-Length"), request.headers.get("Upload-Metadata", "")
    part = parts.begin(person_id(), size, told, clock.now())
    facts = {"Location": url_for("parts.act", id=part.public_id), "Upload-Expires": http_date(part.expires_at)}
    db.session.commit()
    return Response(status=201, headers=facts)


@pages.route("/staff/uploads/parts/<id>", methods=["HEAD"], provide_automatic_options=False)
def state(id: str) -> Response:
    """How much of a file is here."""
    part = own_part(id)
    return told(200, part, parts.received(part), {"Upload-Length": str(part.size), "Upload-Metadata": part.told})


@pages.patch("/staff/uploads/parts/<id>")
def add(id: str) -> Response:
    """Add a piece to a file."""
    part = own_part(id)
    if request.mimetype != PIECE:
        raise Refusal(_("A piece of a file has to say that it is one."), 415)
    offset, checksum = number_in("Upload-Offset"), checksum_of(request.headers.get("Upload-Checksum"))
    return told(204, part, parts.append(part, arriving(), offset, request.content_length, checksum))


@pages.delete("/staff/uploads/parts/<id>")
def remove(id: str) -> Response:
    """Throw a file away (tus: termination)."""
    parts.remove(own_part(id))
    db.session.commit()
    return Response(status=204)


@pages.post("/staff/uploads/parts/<id>")
def act(id: str) -> AnyResponse:
    """The same for whoever can only POST: a program by the header X-HTTP-Method-Override, as the protocol has it; a form of the page,
    which throws the file away.
    """
    if (method := request.headers.get("X-HTTP-Method-Override")) is not None:
        known: dict[str, Callable[[str], Response]] = {"HEAD": state, "PATCH": add, "DELETE": remove}
        return known[method](id) if method in known else abort(405)
    part = parts.own_part(person_id(), id, clock.now()) or abort(404)
    parts.remove(part)
    db.session.commit()
    flash(_("What was sent of “%(name)s” is thrown away.", name=part.name), "success")
    return redirect(url_for("authoring.list_uploads"), 303)


def person_id() -> int:
    """The id of who asks."""
    return int(current_user.id)


def own_part(id: str) -> UploadPart:
    """The part of an address, or 404, with no transaction open: pieces take their time to arrive, and SQLite has one writer."""
    part = parts.own_part(person_id(), id, clock.now())
    db.session.commit()
    return part or abort(404)


def told(status: int, part: UploadPart, offset: int, more: dict[str, str] | None = None) -> Response:
    """An answer that says how much is here, and until when it is kept."""
    facts = {"Upload-Offset": str(offset), "Upload-Expires": http_date(part.expires_at), "Cache-Control": "no-store"}
    return Response(status=status, headers=facts | (more or {}))


def number_in(header: str) -> int:
    """The number in a header; raises Refusal (400)."""
    given = request.headers.get(header, "")
    if not re.fullmatch(r"[0-9]{1,15}", given):
        raise Refusal(_("The header %(name)s is missing, or is no number.", name=header), 400)
    return int(given)


def checksum_of(given: str | None) -> parts.Checksum | None:
    """What an Upload-Checksum header asks for; raises Refusal (400)."""
    if given is None:
        return None
    algorithm, _space, encoded = given.partition(" ")
    with suppress(binascii.Error):
        digest = base64.b64decode(encoded, validate=True)
        if len(digest) == parts.ALGORITHMS.get(algorithm):
            return parts.Checksum(algorithm, digest)
    raise Refusal(_("The checksum is of a kind that is not known here, or is not written as it should be."), 400)
