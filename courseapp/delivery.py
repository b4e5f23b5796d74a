"""A stored file as an answer: streamed by us, whole or the range that was asked for (RFC 9110, 13 and 14), or a way to the bucket.

Memory does not grow with the file: a folder's file goes from disk to socket in the kernel where the server can do that, and
anything else a block at a time.
"""

import re
from collections.abc import Mapping
from typing import IO

from flask import Response, abort, request
from werkzeug.http import dump_options_header
from werkzeug.wsgi import FileWrapper

from courseapp import storage

BLOCK = 64 * 1024
AT_ONCE = 2 * 1024 * 1024
"""Bytes at most of a range without an end, `bytes=N-`, which players ask for (RFC 9110, 15.3.7 allows less than asked for): a paused
film must not hold one of a few threads for as long as somebody has lunch. The player asks for the next ones when it needs them."""

PLAYED = ("audio/", "video/")
LINK_SECONDS = 300
SLOWEST = 16_000
"""Bytes a second of the slowest sound worth hearing. Browsers go on with the address they were led to, so it must open for as long as
playing takes; a film of 10 MB gets ten minutes more. Longer than `LONGEST` nothing opens: who paused for so long loads the page anew."""
LONGEST = 7200

_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,30})-([0-9]{0,30})[ \t]*", re.IGNORECASE)


def send_stored(key: str, media_type: str, name: str, inline: bool = False, tag: str | None = None, **headers: str) -> Response:
    """A stored file as an answer, streamed; 404 where it is not there.

    Args:
        key: what `storage` knows it by.
        media_type: as the browser is told; what the file really is was looked at when it came.
        name: under which it is offered unless `inline` (RFC 6266).
        tag: tells contents apart, such as their hash. With it browsers need not fetch twice what they have, nor mix two contents.
        headers: more of them, which may replace our own.
    """
    try:
        size = storage.size_of(key)
    except FileNotFoundError:
        abort(404)
    answer = Response(mimetype=media_type, direct_passthrough=True)
    answer.content_length = size
    answer.headers["Content-Disposition"] = disposition_of(name, inline)
    answer.headers["Cache-Control"] = "private, no-cache"
    answer.headers["Accept-Ranges"] = "bytes"
    answer.headers.update(headers)
    if tag is not None:
        answer.set_etag(tag)
        answer.make_conditional(request)
        if answer.status_code != 200:  # they have it (304), or had another (412)
            del answer.headers["Content-Length"]
            return answer
    part = wanted_part(size, tag)
    if part is None:
        return _with_body(answer, key, 0, size)
    first, last = part
    if first > last:
        answer.status_code, answer.content_length = 416, 0
        answer.headers["Content-Range"] = f"bytes */{size}"
        return answer
    answer.status_code, answer.content_length = 206, last - first + 1
    answer.headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return _with_body(answer, key, first, last - first + 1)


def send_media(key: str, size: int, media_type: str, name: str, tag: str, **headers: str) -> Response:
    """A lesson's file of `size` bytes as an answer: by ourselves, or for film and sound in a bucket by a redirect that soon expires.

    Whoever has that address may fetch the file until then, so ask the gate first. Decision 0008 says why the rest is streamed
    also where there is a bucket.
    """
    is_played = media_type.startswith(PLAYED)
    seconds = min(LINK_SECONDS + size // SLOWEST, LONGEST)
    address = storage.link_to(key, seconds, media_type, disposition_of(name, inline=True)) if is_played else None
    if address is None:
        return send_stored(key, media_type, name, inline=True, tag=tag, **headers)
    answer = Response(status=302, headers={"Location": address, "Cache-Control": "no-store"})
    answer.autocorrect_location_header = False  # not ours to touch: it is signed
    return answer


def send_beside(
    key: str, media_type: str, path: str, suffix: str, digest: str, size: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """A file that lies beside lessons as an answer, for whoever the gate has let through.

    404 where it is not there, or where `suffix`, as it was asked for, is not that of its `path`. Addresses have small letters
    whatever the file's name has: telephones call pictures IMG_1.JPG.

    It may style itself, as drawings do, and do nothing else. A paper is saved, under a name that tells nothing on a shared device.
    """
    if not path.lower().endswith(f".{suffix}"):
        abort(404)
    more = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox", **(headers or {})}
    tag = digest[:32]
    if media_type == "application/pdf":
        return send_stored(key, media_type, "worksheet.pdf", False, tag, **more)
    if size is None:
        try:
            size = storage.size_of(key)
        except FileNotFoundError:
            abort(404)
    return send_media(key, size, media_type, f"file.{suffix}", tag, **more)


def disposition_of(name: str, inline: bool) -> str:
    """The Content-Disposition under which a file is shown or offered (RFC 6266)."""
    return dump_options_header("inline" if inline else "attachment", {"filename": name})


def wanted_part(size: int, tag: str | None) -> tuple[int, int] | None:
    """The first and last byte that the present request wants of so many; None: all; the first after the last: there are none such.

    Several ranges at once are answered with all: nobody who plays or prints asks for them, and who does may ask for little in
    a costly way (RFC 9110, 14.2 and 17.15).
    """
    found = _RANGE.fullmatch(request.headers.get("Range", "")) if request.method == "GET" else None
    if found is None or not any(found.groups()):
        return None
    condition = request.headers.get("If-Range")
    if condition is not None and (tag is None or condition.strip() != f'"{tag}"'):
        return None  # what they have the other part of is not what is here now
    first, last = found.groups()
    if not first:
        count = min(int(last), size)
        return size - count, size - 1
    if last and int(last) < int(first):
        return None  # no valid range, and so as if none were there
    end = int(last) if last else int(first) + AT_ONCE - 1
    return min(int(first), size), min(end, size - 1)


def _with_body(answer: Response, key: str, start: int, length: int) -> Response:
    if request.method == "HEAD" or not length:
        return answer
    try:
        file = storage.open_stored(key, start, length)
    except FileNotFoundError:  # removed since we asked for its size
        abort(404)
    wrapper = request.environ.get("wsgi.file_wrapper", FileWrapper)
    answer.response = wrapper(_Part(file, length), BLOCK)
    return answer


class _Part:
    """An open file that ends after so many bytes."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file, self._left = file, length

    def read(self, size: int = -1) -> bytes:
        """The next bytes; raises OSError where the file ends too early, so that nobody takes half a file for a whole one."""
        wanted = self._left if size < 0 else min(size, self._left)
        piece = self._file.read(wanted)
        if wanted and not piece:
            raise OSError("a stored file is shorter than it was")
        self._left -= len(piece)
        return piece

    def fileno(self) -> int:
        """The file as the kernel knows it, standing at the part's first byte; raises OSError where it is none. The server counts."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
