"""Strange uploads, as hypothesis draws them: good ones with something changed, doubled, cut, misnamed or repeated without measure.

Of every kind that the look-through reads: archives, Markdown, front matter, captions, drawings, pictures, films, Word, PowerPoint.
"""

import io
import random
import struct
import zipfile
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st
from PIL import Image

from tests.authoring.folders import STOP, SVG, lesson, page, small_files
from tests.authoring.hostile.archives import member, tar_of, zip_of
from tests.authoring.hostile.documents import MAIN, parts_of

LONGEST = 220_000  # characters of what is put together; somewhat more than a lesson may have
TIMES = [1, 1, 1, 1, 2, 3, 10, 100, 3_000, 20_000]

MARKDOWN = (
    *("# ", "## a\n", "---\n", "===\n", "- ", "* a\n", "1. ", "- [ ] a\n", "> ", "    a\n", "```\n", "~~~ a\n", "| a ", "|---"),
    *("a|b\n-|-\n", "\n", "*", "**a", "_", "__", "~~", "`", "``", "[", "]", "(", ")", "![", "[a](", "[a](lesson:one)"),
    *("[a]: b\n", "<", "<a ", "<a href='", "</", "&", "&#", "[^a]", "[^a]: b\n", "^[", ":::", "::: note\n", ":::\n"),
    *("::: stop-if\n", "::: standard\n", "::: adapted\n", '"', "'", "(c)", "--", "...", "+-", "javascript:alert(1)", "<http://"),
    *("![a](square.svg)", "![a](../../x)", "[p](page:help-now)", "\\", "\t", " ", "  \n", "\u2028", "\u0301", "\u202e", "ä", "漢"),
    *("👩\u200d🚀", "\x00", "\x0b", "\ud7ff", "<script>", "<img src=x onerror=a>", "{{7*7}}", "%s", "&lt;", "&colon;", "a b c "),
    *(STOP,),
)
FRONT = (
    *("id: x", "id: three", "title: ", "title: T", "minutes: 5", "minutes: ", "shows: s", "needs_check: none"),
    *("needs_check: touch", "sources:", "\n", "\n  - ", "[", "]", "{", "}", ": ", "? ", "- ", "&a ", "*a", "!!int ", "!!float "),
    *("!!binary ", "!!timestamp ", "!!set ", "!!omap ", "!x ", "|\n", ">\n", "'", '"', "#", "%", "@", "`", "<<: ", "~", "null"),
    *("yes", "2026-01-02", "2026-13-45", "2026-01-02 03:04:05", "1:30:00", "0x1f", "1e9", ".inf", ".nan", "reviewed_by: a"),
    *("reviewed_on: ", "review_due: ", "completes: mark", "module: beginning", "key: k", "order: 3", "---", "...", "\t", "\x85"),
    *("9", "a"),
)
CAPTIONS = (
    *("WEBVTT", "\n", "\n\n", "1\n", "00:01.000 --> 00:02.000\n", "00:00:01,000 --> 00:00:02,000\n", "-->", " --> ", "99:99"),
    *("NOTE ", "STYLE\n", "REGION\n", "<v Ada>", "<c.x>", "<b", "<i>", "</i>", "<", ">", "&", "&#", "&#x", "&lt;", "9"),
    *("{\\an8}", "{\\", "line:0", " align:start", "a", "words ", "\x00", "\ufeff"),
)
DRAWING = (
    *("<g>", "</g>", "<rect/>", "<use href='#a'/>", "<use href='#b'/>", "<g id='a'>", "<g id='b'>", "<text>", "</text>"),
    *("<style>", "</style>", "<defs>", "</defs>", "<path d='M0 0'/>", "<path style='", "'/>", "url(", "url(#a)", "url( #a )"),
    *("@import ", "@media ", "expression(", "\\75", "<a href='#'>", "</a>", "<script/>", "<image/>", "<?x ?>", "<!-- ", " -->"),
    *("<![CDATA[", "]]>", "&amp;", "&#1;", "&#x41;", "<x:y/>", "a", " ", "(", ")", ";", "onload='x'", "<clipPath id='c'>"),
    *("</clipPath>", "<animate/>", "<title>t</title>", "\u2028", "ä", "-", "{", "}", "<svg>", "</svg>"),
)
ATTRIBUTES = (
    *('viewBox="0 0 1 1"', 'viewBox="0 0 1e999 nan"', 'viewBox=""', 'width="9"', 'onload="x"', 'xmlns:x="y"', 'style="fill:red"'),
    *('id="a"',),
)
NAMES = (
    *("01-beginning/03-x.md", "03.md", "x/y/z.md", "course.md", "01-beginning/module.md", "module.md", "03-new/module.md"),
    *("03-new/01-a.md", "01-beginning/x.md/y.md", "01-beginning/square.svg", "a.zip", ".hidden", "__MACOSX/x"),
    *("01-beginning/" + "n" * 250, "ü.md", "u\u0308.md", "../x.md", "/x.md", "C:/x.md", "a\\b.md", "con.md", "a\u202eb.md", " .md"),
    *("x.", "x", "a//b.md", "./x.md", "01-beginning/x.MD", "x.docx", "~$x.docx"),
)
XML = (
    *("<w:p/>", "<w:r>", "</w:r>", "<w:t>a</w:t>", "<w:tbl>", "<w:tr><w:tc><w:p/></w:tc></w:tr>", "<w:br/>", "<w:b/>"),
    *("<a:t>a</a:t>", "<a:br/>", "<p:sp/>", "w:val=''", "w:val='9'", "r:id='rId1'", "r:embed='rId1'", "/>", ">", "<", "&amp;"),
    *("&x;", "'", '"', "<!--", "]]>", "!", " ", "0", "-1", "9" * 20, "ä", "<w:gridSpan w:val='60'/>", "<w:vMerge/>"),
    *("<w:footnoteReference w:id='1'/>", "<m:oMath/>", "<w:ilvl w:val='99'/>", "<w:hyperlink r:id='x'>"),
)
NUMBERS = (0, 1, 8, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
BOXES = (
    *(b"ftyp", b"moov", b"mdat", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hdlr", b"tkhd", b"mvhd", b"udta", b"uuid"),
    *(b"free", b"avcC", b"\xa9nam"),
)


@dataclass(frozen=True)
class Strange:
    """What is sent, as (name, content), and how the form was answered: "" or a place in the other course; what it asks of the body."""

    sent: tuple[tuple[str, bytes], ...]
    into: str = ""
    needs: str = "none"


def soup(fragments: tuple[str, ...], most: int = 12) -> st.SearchStrategy[str]:
    """Fragments in a row, some of them many times."""
    piece = st.one_of(st.sampled_from(fragments), st.text(max_size=6))
    parts = st.lists(st.tuples(piece, st.sampled_from(TIMES)), max_size=most)
    return parts.map(lambda found: "".join(text * min(times, LONGEST // max(1, len(text))) for text, times in found)[:LONGEST])


def encoded(text: str) -> bytes:
    """Text as bytes, also where it holds half a letter."""
    return text.encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: Any, content: bytes) -> bytes:
    """Bytes with some changed, taken out, put in, repeated, or the end cut off."""
    raw = bytearray(content)
    dice: random.Random = draw(st.randoms(use_true_random=False))
    for _change in range(dice.randint(1, 5)):
        place = dice.randrange(len(raw) + 1)
        match dice.randrange(6):
            case 0:
                raw[place : place + dice.randint(1, 4)] = dice.randbytes(dice.randint(1, 4))
            case 1:
                del raw[place : place + dice.randint(1, 200)]
            case 2:
                raw[place:place] = dice.randbytes(dice.randint(1, 40))
            case 3:
                raw[place : place + 4] = struct.pack(dice.choice(["<I", ">I"]), dice.choice(NUMBERS))
            case 4:
                raw[place:place] = bytes(raw[place : place + dice.randint(1, 64)]) * dice.choice([1, 3, 500])
            case _:
                del raw[place + (len(raw) - place) // 2 :]
    return bytes(raw)


@st.composite
def heads_changed(draw: Any, content: bytes) -> bytes:
    """A ZIP archive with other numbers in some of its heads."""
    raw = bytearray(content)
    dice: random.Random = draw(st.randoms(use_true_random=False))
    marks = [place for mark in (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06") for place in _places_of(mark, raw)]
    for _change in range(dice.randint(1, 4)):
        place = dice.choice(marks) + dice.randrange(4, 46)
        size = dice.choice(["<B", "<H", "<I"])
        number = dice.choice([*NUMBERS, dice.randrange(1 << 32)]) & ((1 << 8 * struct.calcsize(size)) - 1)
        raw[place : place + struct.calcsize(size)] = struct.pack(size, number)
    return bytes(raw)


def _places_of(mark: bytes, raw: bytearray) -> list[int]:
    found, place = [], raw.find(mark)
    while place >= 0:
        found.append(place)
        place = raw.find(mark, place + 1)
    return found


def lessons() -> st.SearchStrategy[str | bytes]:
    """Pages of lessons: good front matter over any text, or any front matter, or no front matter, or no text at all."""
    body = soup(MARKDOWN)
    fields = soup(FRONT)
    own = lesson("three", "").partition("\n---\n")[0]
    whole = st.one_of(
        body.map(lambda text: lesson("three", text)),
        st.tuples(fields, body).map(lambda both: f"---\n{both[0]}\n---\n{both[1]}"),
        st.tuples(fields, body).map(lambda both: f"{own}\n{both[0]}\n---\n{both[1]}"),
        body,
    )
    ends = st.sampled_from(["\n", "\n", "\r\n", "\r"])
    text = st.tuples(whole, ends).map(lambda both: encoded(both[0].replace("\n", both[1])))
    return st.one_of(text, text, text.flatmap(damaged))


def drawings() -> st.SearchStrategy[bytes]:
    """Drawings with anything in them."""
    made = st.tuples(soup(DRAWING), st.lists(st.sampled_from(ATTRIBUTES), max_size=3))
    svg = made.map(lambda both: encoded(SVG.replace("<svg ", f"<svg {' '.join(both[1])} ").replace("<rect", f"{both[0]}<rect")))
    return st.one_of(svg, svg.flatmap(damaged))


@cache
def pictures() -> dict[str, bytes]:
    """A small picture of each kind."""
    image = Image.linear_gradient("L").resize((60, 40)).convert("RGB")
    kinds = {"x.png": "PNG", "x.jpg": "JPEG", "x.webp": "WEBP", "x.gif": "GIF"}
    found = {}
    for name, kind in kinds.items():
        buffer = io.BytesIO()
        image.save(buffer, kind)
        found[name] = buffer.getvalue()
    return found


@st.composite
def films(draw: Any) -> tuple[str, bytes]:
    """Boxes in boxes, with sizes that need not fit."""
    dice: random.Random = draw(st.randoms(use_true_random=False))

    def box(depth: int) -> bytes:
        inner = b"".join(box(depth + 1) for _n in range(dice.randint(0, 3))) if depth < 6 else b""
        content = inner or dice.randbytes(dice.choice([0, 4, 12, 24, 90]))
        size = dice.choice([len(content) + 8] * 12 + list(NUMBERS))
        return struct.pack(">I4s", size, dice.choice(BOXES)) + content

    return dice.choice(["x.mp4", "x.m4a", "x.mov", "x.3gp"]), b"\0\0\0\x10ftypisom\0\0\0\0" + b"".join(box(0) for _n in range(4))


def media() -> st.SearchStrategy[tuple[str, bytes]]:
    """A file beside the lessons."""
    pictured = st.sampled_from(sorted(pictures())).flatmap(lambda name: damaged(pictures()[name]).map(lambda raw: (name, raw)))
    tagged = st.tuples(st.just("x.mp3"), damaged(b"ID3\x04\0\0\0\0\0\x0aTIT2\0\0\0\x02\0\0\0x" + b"\xff\xfb\x90\0" * 20))
    said = st.tuples(st.sampled_from(["x.vtt", "x.srt"]), soup(CAPTIONS).map(encoded))
    begun = said.map(lambda both: (both[0], (b"WEBVTT\n\n" if both[0] == "x.vtt" else b"1\n") + both[1]))
    paper = st.tuples(st.just("x.pdf"), damaged(b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF\n"))
    return st.one_of(pictured, films(), tagged, said, begun, begun, paper, drawings().map(lambda raw: ("x.svg", raw)))


@st.composite
def documents(draw: Any) -> tuple[str, bytes]:
    """A Word or PowerPoint file with something changed in one of its parts, or in its archive."""
    suffix: str = draw(st.sampled_from(sorted(MAIN)))
    parts = parts_of(suffix)
    name: str = draw(st.one_of(st.just(MAIN[suffix]), st.sampled_from(sorted(parts))))
    dice: random.Random = draw(st.randoms(use_true_random=False))
    raw = bytearray(bytes(parts[name]))
    for _change in range(dice.randint(1, 4)):
        ends = _places_of(b">", raw) or [0]
        place = dice.choice(ends) + 1
        piece = dice.choice(XML).encode() if dice.random() < 0.6 else bytes(raw[place : dice.choice(ends) + 1])[:5000]
        raw[place : place + dice.choice([0, 0, len(piece), 40])] = piece * min(dice.choice(TIMES), 400_000 // max(1, len(piece)))
    archive = zip_of({**parts, name: bytes(raw)})
    return f"03-page{suffix}", draw(heads_changed(archive)) if dice.random() < 0.15 else archive


@st.composite
def archives(draw: Any, files: dict[str, str | bytes]) -> tuple[str, bytes]:
    """Files packed: well, or with something changed in the archive, or with an odd member."""
    way = draw(st.integers(0, 7))
    if way < 5:
        return "course.zip", zip_of(files)
    if way == 5:
        whole = zip_of(files, draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])))
        return "course.zip", draw(st.one_of(damaged(whole), heads_changed(whole), heads_changed(whole)))
    odd = member(draw(st.sampled_from(NAMES)), draw(st.sampled_from([letter.encode() for letter in "01235 6gxSLKZ"])))
    whole = tar_of(files, odd, mode=draw(st.sampled_from(["w", "w:gz"])))
    return "course.tar.gz", draw(st.one_of(st.just(whole), damaged(whole)))


@st.composite
def uploads(draw: Any) -> Strange:
    """A whole upload: a course as an archive or as single files, or what goes into a course that is there."""
    more: dict[str, str | bytes] = {}
    pages = st.tuples(st.just("03-three.md"), lessons())
    for _file in range(draw(st.integers(0, 2))):
        name, raw = draw(st.one_of(pages, pages, media(), documents()))
        more[f"01-beginning/{name}"] = raw
    if draw(st.integers(0, 3)) == 0:
        more[draw(st.sampled_from(NAMES))] = draw(st.one_of(lessons(), st.binary(max_size=50)))
    shows = "".join(f"![a]({name.partition('/')[2]})\n\n" for name in more if not name.endswith((".md", ".docx", ".pptx")))
    files = small_files(**({"01-beginning/04-four.md": lesson("four", shows)} if shows else {}), **more)
    needs = draw(st.sampled_from(["", "none", "touch"]))
    way = draw(st.integers(0, 9))
    if way < 7:
        return Strange((draw(archives(files)),), "", needs)
    if way == 7:
        return Strange(tuple((name, as_bytes(raw)) for name, raw in files.items()), "", needs)
    parts = {name.partition("/")[2] or name: raw for name, raw in more.items()} or {"a.md": page({"id": "a"}, "Words.\n")}
    sent = tuple((name, as_bytes(raw)) for name, raw in parts.items()) if way == 8 else (draw(archives(parts)),)
    return Strange(sent, draw(st.sampled_from(["other/", "other/beginning"])), needs)


def as_bytes(raw: str | bytes) -> bytes:
    """A file's content."""
    return encoded(raw) if isinstance(raw, str) else raw
