"""Slides: a PPTX's words as one Markdown lesson, a section for each slide, in the order in which a screen reader reads them.

What the speaker's notes say stands below their slide. What lessons have no words for is named with the slide's number.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from courseapp.authoring import prose
from courseapp.authoring.prose import Document
from courseapp.authoring.report import Report

PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg"}
ALT_WHERE = (
    "In PowerPoint: click the picture with the right button, choose “View Alt Text”, and write what it shows. Take out what only decorates."
)
LEFT_OUT = "If it matters, say it in words, or put it in as a picture with an alternative text."
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}oMath"
ALTERNATE = "{http://schemas.openxmlformats.org/markup-compatibility/2006}AlternateContent"
FRAMES = {"chart": "chart", "diagram": "SmartArt drawing", "ole": "embedded object"}  # by the end of a frame's kind
SMALL_PRINT = {"dt", "ftr", "hdr", "sldNum"}  # date, footer, header, number: on every slide, and no part of it


def convert(document: Document, report: Report) -> list[Path]:
    """Write a PPTX as a Markdown page and pictures beside it; their paths."""
    import pptx  # heavy, and needed by the worker alone

    show = _Show(document, report)
    with document.archive.open("rb") as file:
        title, blocks = show.read(pptx.Presentation(file))
    page = document.folder / f"{document.stem}.md"
    words = "\n\n".join(blocks)
    page.write_text(f"# {title}\n\n{words}\n" if title else f"{words}\n", encoding="utf-8", newline="\n")
    show.say_what_was_lost()
    return [page, *show.written]


class _Show:
    """Reads a presentation slide by slide."""

    def __init__(self, document: Document, report: Report) -> None:
        self._document, self._report = document, report
        self._lost: dict[str, list[str]] = {}
        self._untitled: list[str] = []
        self._noted: list[str] = []
        self._merged: list[str] = []
        self._slide = 0
        self.written: list[Path] = []

    def read(self, presentation: Any) -> tuple[str, list[str]]:
        """The lesson's title, where a title slide gives one, and its blocks of Markdown."""
        title, last, blocks = "", "", list[str]()
        for self._slide, slide in enumerate(presentation.slides, start=1):
            if slide._element.get("show") == "0":
                self._lose("hidden slide")
                continue
            heading = slide.shapes.title
            words = " ".join(heading.text_frame.text.split()) if heading is not None else ""
            if self._slide == 1 and words and any(_placeholder(shape) in {"ctrTitle", "subTitle"} for shape in slide.shapes):
                title = prose.paragraph(prose.escaped(words))
            elif words and words != last:  # a title said again goes on with the same section
                blocks.append(f"## {prose.paragraph(prose.escaped(words))}")
            elif not words:
                self._untitled.append(self._place)
            last = words or last
            for shape in slide.shapes:
                if heading is None or shape.shape_id != heading.shape_id:
                    blocks += self._shape(slide, shape)
            blocks += self._notes(slide)
            self._find_losses(slide)
        return title, [block for block in blocks if block]

    def say_what_was_lost(self) -> None:
        """Name it, each kind once, with its slides."""
        for what, stands in self._lost.items():
            were = "were" if len(stands) > 1 else "was"
            words = f"{len(stands)} {what}{'s' if len(stands) > 1 else ''}{prose.places(stands)} {were} left out."
            self._warn("document_loss", words, LEFT_OUT)
        if self._merged:
            mend = (
                "The words stand in the first of the merged cells, the others are empty. Look whether it reads well, or divide the table."
            )
            self._warn("document_table", f"A table has merged cells{prose.places(self._merged)}.", mend)
        if self._untitled:
            mend = "Its words go on with the section before. Give it a title, so that readers can find their way."
            self._warn("slide_untitled", f"No title{prose.places(self._untitled)}.", mend)
        if self._noted:
            mend = "Look whether they are meant for learners, and hold nothing private; otherwise delete them and upload the file again."
            self._warn("slide_notes", f"The speaker’s notes now stand in the lesson, below their slides{prose.places(self._noted)}.", mend)

    @property
    def _place(self) -> str:
        return f"slide {self._slide}"

    def _warn(self, code: str, words: str, mend: str) -> None:
        self._report.warn(code, self._document.shown, 0, words, mend)

    def _lose(self, what: str) -> None:
        self._lost.setdefault(what, []).append(self._place)

    def _shape(self, slide: Any, shape: Any) -> list[str]:
        """A shape's blocks; those of a group in its order."""
        kind = shape._element.tag.rpartition("}")[2]
        if _placeholder(shape) in SMALL_PRINT:
            return []
        if kind == "grpSp":
            return [block for inner in shape.shapes for block in self._shape(slide, inner)]
        if kind == "pic":
            return self._picture(slide, shape._element)
        if kind == "graphicFrame":
            return self._frame(shape)
        if kind == "sp" and shape.text_frame.text.strip():
            return self._text(slide, shape)
        if kind in {"sp", "cxnSp"} and not _placeholder(shape):
            self._lose("drawn shape")
        return []

    def _text(self, slide: Any, shape: Any) -> list[str]:
        """A text's paragraphs, and those with bullets or numbers as a list."""
        paragraphs = [one for one in shape.text_frame.paragraphs if one.text.strip()]
        is_list = _placeholder(shape) in {"body", "obj"} and len(paragraphs) > 1  # what a layout gives bullets, where nothing else is said
        blocks: list[str] = []
        rows: list[tuple[int, bool, str]] = []
        for one in paragraphs:
            said = _bullet(one._p)
            words = prose.paragraph(self._line(one))
            if said == "none" or (not said and not is_list):
                blocks += [prose.items(rows)] if rows else []
                rows = []
                blocks.append(words)
            elif words:
                level = min(one.level, rows[-1][0] + 1 if rows else 0)
                rows.append((level, said == "number", words))
        return [*blocks, *([prose.items(rows)] if rows else [])]

    def _line(self, paragraph: Any) -> str:
        """A paragraph's words with their emphasis and links."""
        line = ""
        runs = list(paragraph.runs)
        for run, after in zip(runs, [one.text for one in runs[1:]] + [""], strict=True):
            words = prose.escaped(run.text)
            for mark, is_so in (("**", run.font.bold), ("*", run.font.italic)):
                words = prose.marked(mark, words, line, after) if is_so else words
            click = run._r.find(f"{A}rPr/{A}hlinkClick")
            line += prose.link(words, _address(paragraph, click.get(f"{R}id"))) if click is not None else words
        return line

    def _picture(self, slide: Any, element: Any) -> list[str]:
        if element.find(f".//{A}videoFile") is not None or element.find(f".//{A}audioFile") is not None:
            self._lose("film or sound")
            return []
        blip = element.find(f".//{A}blip")
        identifier = blip.get(f"{R}embed") if blip is not None else None
        if not identifier:
            self._lose("picture that lies outside the document")
            return []
        source = self._document.opened / str(slide.part.related_part(identifier).partname).lstrip("/")
        if source.suffix.lower() not in PICTURES or not source.is_file():
            self._lose("picture of a kind that lessons cannot show")
            return []
        alt = " ".join((element.find(f"{P}nvPicPr/{P}cNvPr").get("descr") or "").split())
        if not alt:
            words = f"On slide {self._slide}: a picture has no words for people who cannot see it."
            self._report.error("alt_missing", self._document.shown, 0, words, ALT_WHERE)
            return []
        target = self._document.folder / f"{self._document.stem}-{len(self.written) + 1}{source.suffix.lower()}"
        shutil.copyfile(source, target)
        self.written.append(target)
        return [f"![{prose.escaped(alt)}]({target.name})"]

    def _frame(self, shape: Any) -> list[str]:
        """A table; of charts and the like only that they were there."""
        if not shape.has_table:
            kind = str(shape._element.graphicData_uri).rpartition("/")[2]
            self._lose(FRAMES.get(kind, "embedded object"))
            return []
        rows = []
        for row in shape.table.rows:
            if any(cell.is_merge_origin or cell.is_spanned for cell in row.cells):
                self._merged.append(self._place)
            rows.append(
                ["" if cell.is_spanned else prose.joined(self._line(one) for one in cell.text_frame.paragraphs) for cell in row.cells]
            )
        return [prose.table(rows)] if rows and rows[0] else []

    def _cell(self, cell: Any) -> str:
        return prose.joined(self._line(one) for one in cell.text_frame.paragraphs)

    def _notes(self, slide: Any) -> list[str]:
        frame = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
        blocks = [prose.paragraph(self._line(one)) for one in frame.paragraphs] if frame is not None else []
        if any(blocks):
            self._noted.append(self._place)
        return blocks

    def _find_losses(self, slide: Any) -> None:
        """What the library passes over in silence."""
        for _equation in slide._element.iter(MATH):
            self._lose("equation")
        for part in slide._element.iter(ALTERNATE):
            if part.find(f".//{MATH}") is None and part.getparent().tag == f"{P}spTree":
                self._lose("object of a newer PowerPoint")
        for relation in slide.part.rels.values():
            if relation.reltype.endswith("/comments"):
                self._lose("slide’s comment")


def _placeholder(shape: Any) -> str:
    """What a layout keeps a place for with this shape: "title", "ctrTitle", "body", "obj" …; empty for any other shape."""
    found: Iterator[Any] = shape._element.iter(f"{P}ph")
    place = next(found, None)
    return "" if place is None else place.get("type", "obj")


def _bullet(paragraph: Any) -> str:
    """What a paragraph says of its bullet: "bullet", "number", "none", or nothing."""
    facts = paragraph.find(f"{A}pPr")
    if facts is None:
        return ""
    said = {f"{A}buChar": "bullet", f"{A}buBlip": "bullet", f"{A}buAutoNum": "number", f"{A}buNone": "none"}
    return next((said[child.tag] for child in facts if child.tag in said), "")


def _address(paragraph: Any, identifier: str | None) -> str:
    relations = paragraph.part.rels
    if identifier not in relations or not relations[identifier].is_external:
        return ""
    return str(relations[identifier].target_ref)
