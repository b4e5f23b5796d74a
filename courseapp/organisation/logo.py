"""The owner's logo: an SVG that only draws, or a PNG with nothing but its picture in it."""

import hashlib
import struct
import zlib

from flask_babel import gettext as _

from courseapp import storage
from courseapp.errors import Refusal

LARGEST = 300_000  # bytes
WIDEST = 4000  # pixels
HEIGHT = 28  # pixels, in the head of the page
MEDIA = {"svg": "image/svg+xml", "png": "image/png"}
PNG = b"\x89PNG\r\n\x1a\n"
PICTURE = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"pHYs"}


def keep_logo(content: bytes) -> dict[str, str]:
    """Store a logo; the settings that name it. Raises Refusal (400) in words."""
    if len(content) > LARGEST:
        raise Refusal(_("This picture is larger than 300 KB. Please make it smaller."), 400)
    suffix = "png" if content.startswith(PNG) else "svg"
    content, width, height = _png(content) if suffix == "png" else _svg(content)
    key = f"site/logo-{hashlib.sha256(content).hexdigest()[:32]}.{suffix}"
    storage.keep(key, content)
    shown = max(1, min(round(HEIGHT * width / height), 8 * HEIGHT))
    return {"logo": key, "logo_size": f"{shown}x{HEIGHT}"}


def media_type_of(key: str) -> str:
    """What kind of picture a stored logo is."""
    return MEDIA[key.rpartition(".")[2]]


def _svg(content: bytes) -> tuple[bytes, int, int]:
    from courseapp.authoring.drawings import clean_svg  # what knows files is large, and a logo is sent once
    from courseapp.authoring.report import Report

    found = clean_svg(content, "logo.svg", Report())
    if found is None:
        raise Refusal(
            _("This is neither a PNG nor a plain SVG drawing. An SVG may hold no scripts, links, embedded pictures or document type."), 400
        )
    content, width, height = found[0], found[1] or 0, found[2] or 0
    if width <= 0 or height <= 0:
        raise Refusal(_("This drawing does not say how large it is. Save it with a viewBox."), 400)
    return content, width, height


def _png(content: bytes) -> tuple[bytes, int, int]:
    """The picture of a PNG alone: words, dates, places and whatever hangs behind its end are left out (PNG, 5.3: chunks)."""
    broken = Refusal(_("This picture is damaged. Please save it again as PNG."), 400)
    kept, at, kind = [PNG], len(PNG), b""
    while kind != b"IEND":
        head = content[at : at + 8]
        if len(head) < 8:
            raise broken
        length, kind = struct.unpack(">I4s", head)
        data, check = content[at + 8 : at + 8 + length], content[at + 8 + length : at + 12 + length]
        if len(check) < 4 or zlib.crc32(kind + data) != int.from_bytes(check, "big"):
            raise broken
        if kind in PICTURE:
            kept.append(head + data + check)
        at += 12 + length
    if kept[1][4:8] != b"IHDR" or len(kept[1]) != 25:
        raise broken
    width, height = struct.unpack(">II", kept[1][8:16])
    if not 0 < width <= WIDEST or not 0 < height <= WIDEST:
        raise Refusal(_("This picture is wider or higher than 4000 pixels. Please make it smaller."), 400)
    return b"".join(kept), width, height
