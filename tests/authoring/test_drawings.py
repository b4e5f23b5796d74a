"""Drawings can do nothing but be shown, and what is shown looks as it was drawn."""

import re
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typst
from hypothesis import given, settings
from hypothesis import strategies as st

from courseapp.authoring.drawings import ATTRIBUTES, ELEMENTS, WORDS, clean_svg
from courseapp.authoring.report import Report, Severity
from tests.authoring.folders import COURSES

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


def test_the_drawings_of_our_courses_are_all_drawings() -> None:
    drawings = sorted(path for folder in COURSES for path in folder.rglob("*.svg"))
    assert len(drawings) >= 20
    assert {path.name: svg_codes(path.read_bytes()) for path in drawings} == {path.name: [] for path in drawings}


HIDDEN = [
    r"u\72l(http://evil.test/x)",
    r"ur\6c (http://evil.test/x)",
    "URL(http://evil.test/x)",
    "url(data:image/svg+xml,x)",
    "image-set('http://evil.test/x' 1x)",
    "-webkit-image-set(url(#a) 1x)",
    "src('http://evil.test/x')",
    "element(#a)",
    "expression(alert(1))",
    "url(#a) url(http://evil.test/x)",
    "url(#a'b)url(//evil.test)",
]


@pytest.mark.parametrize("value", HIDDEN)
def test_what_loads_is_found_however_it_is_written(value: str) -> None:
    assert svg_codes(f'{OPEN}><rect fill="{value}"/></svg>') == ["svg_active"]
    assert svg_codes(f'{OPEN}><rect style="fill:{value}"/></svg>') == ["svg_active"]
    assert svg_codes(f"{OPEN}><style>rect {{ fill: {value} }}</style></svg>") == ["svg_active"]


@pytest.mark.parametrize(
    "style",
    [
        '.a::after { content: "/*" } .b { fill: url(http://evil.test/x) } .c::after { content: "*/" }',
        "@font-face { font-family: x; src: local(x) }",
        "@namespace x 'http://evil.test';",
        "@media print { @import 'http://evil.test/x' }",
        "<![CDATA[ rect { fill: url(http://evil.test) } ]]>",
    ],
)
def test_a_style_that_hides_what_it_loads_is_refused(style: str) -> None:
    assert svg_codes(f"{OPEN}><style>{style}</style></svg>") == ["svg_active"]


@pytest.mark.parametrize("name", ["animateTransform", "animateMotion", "feImage", "iframe", "audio", "video", "listener", "foreignObject"])
def test_each_thing_that_acts_is_refused_by_name(name: str) -> None:
    report = Report()
    assert clean_svg(f"{OPEN}><g><{name}/></g></svg>".encode(), "a.svg", report) is None
    assert f"“{name}”" in report.rows[0].message


def test_a_link_hidden_by_numbers_of_letters_is_refused() -> None:
    assert svg_codes(f'{OPEN}><a xlink:href="&#106;ava&#x73;cript:alert(1)"><text>x</text></a></svg>') == ["svg_active"]


def test_what_a_drawing_program_notes_for_itself_is_left_out_and_said() -> None:
    report = Report()
    inkscape = (
        'xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape" xmlns:sodipodi="http://sodipodi.sourceforge.net/DTD/sodipodi-0.dtd"'
    )
    drawing = (
        f'{OPEN} {inkscape} viewBox="0 0 9 9" sodipodi:docname="/home/maria/pelvis.svg"><!-- by Maria --><metadata>Maria</metadata>'
        '<sodipodi:namedview id="n"/><g inkscape:label="Layer" data-name="x"><text>a<flowRoot>b</flowRoot>c</text></g></svg>'
    )
    found = clean_svg(drawing.encode(), "a.svg", report)
    assert found is not None
    assert b"aria" not in found[0]
    assert b"<text>ac</text>" in found[0]
    assert [row.code for row in report.rows] == ["svg_trimmed"]
    assert all(name in report.rows[0].message for name in ("metadata", "namedview", "data-name"))


USE = '<use href="#p"/>'


def test_a_part_drawn_again_and_again_is_fine_within_reason() -> None:
    assert svg_codes(f'{OPEN} viewBox="0 0 1 1"><defs><path id="p"/></defs>{USE * 100}</svg>') == []


def test_parts_that_draw_one_another_without_end_are_refused_at_once() -> None:
    doubling = "".join(f'<g id="g{n}">{USE.replace("#p", f"#g{n - 1}") * 10}</g>' for n in range(1, 12))
    began = time.process_time()
    assert svg_codes(f'{OPEN}><defs><path id="g0"/>{doubling}</defs></svg>') == ["svg_active"]
    assert svg_codes(f'{OPEN}><g id="a"><use xlink:href="#a"/></g></svg>') == ["svg_active"]
    chain = "".join(f'<g id="c{n}"><use href="#c{n - 1}"/></g>' for n in range(1, 2000))
    assert svg_codes(f'{OPEN}>{chain}<use href="#c1999"/></svg>') == ["svg_active"]
    assert time.process_time() - began < 1.0


names = st.one_of(st.sampled_from(sorted(ELEMENTS)), st.sampled_from(["script", "image", "foo", "h:b", "set", "animate"]))
keys = st.one_of(st.sampled_from(sorted(ATTRIBUTES)), st.sampled_from(["onload", "xlink:href", "src", "xlink:title", "data-x", "h:x"]))
values = st.one_of(st.sampled_from(["#a", "red", "url(#a)", "1", *HIDDEN, "javascript:alert(1)"]), st.text(max_size=12))


@st.composite
def drawings(draw: st.DrawFn) -> str:
    """A drawing of any elements and attributes."""

    def element(depth: int) -> str:
        name = draw(names)
        facts = draw(st.dictionaries(keys, values, max_size=3))
        written = "".join(f" {key}={_quoted(value)}" for key, value in facts.items())
        inside = "".join(element(depth + 1) for _ in range(draw(st.integers(0, 2 if depth < 3 else 0))))
        return f"<{name}{written}>{inside}</{name}>"

    return f'{OPEN} viewBox="0 0 9 9">{element(0)}</svg>'


def _quoted(value: str) -> str:
    legal = "".join(letter for letter in value if letter.isprintable())
    return '"' + legal.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;") + '"'


@settings(max_examples=300, deadline=None)
@given(drawings())
def test_whatever_is_drawn_what_comes_out_holds_only_what_a_drawing_may_hold(content: str) -> None:
    report = Report()
    found = clean_svg(content.encode(), "a.svg", report)
    if found is None:
        assert report.has_errors
        return
    for element in ElementTree.fromstring(found[0]).iter():
        assert element.tag.removeprefix("{http://www.w3.org/2000/svg}") in ELEMENTS
        assert set(element.attrib) <= ATTRIBUTES
        assert element.get("href", "#").startswith("#")
        assert not re.search(
            r"\\|url\((?!\s*[\"']?\s*#)|image-set|javascript:",
            " ".join(value for name, value in element.attrib.items() if name not in WORDS).lower(),  # nobody reads words as CSS
        )
    assert clean_svg(found[0], "a.svg", Report()) == found


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(str.encode),
        st.text(max_size=99).map(lambda text: f"{OPEN}>{text}</svg>".encode()),
    )
)
def test_whatever_comes_for_a_drawing_is_answered(content: bytes) -> None:
    report = Report()
    assert (clean_svg(content, "a.svg", report) is None) == report.has_errors


def test_the_drawings_of_our_courses_look_as_they_were_drawn(tmp_path: Path) -> None:
    """Point for point, as the printed copy draws them."""
    for number, path in enumerate(path for folder in COURSES for path in sorted(folder.rglob("*.svg"))):
        shots = []
        for name, content in (("before", path.read_text()), ("after", cleaned(path.read_text()))):
            (tmp_path / f"{name}{number}.svg").write_text(content)
            source = f'#set page(width: 400pt, height: 450pt)\n#image("{name}{number}.svg")'.encode()
            shots.append(typst.compile(source, root=str(tmp_path), format="png", ppi=72.0))
        assert shots[0] == shots[1], path.name
