"""Nothing a person writes into a lesson runs in a reader's browser, whichever way it is written."""

import re

import html5lib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from courseapp.catalog.markdown import ALLOWED_ATTRIBUTES, ALLOWED_TAGS, render, sanitised
from courseapp.catalog.references import AssetPlace, Surroundings

PLACES = {
    "pic.svg": AssetPlace("/assets/pic.svg", 10, 10),
    "talk.mp3": AssetPlace("/assets/talk.mp3"),
    "film.mp4": AssetPlace("/assets/film.mp4"),
}
ALLOWED_NAMES = set().union(*ALLOWED_ATTRIBUTES.values()) | {"rel", "title", "lang"}
SAFE = {"http", "https", "mailto"}
SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")
BLANKS = "".join(map(chr, range(33)))  # what browsers leave out before a scheme (WHATWG URL)

ATTEMPTS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.test/x.js></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<style>@import url(//evil.test)</style>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=javascript:alert(1)><embed src=//evil.test>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href=' &#x6A;avascript:alert(1)'>x</a>",
    "<a href='java\tscript:alert(1)'>x</a>",
    "<!-- --><script>alert(1)</script> -->",
    "<!--><img src=x onerror=alert(1)>-->",
    "<p style='background:url(//evil.test)'>x</p>",
    "<form action=//evil.test><input name=q><button formaction=javascript:alert(1)>x</button></form>",
    "<base href=//evil.test>",
    "<meta http-equiv=refresh content='0;url=//evil.test'>",
    "<link rel=stylesheet href=//evil.test>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<template><script>alert(1)</script></template>",
    "<div id=x tabindex=1 onfocus=alert(1) autofocus>",
    "<video src=x onerror=alert(1)><source src=x onerror=alert(1)></video>",
    "<details open ontoggle=alert(1)>",
    "<img srcset='x 1x, //evil.test 2x'>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#115;cript:alert(1))",
    "[x](&#x6A;avascript:alert(1))",
    "[x](%6Aavascript:alert(1))",
    "[x](java\\script:alert(1))",
    "[x](<java\tscript:alert(1)>)",
    "[x](\x01javascript:alert(1))",
    "[x](vbscript:msgbox)",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](file:///etc/passwd)",
    "[x]( 'title\" onmouseover=\"alert(1)')",
    '[x](https://e.test "t\\" onmouseover=\\"alert(1)")',
    "![x](javascript:alert(1))",
    "![x](data:image/svg+xml;base64,PHN2Zy8+)",
    '![x" onerror="alert(1)](pic.svg)',
    '![x](pic.svg "</figcaption><script>alert(1)</script>")',
    '!["><script>alert(1)</script>](talk.mp3)',
    "<javascript:alert(1)>",
    '<https://e.test/"onclick=alert(1)>',
    "::: note <script>alert(1)</script>\nx\n:::",
    '::: note " onclick=alert(1)\nx\n:::',
    '```" onclick=alert(1)\n<script>alert(1)</script>\n```',
    '[^x" onclick=alert(1)]\n\n[^x" onclick=alert(1)]: <script>alert(1)</script>',
    "|a|\n|-|\n|<script>alert(1)</script>|",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;script&#62;",
    "[r]\n\n[r]: javascript:alert(1)",
    "# <script>alert(1)</script>",
    "- [ ] <img src=x onerror=alert(1)>",
    "\x00<script>\x00alert(1)</script>",
    "{{ config }} {% raw %}",
]


def harm_in(html: str) -> list[str]:
    """What in a piece of HTML, read as a browser reads it, could run, load from elsewhere or send something."""
    found = []
    for element in html5lib.parseFragment(html, namespaceHTMLElements=False).iter():
        if not isinstance(element.tag, str):
            found.append("a comment")
        elif element.tag not in {*ALLOWED_TAGS, "DOCUMENT_FRAGMENT"}:
            found.append(f"<{element.tag}>")
        for name, value in element.attrib.items():
            if name not in ALLOWED_NAMES:
                found.append(f"{name}={value}")
            elif name == "src" and value and not value.startswith("/assets/"):
                found.append(f"src={value}")
            elif (
                name == "href" and (scheme := SCHEME.match(re.sub(r"[\t\n\r]", "", value).lstrip(BLANKS))) and scheme[1].lower() not in SAFE
            ):
                found.append(f"href={value}")
    return found


def all_of(source: str) -> str:
    """Everything that is stored of a lesson."""
    found = render(source, Surroundings("", PLACES, {"first": "/lessons/abc"}, box_titles={}))
    return found.html + (found.adapted_html or "") + found.stop_html


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_an_attempt_at_a_script_becomes_words_or_nothing(attempt: str) -> None:
    assert not harm_in(all_of(attempt))


def test_a_lesson_full_of_attempts_keeps_its_words() -> None:
    html = all_of("\n\n".join([*ATTEMPTS, "The last words."]))
    assert not harm_in(html)
    assert "The last words." in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


@pytest.mark.parametrize("attempt", [attempt for attempt in ATTEMPTS if "src" not in attempt])
def test_the_last_sieve_holds_by_itself(attempt: str) -> None:
    assert not harm_in(sanitised(attempt))


def test_names_that_begin_with_on_are_never_allowed() -> None:
    assert not {name for name in ALLOWED_NAMES if name.startswith("on") or name in {"style", "srcdoc", "action", "formaction"}}
    assert not ALLOWED_TAGS & {"script", "style", "svg", "math", "iframe", "object", "embed", "form", "base", "link", "meta", "template"}


def test_the_check_for_harm_sees_harm() -> None:
    assert harm_in("<script>1</script>")
    assert harm_in("<p onclick=x>")
    assert harm_in("<p style=x>")
    assert harm_in("<a href='JavaScript:x'>")
    assert harm_in("<a href=' java\tscript:x'>")
    assert harm_in("<img src='//evil.test'>")
    assert harm_in("<!-- x -->")
    assert not harm_in('<p>on="x" javascript:</p><a href="https://x.test">x</a>')


pieces = st.lists(
    st.one_of(
        st.sampled_from(ATTEMPTS),
        st.sampled_from(
            ["\n\n", "\n", "::: note ", "\n:::\n", "`", "~~", "|", "<", ">", '"', "'", "](", "![", "[", "<!--", "-->", "&#", "\\"]
        ),
        st.text(max_size=8),
    ),
    max_size=12,
).map("".join)


@given(pieces)
@settings(max_examples=300, deadline=None)
def test_no_text_whatever_becomes_anything_but_words_figures_and_safe_links(text: str) -> None:
    assert not harm_in(all_of(text))


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_can_be_rendered(text: str) -> None:
    assert isinstance(all_of(text), str)
