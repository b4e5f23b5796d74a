"""Drawings can do nothing but be shown, and what is shown looks as it was drawn."""

import re
import time
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from courseapp.authoring.drawings import ATTRIBUTES, ELEMENTS, clean_svg
from courseapp.authoring.report import Report, Severity
from tests.authoring.folders import CONTENT, SVG

OPEN = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:h="http://www.w3.org/1999/xhtml"'


def svg_codes(content: str | bytes) -> list[str]:
    """What cleaning a drawing reports."""
    report = Report()
    clean_svg(content.encode() if isinstance(content, str) else content, "a.svg", report)
    return [row.code for row in report.rows if row.severity is not Severity.NOTE]


def cleaned(content: str) -> str:
    """A drawing written anew."""
    found = clean_svg(content.encode(), "a.svg", Report())
    assert found is not None
    return found[0].decode()


ACTIVE = [
    f"{OPEN}><script>alert(1)</script></svg>",
    f"{OPEN}><h:script>alert(1)</h:script></svg>",
    f'{OPEN} onload="alert(1)"/>',
    f'{OPEN}><rect ONCLICK="x"/></svg>',
    f"{OPEN}><foreignObject><h:body/></foreignObject></svg>",
    f'{OPEN}><h:img src="http://evil.test/x.png"/></svg>',
    f'{OPEN}><h:embed src="x"/></svg>',
    f'{OPEN}><a href="javascript:alert(1)"><text>x</text></a></svg>',
    f'{OPEN}><a xlink:href="https://evil.test"><text>x</text></a></svg>',
    f'{OPEN}><image href="http://evil.test/x.png"/></svg>',
    f'{OPEN}><image href="data:image/png;base64,AAAA"/></svg>',
    f'{OPEN}><use href="other.svg#x"/></svg>',
    f'{OPEN}><feImage href="http://evil.test/x"/></svg>',
    f'{OPEN}><set attributeName="onmouseover" to="alert(1)"/></svg>',
    f'{OPEN}><animate attributeName="href" to="javascript:alert(1)"/></svg>',
    f"{OPEN}><style>@import 'http://evil.test/x.css';</style></svg>",
    f"{OPEN}><style>rect {{ fill: url( 'http://evil.test/x' ) }}</style></svg>",
    f'{OPEN}><rect style="background:url(//evil.test/x)"/></svg>',
    f'{OPEN}><rect fill="url(http://evil.test/x#y)"/></svg>',
    f'<?xml-stylesheet href="http://evil.test/x.css"?>{OPEN}/>',
    '<html xmlns="http://www.w3.org/1999/xhtml"><body/></html>',
    "<svg><rect/></svg>",
]


@pytest.mark.parametrize("content", ACTIVE)
def test_a_drawing_that_could_do_more_than_draw_is_refused(content: str) -> None:
    assert svg_codes(content) == ["svg_active"]


def test_a_drawing_may_refer_to_itself() -> None:
    inside = '<defs><linearGradient id="g"/></defs><style>.a { fill: url(#g) }</style><rect class="a" stroke="url(#g)"/>'
    assert svg_codes(f'{OPEN} viewBox="0 0 1 1">{inside}<a href="#g"><text>url (x)</text></a></svg>') == []


BOMB = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))


@pytest.mark.parametrize(
    "content",
    [
        f'<!DOCTYPE svg [<!ENTITY l0 "ha">{BOMB}]>{OPEN}><text>&l11;</text></svg>',
        f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>{OPEN}><text>&x;</text></svg>',
        f'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://evil.test/x.dtd">{OPEN}/>',
        f'<!DOCTYPE svg [<!ENTITY l0 "ha">{BOMB}]>{OPEN}><text>&l11;</text></svg>'.encode("utf-16"),
        f'<?xml version="1.0" encoding="utf-7"?>{OPEN}/>',
        f'<?xml version="1.0" encoding="cp037"?>{OPEN}/>',
        f"{OPEN}><rect></svg>",
        b"\x89PNG",
        b"",
        f"{OPEN}>{'<g>' * 200_000}{'</g>' * 200_000}</svg>",
    ],
    ids=["expanding", "file", "remote", "utf-16", "utf-7", "ebcdic", "broken", "binary", "empty", "deep"],
)
def test_entities_encodings_and_broken_drawings_are_answered_within_a_second(content: str | bytes) -> None:
    began = time.process_time()
    codes = svg_codes(content)
    assert time.process_time() - began < 1.0
    assert codes in (["svg_doctype"], ["svg_broken"], ["svg_size"])


def test_entities_are_refused_whatever_hides_them() -> None:
    text = f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>{OPEN}><text>&x;</text></svg>'
    assert svg_codes(text) == ["svg_doctype"]
    assert svg_codes(text.encode("utf-16")) == ["svg_broken"]


@pytest.mark.parametrize("box", ["", "0 0 1", "0 0 a b", "0 0 inf 1", "0 0 nan 1", "0 0 1e400 1"])
def test_a_drawing_without_a_usable_size_is_taken_with_a_warning(box: str) -> None:
    assert svg_codes(f'{OPEN} viewBox="{box}"/>') == ["svg_size"]



def test_the_drawings_of_the_introduction_are_all_drawings() -> None:
    drawings = sorted(CONTENT.rglob("*.svg"))
    assert len(drawings) >= 10
    assert {path.name: svg_codes(path.read_bytes()) for path in drawings} == {path.name: [] for path in drawings}
