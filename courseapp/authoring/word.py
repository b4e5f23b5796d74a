"""Word: a DOCX's words as Markdown, one lesson for each heading of the first level where there are several.

mammoth reads the document by its meaning (styles) rather than its looks; what it has no words for is counted here and
named in the report with the heading it stands under.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from courseapp.authoring import prose
from courseapp.authoring.completing import slug_of
from courseapp.authoring.exporting import with_front
from courseapp.authoring.prose import Document
from courseapp.authoring.report import Report
from courseapp.authoring.rewording import Rewording

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
KINDS = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
}
STYLES = """
p[style-name='Title'] => p.title:fresh
p[style-name='Subtitle'] => p.subtitle:fresh
p[style-name='Quote'] => blockquote > p:fresh
p[style-name='Intense Quote'] => blockquote > p:fresh
p[style-name='Quotations'] => blockquote > p:fresh
p[style-name='Block Text'] => blockquote > p:fresh
p[style-name='Caption'] => p.caption:fresh
p[style-name='caption'] => p.caption:fresh
p[style-name='Illustration'] => p.caption:fresh
p[style-name='Figure'] => p.caption:fresh
p[style-name='TOC Heading'] => !
p[style-name='Contents Heading'] => !
"""
CONTENTS = re.compile(r"(toc|contents) \d", re.IGNORECASE)
# Elements that do not come over, by local name: what they are called, and what becomes of them.
LOST = {
    "commentReference": ("comment", "was left out"),
    "ins": ("tracked insertion", "was taken as accepted"),
    "moveTo": ("tracked move", "was taken as accepted"),
    "del": ("tracked deletion", "was taken as accepted"),
    "oMath": ("equation", "was left out"),
    "chart": ("chart", "was left out"),
    "relIds": ("SmartArt drawing", "was left out"),
    "OLEObject": ("embedded object", "was left out"),
    "webVideoPr": ("embedded video", "was left out"),
    "txbxContent": ("text box", "now stands as a paragraph below the one it lay beside"),
    "wgp": ("drawing", "was left out"),
    "altChunk": ("document within the document", "was left out"),
}
MENDS = {
    "was left out": "If it matters, say it in words, or put it in as a picture with an alternative text.",
    "was taken as accepted": "Look whether that is right, or accept and reject the changes in Word and upload the document again.",
}
LOOK = "Look whether it reads well there."


def convert(document: Document, report: Report) -> list[Path]:
    """Write a DOCX as Markdown pages and pictures beside it; their paths."""
    import mammoth  # heavy, and needed by the worker alone

    _refuse_vast_tables(document.opened / "word" / "document.xml")
    pictures = _Pictures(document)
    styles = STYLES + _headings(document.opened)
    keep = mammoth.images.img_element(pictures.keep)
    with document.archive.open("rb") as file:
        html = mammoth.convert_to_html(file, style_map=styles, include_embedded_style_map=False, convert_image=keep).value
    body = ElementTree.fromstring(f"<body>{html}</body>")  # noqa: S314  # mammoth's own, from parts without a document type
    _name_losses(document.opened, document.shown, report)
    lessons = Rewording(document.shown, report).lessons(body)
    pages = []
    for number, (title, shows, text) in enumerate(lessons, start=1):
        name = document.stem if len(lessons) == 1 else f"{_number(document.name)}{number:02}-{slug_of(title) or document.stem}"
        page = document.folder / f"{name}.md"
        words = f"# {title}\n\n{text}\n" if title else f"{text}\n"
        page.write_text(with_front({"shows": shows}, words) if shows else words, encoding="utf-8", newline="\n")
        pages.append(page)
    return [*pages, *pictures.written]


def _refuse_vast_tables(document: Path) -> None:
    """Raises Unfit for a table with too many cells, which mammoth would put together first."""
    sizes: list[list[int]] = []  # of the tables one is in: rows, cells of the widest, cells of the present one
    if not document.exists():
        return
    for event, element in ElementTree.iterparse(document, ("start", "end")):  # noqa: S314  # known to be without a document type
        if event == "start":
            if element.tag == f"{W}tbl":
                sizes.append([0, 0, 0])
            elif sizes and element.tag == f"{W}tr":
                sizes[-1][0], sizes[-1][2] = sizes[-1][0] + 1, 0
            elif sizes and element.tag == f"{W}tc":
                sizes[-1][2] += 1
                sizes[-1][1] = max(sizes[-1][1], sizes[-1][2])
        else:
            if element.tag == f"{W}tbl":
                rows, width, _present = sizes.pop()
                prose.refuse_vast_table(rows, width)
            element.clear()


def attributes_of(part: Path, element: str, attribute: str) -> list[str]:
    """The values of an attribute, on every element of that local name."""
    return [value for found in _elements(part) if _local(found) == element and (value := found.get(attribute))]


class _Pictures:
    """Keeps a document's pictures beside its pages, numbered as they come."""

    def __init__(self, document: Document) -> None:
        self._document, self.written = document, list[Path]()

    def keep(self, image: Any) -> dict[str, str]:
        """Keep one; what the page calls it, or nothing and its kind where lessons cannot show it."""
        with image.open() as content:
            source = self._document.opened / content.read().decode()  # the archive says where it lies, see Document
        suffix = KINDS.get(image.content_type)
        if suffix is None or not source.is_file():
            return {"src": "", "title": image.content_type.rpartition("/")[2]}
        target = self._document.folder / f"{self._document.stem}-{len(self.written) + 1}{suffix}"
        shutil.copyfile(source, target)
        self.written.append(target)
        return {"src": target.name}


def _number(name: str) -> str:
    """The number that a document's name begins with, for its lessons to stand where it stood."""
    found = re.match(r"\d+", name)
    return f"{found.group()}-" if found else ""


def _headings(opened: Path) -> str:
    """A style map for headings by what they are based on, and for the lines of a table of contents; mammoth goes by names alone."""
    styles: dict[str, tuple[str, str, int | None]] = {}
    for style in _elements(opened / "word" / "styles.xml"):
        if style.tag == f"{W}style" and style.get(f"{W}type") == "paragraph":
            name, based = (_value(style.find(f"{W}{tag}")) for tag in ("name", "basedOn"))
            outline = _value(style.find(f"{W}pPr/{W}outlineLvl"))
            styles[style.get(f"{W}styleId") or ""] = (name, based, int(outline) if outline.isdigit() else None)
    lines = []
    for name, based, level in styles.values():
        for _step in range(20):  # a style may be based on itself by mistake
            if level is None and based in styles:
                _name, based, level = styles[based]  # noqa: PLW2901  # going up the chain is what the loop is for
        if re.fullmatch(r"[\w .,()-]+", name):
            if CONTENTS.fullmatch(name):
                lines.append(f"p[style-name='{name}'] => !")
            elif level is not None and level < 6:
                lines.append(f"p[style-name='{name}'] => h{level + 1}:fresh")
    return "\n".join(lines)


def _name_losses(opened: Path, shown: str, report: Report) -> None:
    """Name what does not come over, each kind once, with the headings it stands under."""
    found: dict[str, list[str]] = {}
    levels = {line.split("'")[1] for line in _headings(opened).split("\n") if " => h" in line}
    names = {
        style.get(f"{W}styleId"): _value(style.find(f"{W}name"))
        for style in _elements(opened / "word" / "styles.xml")
        if style.tag == f"{W}style"
    }
    for name, place in _losses(opened / "word" / "document.xml", {key for key, name in names.items() if key and name in levels}):
        found.setdefault(name, []).append(place)
    for name, stands in found.items():
        what, became = LOST[name]
        became = became.replace("was ", "were ").replace("stands as a paragraph", "stand as paragraphs") if len(stands) > 1 else became
        words = f"{len(stands)} {what}{'s' if len(stands) > 1 else ''}{prose.places(stands)} {became}."
        report.warn("document_loss", shown, 0, words, MENDS.get(LOST[name][1], LOOK))
    if any(any(text.text and text.text.strip() for text in _elements(part) if text.tag == f"{W}t") for part in _margins(opened)):
        report.warn(
            "document_loss",
            shown,
            0,
            "What stands at the head or foot of every page was left out.",
            "Put it into the text if lessons need it.",
        )
    links = [rel for part in opened.rglob("document.xml.rels") for rel in _elements(part) if rel.get("TargetMode") == "External"]
    elsewhere = [rel for rel in links if (rel.get("Type") or "").endswith("/image")]
    if elsewhere:
        words = f"{len(elsewhere)} pictures lie outside the document and were not fetched."
        report.warn("document_loss", shown, 0, words, "Put them into the document itself, and upload it again.")


def _margins(opened: Path) -> list[Path]:
    folder = opened / "word"
    return [*folder.glob("header*.xml"), *folder.glob("footer*.xml")]


def _losses(document: Path, heading_styles: set[str]) -> Iterator[tuple[str, str]]:
    """(what, under which heading), in the document's order. What stands twice, for older programs, is counted once."""
    place, fallback, heading = "", 0, False
    for event, element in ElementTree.iterparse(document, ("start", "end")):  # noqa: S314  # known to be without a document type
        name = _local(element)
        if name == "Fallback":
            fallback += 1 if event == "start" else -1
        elif event == "start" and not fallback and name in LOST:
            yield name, place
        elif event == "end" and name == "pPr":
            heading = _value(element.find(f"{W}pStyle")) in heading_styles
        elif event == "end" and name == "p" and element.tag == f"{W}p":
            if heading:
                place = f"“{''.join(text.text or '' for text in element.iter(f'{W}t')).strip()[:60]}”"
            heading = False
            element.clear()


def _elements(part: Path) -> Iterator[ElementTree.Element]:
    """Every element of a part, once it is whole; no part is fine."""
    if part.exists():
        yield from (element for _event, element in ElementTree.iterparse(part))  # noqa: S314  # known to be without a document type


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _value(element: ElementTree.Element | None) -> str:
    return (element.get(f"{W}val") or "") if element is not None else ""
