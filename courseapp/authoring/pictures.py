"""Photographs and other pictures made of points: decoded and written anew, so that nothing but the points remains.

What a camera notes beside them (where, when, whose telephone), thumbnails of what was cut away, profiles and whatever hangs
behind the picture is gone: a fresh image holds points alone. Each becomes one file in a format every browser and the printed
copy know, at most 1600 points wide, and WebP in the widths that telephones ask for.
"""

import contextlib
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from courseapp.authoring.report import Unfit

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

from courseapp.authoring.pieces import Made

RECIPE = "picture-1"  # raise it when the same file would become something else, and the next import makes it anew
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".gif": "GIF"}
WIDTHS = (480, 960, 1600)  # a small telephone; a large one, or a page at twice the points; the most the text's column can use
TALLEST = 4800
MOST_PIXELS = 24_000_000  # decoded whole, four bytes each
MOST_PIXELS_JPEG = 64_000_000  # decoded at a half, a quarter or an eighth where it is not progressive
QUALITY = 82
FEW_COLOURS = 256  # a drawing or a screenshot: WebP without loss is smaller then, and sharp


def prepare_picture(location: Path, suffix: str, folder: Path) -> list[Made]:
    """The files a picture is served as, written to `folder`: the picture itself, then WebP by width. Raises Unfit, in words."""
    from PIL import Image  # the web process never needs it, and it takes a tenth of a second

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(location, formats=[FORMATS[suffix]]) as opened:
                _refuse_unfit(opened)
                picture = _points_of(opened)
    except Unfit:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many() from error
    except Exception as error:  # decoders raise whatever they stumble over in a broken file
        words = "The picture is damaged or cut off, or is no picture at all."
        raise Unfit("picture_broken", words, "Open it in a picture program and save it again.") from error
    return _written(picture, suffix, folder)


def _refuse_unfit(picture: "Picture") -> None:
    is_progressive = bool(picture.info.get("progressive"))
    most = MOST_PIXELS_JPEG if picture.format in {"JPEG", "MPO"} and not is_progressive else MOST_PIXELS
    if picture.width * picture.height > most:
        raise _too_many()
    if picture.format != "MPO" and getattr(picture, "is_animated", False):  # MPO: a telephone's photograph with a second one behind it
        # WCAG 2.2, 2.2.2: what moves by itself must be possible to pause, and no browser lets one pause a picture
        mend = "Save it as an MP4 film, which can be paused, or as a picture that stands still."
        raise Unfit("picture_moves", "The picture moves, and nobody could make it stop.", mend)


def _too_many() -> Unfit:
    words = f"The picture has more than {MOST_PIXELS // 1_000_000} million points."
    return Unfit("picture_too_large", words, f"Save it smaller: {WIDTHS[-1]} points wide is the most that is shown.")


def _points_of(picture: "Picture") -> "Picture":
    """The picture upright, in plain colours, no larger than it is shown, and with nothing beside its points."""
    from PIL import Image, ImageOps

    profile, is_turned = picture.info.get("icc_profile"), _is_turned(picture)
    most = (TALLEST, WIDTHS[-1]) if is_turned else (WIDTHS[-1], TALLEST)
    if picture.format in {"JPEG", "MPO"}:
        picture.draft(None, _fitted(picture.size, most))
        picture.load()
    plain = _eight_bits(picture)
    plain.thumbnail(most, reducing_gap=3.0)
    plain = _in_srgb(plain, profile)
    plain.info = {name: value for name, value in picture.info.items() if name == "exif"}
    with contextlib.suppress(Exception):  # what a camera noted is broken: the picture is shown as it lies
        plain = ImageOps.exif_transpose(plain)
    bare = Image.new(plain.mode, plain.size)
    bare.paste(plain)
    return bare


def _is_turned(picture: "Picture") -> bool:
    """Whether width and height change places when the picture is put upright."""
    try:
        return picture.getexif().get(0x0112, 1) in {5, 6, 7, 8}  # Orientation (EXIF 2.3, 4.6.4)
    except Exception:  # as above
        return False


def _fitted(size: tuple[int, int], most: tuple[int, int]) -> tuple[int, int]:
    """The size that fits into `most`; draft() decodes at the least scale that is not smaller."""
    scale = min(1.0, most[0] / size[0], most[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _eight_bits(picture: "Picture") -> "Picture":
    """The picture in one of L, LA, RGB, RGBA, CMYK."""
    if picture.mode in {"I;16", "I;16B", "I;16L", "I;16N", "I", "F"}:
        return picture.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    has_alpha = picture.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in picture.info
    if has_alpha:
        return picture.convert("RGBA")
    if picture.mode in {"1", "L"}:
        return picture.convert("L")
    return picture.copy() if picture.mode == "CMYK" else picture.convert("RGB")


def _in_srgb(picture: "Picture", profile: bytes | None) -> "Picture":
    """The picture's colours as the web means them; without a profile they are taken to be meant so."""
    from PIL import ImageCms

    plain = picture.convert("RGB") if picture.mode == "CMYK" else picture
    if not profile or picture.mode in {"L", "LA"}:
        return plain
    try:
        source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        if picture.mode == "RGBA":
            colours = ImageCms.profileToProfile(picture.convert("RGB"), source, target)
            if colours is not None:
                colours.putalpha(picture.getchannel("A"))
            return colours or plain
        return ImageCms.profileToProfile(picture, source, target, outputMode="RGB") or plain
    except (ImageCms.PyCMSError, OSError, ValueError):  # a broken profile: the colours as they stand
        return plain


def _written(picture: "Picture", suffix: str, folder: Path) -> list[Made]:
    has_alpha = picture.mode == "RGBA" and picture.getchannel("A").getextrema()[0] != 255
    if picture.mode == "RGBA" and not has_alpha:
        picture = picture.convert("RGB")
    if suffix in {".jpg", ".jpeg"} or (suffix == ".webp" and not has_alpha):
        whole = Made("", "image/jpeg", folder / "whole.jpg", *picture.size)
        picture.save(whole.location, "JPEG", quality=QUALITY + 3, optimize=True, progressive=True)
    else:
        whole = Made("", "image/png", folder / "whole.png", *picture.size)
        picture.save(whole.location, "PNG")
    # the whole has few colours or none has; a JPEG always has many
    lossless = suffix in {".png", ".gif"} and picture.getcolors(FEW_COLOURS) is not None
    smaller = []
    for width in [*(width for width in WIDTHS if width < picture.width), picture.width]:
        height = max(1, round(picture.height * width / picture.width))
        made = Made(f"{width}.webp", "image/webp", folder / f"{width}.webp", width, height)
        scaled = picture if width == picture.width else picture.resize((width, height), reducing_gap=3.0)
        scaled.save(made.location, "WEBP", quality=QUALITY, lossless=lossless, method=4)
        smaller.append(made)
    is_worth_it = smaller[-1].location.stat().st_size < whole.location.stat().st_size
    return [whole, *smaller] if is_worth_it else [whole]
