"""Pictures come out upright, in the web's colours, in the sizes that are shown, and with nothing in them but points."""

import contextlib
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from courseapp.authoring import pictures
from courseapp.authoring.pictures import WIDTHS, prepare_picture
from courseapp.authoring.report import Unfit
from tests.authoring.folders import chunk

SECRETS = (b"Maria", b"Telephone", b"location", b"Exif", b"iCCP", b"ICC_PROFILE", b"http://", b"PK\x03\x04")


def photograph(width: int = 2000, height: int = 1500, mode: str = "RGB") -> Image.Image:
    """A picture with a red corner at its upper left, and many colours."""
    image = Image.linear_gradient("L").resize((width, height)).convert(mode)
    if mode == "RGB":
        image.paste((255, 0, 0), (0, 0, width // 4, height // 4))
    return image


def saved(folder: Path, name: str, image: Image.Image, **how: Any) -> Path:
    """A picture as a file."""
    image.save(folder / name, **how)
    return folder / name


def prepared(location: Path) -> dict[str, Image.Image]:
    """What a file became: its pieces by name, opened."""
    place = location.with_suffix(".pieces")
    place.mkdir()
    found = {}
    for made in prepare_picture(location, location.suffix, place):
        with Image.open(io.BytesIO(made.location.read_bytes())) as image:
            image.load()
        assert image.size == (made.width, made.height)
        assert made.media_type == Image.MIME[image.format or ""]
        found[made.part] = image
    return found


def noted() -> Image.Exif:
    """What a telephone notes: who, what, where, and that it was held upright."""
    notes = Image.Exif()
    notes[0x0112], notes[0x010F], notes[0x9286], notes[0x013B] = 6, "Telephone", "by Maria", "Maria"
    notes.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 12.0), 3: "E", 4: (11.0, 34.0, 30.0)})
    return notes


def test_a_photograph_loses_what_the_telephone_noted_and_stands_upright(tmp_path: Path) -> None:
    location = saved(tmp_path, "a.jpg", photograph(), exif=noted(), comment=b"Maria", quality=90)
    assert b"Maria" in location.read_bytes()
    pieces = prepared(location)
    assert {name: image.size for name, image in pieces.items()} == {
        "": (1500, 2000),
        "480.webp": (480, 640),
        "960.webp": (960, 1280),
        "1500.webp": (1500, 2000),
    }
    for image in pieces.values():
        red, green, _blue = image.convert("RGB").getpixel((image.width - 20, 20))  # the corner that was left is right, once turned
        assert red > 200
        assert green < 60
        assert not image.getexif()
        assert not {"exif", "icc_profile", "comment", "xmp"} & set(image.info)


def test_nothing_hidden_in_a_file_is_in_what_is_served(tmp_path: Path) -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Author", "Maria")
    notes.add_itxt("XML:com.adobe.xmp", "<x location='Telephone'/>")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = photograph(600, 400)
    files = [
        saved(tmp_path, "a.png", image, pnginfo=notes, exif=noted(), icc_profile=profile),
        saved(tmp_path, "b.jpg", image, exif=noted(), icc_profile=profile, comment=b"Maria"),
        saved(tmp_path, "c.webp", image, exif=noted(), icc_profile=profile, xmp=b"<x>Maria http://</x>"),
        saved(tmp_path, "d.gif", image, comment=b"Maria"),
    ]
    for location in files:
        location.write_bytes(location.read_bytes() + b"PK\x03\x04Maria<script>alert(1)</script>")
        place = location.with_suffix(".pieces")
        place.mkdir()
        for made in prepare_picture(location, location.suffix, place):
            content = made.location.read_bytes()
            assert not [secret for secret in (*SECRETS, b"<script") if secret in content], (location.name, made.part)


def test_a_picture_is_shown_no_larger_than_it_is(tmp_path: Path) -> None:
    assert list(prepared(saved(tmp_path, "a.jpg", photograph(300, 200), quality=95))) == ["", "300.webp"]
    assert list(prepared(saved(tmp_path, "b.jpg", photograph(4000, 200), quality=95))) == ["", *(f"{width}.webp" for width in WIDTHS)]


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.gif"])
def test_what_is_transparent_stays_so(tmp_path: Path, name: str) -> None:
    image = Image.new("RGBA", (700, 400), (0, 0, 0, 0))
    image.paste((0, 90, 200, 255), (0, 0, 350, 400))
    for piece in prepared(saved(tmp_path, name, image)).values():
        whole = piece.convert("RGBA")
        assert whole.getpixel((whole.width - 3, 3))[3] == 0
        assert whole.getpixel((3, 3))[3] == 255


def test_a_drawing_of_few_colours_stays_sharp(tmp_path: Path) -> None:
    image = Image.new("RGB", (400, 300), "white")
    image.paste("navy", (10, 10, 60, 60))
    pieces = prepared(saved(tmp_path, "a.png", image))
    assert pieces["400.webp"].convert("RGB").tobytes() == image.tobytes()


def test_colours_of_print_and_of_cameras_become_those_of_the_web(tmp_path: Path) -> None:
    printed = Image.new("CMYK", (50, 50), (0, 255, 255, 0))
    assert prepared(saved(tmp_path, "a.jpg", printed))[""].mode == "RGB"
    red, green, blue = prepared(saved(tmp_path, "b.jpg", printed))[""].getpixel((9, 9))
    assert (red > 200, green < 60, blue < 60) == (True, True, True)
    swapped = _profile_with_red_and_green_swapped()
    found = prepared(saved(tmp_path, "c.png", Image.new("RGB", (20, 20), (250, 10, 10)), icc_profile=swapped))[""]
    red, green, _blue = found.getpixel((9, 9))
    assert green > red, "the profile was thrown away without being heeded"


def _profile_with_red_and_green_swapped() -> bytes:
    """sRGB with the tags of its first two primaries exchanged (ICC.1:2022, 7.3)."""
    content = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return content.replace(b"rXYZ", b"tmp_", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"tmp_", b"gXYZ", 1)


def test_a_broken_profile_is_no_reason_to_refuse_a_picture(tmp_path: Path) -> None:
    assert prepared(saved(tmp_path, "a.jpg", photograph(60, 40), icc_profile=b"nonsense"))[""].size == (60, 40)


def test_sixteen_bits_become_eight_without_losing_the_light(tmp_path: Path) -> None:
    grey = Image.new("I;16", (40, 40), 0x8000)
    assert abs(prepared(saved(tmp_path, "a.png", grey))[""].getpixel((5, 5)) - 0x7F) <= 2
    wide = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
    wide += chunk(b"IDAT", zlib.compress(b"\0" + struct.pack(">6H", 0xFFFF, 0x8000, 0, 0, 0, 0xFFFF))) + chunk(b"IEND", b"")
    (tmp_path / "b.png").write_bytes(wide)
    assert prepared(tmp_path / "b.png")[""].getpixel((0, 0)) == (255, 128, 0)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_a_picture_that_moves_is_refused_with_a_way_out(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (30, 30), colour) for colour in ("red", "blue", "green")]
    location = saved(tmp_path, name, frames[0], save_all=True, append_images=frames[1:], duration=100)
    with pytest.raises(Unfit) as refused:
        prepare_picture(location, location.suffix, tmp_path)
    assert refused.value.code == "picture_moves"
    assert "film" in refused.value.mend


def test_of_two_photographs_in_one_file_the_first_is_taken(tmp_path: Path) -> None:
    location = saved(tmp_path, "a.jpg", photograph(90, 60), format="MPO", save_all=True, append_images=[Image.new("RGB", (9, 9))])
    assert prepared(location)[""].size == (90, 60)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that says it has so many points; its rows are there."""
    rows = zlib.compress(bytes((min(width, 20_000) // 8 + 1) * min(height, 2000)), 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(6000, 6000), (20_000, 20_000), (2**31 - 1, 2**31 - 1), (1, 2**30)])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "a.png").write_bytes(bomb(*size))
    with pytest.raises(Unfit) as refused:
        prepare_picture(tmp_path / "a.png", ".png", tmp_path)
    assert refused.value.code in {"picture_too_large", "picture_broken"}
    assert refused.value.mend


def test_text_in_a_picture_that_unpacks_without_end_is_no_way_in(tmp_path: Path) -> None:
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9))
    whole = io.BytesIO()
    photograph(20, 20).save(whole, "PNG")
    content = whole.getvalue()
    (tmp_path / "a.png").write_bytes(content[:33] + text + content[33:])
    with pytest.raises(Unfit, match="damaged"):
        prepare_picture(tmp_path / "a.png", ".png", tmp_path)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "gif"])
def test_a_picture_cut_off_is_refused(tmp_path: Path, kind: str) -> None:
    location = saved(tmp_path, f"a.{kind}", photograph(900, 700))
    location.write_bytes(location.read_bytes()[: location.stat().st_size * 2 // 3])
    with pytest.raises(Unfit) as refused:
        prepare_picture(location, location.suffix, tmp_path)
    assert refused.value.code == "picture_broken"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", b"<html><script>alert(1)</script>"),
        ("a.gif", b"GIF89a/*\xff\xff\xff*/=1;alert(document.domain)//"),
        ("a.jpg", b"\xff\xd8\xff\xe0<?php system($_GET[0]); ?>"),
        ("a.webp", b"RIFF\xff\xff\xff\xffWEBPVP8 "),
        ("a.jpg", b""),
    ],
)
def test_what_only_begins_like_a_picture_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Unfit):
        prepare_picture(tmp_path / name, Path(name).suffix, tmp_path)


def test_one_kind_of_picture_under_the_name_of_another_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, "a.jpg", photograph(20, 20)).rename(tmp_path / "a.png")
    with pytest.raises(Unfit):
        prepare_picture(tmp_path / "a.png", ".png", tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF"]), st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
def test_whatever_is_broken_in_a_picture_is_answered(
    tmp_path_factory: pytest.TempPathFactory, kind: str, place: int, rubbish: bytes
) -> None:
    folder = tmp_path_factory.mktemp("broken")
    whole = io.BytesIO()
    photograph(64, 48).save(whole, kind, **({"exif": noted()} if kind != "GIF" else {}))
    content = bytearray(whole.getvalue())
    place %= len(content)
    content[place : place + len(rubbish)] = rubbish
    suffix = {"JPEG": ".jpg"}.get(kind, f".{kind.lower()}")
    (folder / f"a{suffix}").write_bytes(bytes(content))
    made = []
    with contextlib.suppress(Unfit):  # any other exception is a crash without a message
        made = prepare_picture(folder / f"a{suffix}", suffix, folder)
    assert all(one.location.stat().st_size > 0 for one in made)


def test_the_same_file_becomes_the_same_bytes(tmp_path: Path) -> None:
    location = saved(tmp_path, "a.jpg", photograph(1200, 800))
    contents = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        contents.append([made.location.read_bytes() for made in prepare_picture(location, ".jpg", tmp_path / name)])
    assert contents[0] == contents[1]


MEASURE = """
import resource, sys
from pathlib import Path
from PIL import Image
from courseapp.authoring.pictures import prepare_picture
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
prepare_picture(Path(sys.argv[1]), ".jpg", Path(sys.argv[2]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_photograph_of_fifty_million_points_takes_little_memory(tmp_path: Path) -> None:
    """Decoded whole it would be 200 MB."""
    location = saved(tmp_path, "a.jpg", Image.new("RGB", (8160, 6120), (90, 120, 60)))
    assert pictures.MOST_PIXELS_JPEG > 8160 * 6120
    answer = subprocess.run([sys.executable, "-c", MEASURE, location, tmp_path], capture_output=True, text=True, check=True)
    assert int(answer.stdout) < 80, f"{answer.stdout} MB"


def test_the_web_process_does_not_load_the_library() -> None:
    words = "import sys, courseapp; courseapp.create_app(); sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", words], capture_output=True, check=False).returncode == 0
