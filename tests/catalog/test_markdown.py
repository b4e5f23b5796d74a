"""What each construct of a lesson's Markdown becomes, to the letter; and what is wrong with it, with the line."""

import pytest

from courseapp.catalog.markdown import Rendered, render
from courseapp.catalog.references import AssetPlace, Surroundings, normal_path

PLACES = {
    "m/pic.svg": AssetPlace("/assets/pic.svg", 640, 320),
    "m/plain.png": AssetPlace("/assets/plain.png"),
    "m/talk.mp3": AssetPlace("/assets/talk.mp3"),
    "m/film.mp4": AssetPlace("/assets/film.mp4", captions_url="/assets/film.vtt"),
    "m/silent.webm": AssetPlace("/assets/silent.webm"),
    "m/two words.svg": AssetPlace("/assets/blank.svg"),
    "m/gefühl.svg": AssetPlace("/assets/letters.svg"),
    "top.svg": AssetPlace("/assets/top.svg"),
}
TITLES = {"stop-if": "Stop if", "note": "Good to know"}
REL = 'rel="noopener noreferrer"'


def rendered(source: str, folder: str = "m") -> Rendered:
    """A lesson in the folder `m`, beside the files above and one other lesson."""
    return render(source, Surroundings(folder, PLACES, {"first": "/lessons/abc"}, box_titles=TITLES))


def problems(source: str) -> list[tuple[str, int]]:
    """What is wrong, as (code, line)."""
    return [(problem.code, problem.line) for problem in rendered(source).problems]


GOLDEN = {
    "words": ('a **b** *c* `d` -- "q" ...', "<p>a <strong>b</strong> <em>c</em> <code>d</code> – “q” …</p>\n"),
    "what is struck out stays struck out": ("do ~~not~~ stop", "<p>do <s>not</s> stop</p>\n"),
    "a hard break": ("line  \nbreak", "<p>line<br>\nbreak</p>\n"),
    "headings begin below the title": ("## B & *c*\n\n### D", "<h2>B &amp; <em>c</em></h2>\n<h3>D</h3>\n"),
    "a heading too high or too low is kept as one": ("# A\n\n###### F", "<h2>A</h2>\n<h5>F</h5>\n"),
    "a pause": ("a\n\n***", "<p>a</p>\n<hr>\n"),
    "lists": ("3. a\n4. b\n   - c", '<ol start="3">\n<li>a</li>\n<li>b\n<ul>\n<li>c</li>\n</ul>\n</li>\n</ol>\n'),
    "a quotation": ("> q", "<blockquote>\n<p>q</p>\n</blockquote>\n"),
    "code": ("    code\n\n```py\nx<y\n```", "<pre><code>code\n</code></pre>\n<pre><code>x&lt;y\n</code></pre>\n"),
    "a table scrolls by itself, by keyboard too": (
        "|a|b|\n|:-|-:|\n|1|*2*|",
        '<div class="table-scroll" tabindex="0" role="region" aria-label="Table 1"><table>\n<thead>\n<tr>\n<th>a</th>\n<th>b</th>\n</tr>\n'
        "</thead>\n<tbody>\n<tr>\n<td>1</td>\n<td><em>2</em></td>\n</tr>\n</tbody>\n</table></div>\n",
    ),
    "a footnote and the way back from it": (
        "x[^1]\n\n[^1]: Note.",
        f'<p>x<sup class="footnote-ref"><a href="#fn1" id="fnref1" {REL}>[1]</a></sup></p>\n'
        '<hr class="footnotes-sep">\n'
        '<section class="footnotes">\n<ol class="footnotes-list">\n'
        f'<li id="fn1" class="footnote-item"><p>Note. <a href="#fnref1" class="footnote-backref" {REL}>↩︎</a></p>\n</li>\n'
        "</ol>\n</section>\n",
    ),
    "a task list, each box with its words": (
        "- [ ] do\n- [x] done",
        '<ul class="contains-task-list">\n'
        '<li class="task-list-item"><label><input class="task-list-item-checkbox" disabled="disabled" type="checkbox"> do</label></li>\n'
        '<li class="task-list-item"><label><input class="task-list-item-checkbox" checked="checked" disabled="disabled" type="checkbox">'
        " done</label></li>\n</ul>\n",
    ),
    "a container with its standard title": (
        "::: note\nhi\n:::",
        '<aside class="box box-note">\n<p class="box-title">Good to know</p>\n<p>hi</p>\n</aside>\n',
    ),
    "a container with a title of its own, which is text": (
        "::: note Own *title* <x>\nhi\n:::",
        '<aside class="box box-note">\n<p class="box-title">Own *title* &lt;x&gt;</p>\n<p>hi</p>\n</aside>\n',
    ),
    "a container without any title": ("::: practice\nx\n:::", '<aside class="box box-practice">\n<p>x</p>\n</aside>\n'),
    "containers in containers": (
        ":::: note Outer\n::: key Inner\n- x\n:::\nafter\n::::",
        '<aside class="box box-note">\n<p class="box-title">Outer</p>\n<aside class="box box-key">\n<p class="box-title">Inner</p>\n'
        "<ul>\n<li>x</li>\n</ul>\n</aside>\n<p>after</p>\n</aside>\n",
    ),
    "an image alone is a figure, with its size and caption": (
        '![alt](pic.svg "Cap & t")',
        '<figure><img src="/assets/pic.svg" alt="alt" loading="lazy" decoding="async" width="640" height="320">'
        "<figcaption>Cap &amp; t</figcaption></figure>\n",
    ),
    "a figure inside a container": (
        "::: practice\n![alt](pic.svg)\n:::",
        '<aside class="box box-practice">\n'
        '<figure><img src="/assets/pic.svg" alt="alt" loading="lazy" decoding="async" width="640" height="320"></figure>\n</aside>\n',
    ),
    "an image among words is none": (
        '![a "b"](plain.png) in text',
        '<p><img src="/assets/plain.png" alt="a &quot;b&quot;" loading="lazy" decoding="async"> in text</p>\n',
    ),
    "sound": (
        '![](talk.mp3 "A talk")',
        '<figure><audio controls="" preload="none" src="/assets/talk.mp3"></audio><figcaption>A talk</figcaption></figure>\n',
    ),
    "film with captions": (
        "![](film.mp4)",
        '<figure><video controls="" preload="none" src="/assets/film.mp4">'
        '<track kind="captions" src="/assets/film.vtt" default=""></video></figure>\n',
    ),
    "film without": ("![](silent.webm)", '<figure><video controls="" preload="none" src="/assets/silent.webm"></video></figure>\n'),
    "files named with blanks, other letters, or a folder above": (
        "![x](<two words.svg>)\n\n![y](gefühl.svg)\n\n![z](../top.svg)",
        '<figure><img src="/assets/blank.svg" alt="x" loading="lazy" decoding="async"></figure>\n'
        '<figure><img src="/assets/letters.svg" alt="y" loading="lazy" decoding="async"></figure>\n'
        '<figure><img src="/assets/top.svg" alt="z" loading="lazy" decoding="async"></figure>\n',
    ),
    "links to lessons and pages of ours": (
        "[l](lesson:first) [h](page:help-now) [s](page:safety-check)",
        f'<p><a href="/lessons/abc" {REL}>l</a> <a href="/help-now" {REL}>h</a> <a href="/safety-check" {REL}>s</a></p>\n',
    ),
    "links to elsewhere tell nobody where they came from": (
        "[o](https://x.test/?a=1&b=2) [H](HTTPS://x.test) [m](mailto:a@b.test)",
        f'<p><a href="https://x.test/?a=1&amp;b=2" {REL}>o</a> <a href="HTTPS://x.test" {REL}>H</a> '
        f'<a href="mailto:a@b.test" {REL}>m</a></p>\n',
    ),
}


@pytest.mark.parametrize("what", GOLDEN)
def test_each_construct_becomes_this_html_and_no_other(what: str) -> None:
    source, html = GOLDEN[what]
    found = rendered(source)
    assert found.html == html
    assert not found.problems
    assert found.adapted_html is None
    assert found.stop_html == ""


def test_the_files_a_lesson_shows_are_named_by_their_path_in_the_course() -> None:
    assert rendered("![a](pic.svg)\n\n![b](../top.svg) and ![](talk.mp3)").assets == {"m/pic.svg", "top.svg", "m/talk.mp3"}


VARIANTS = """Before.

::: standard
Press *here*.
:::

::: adapted
Only breathe.
:::

::: stop-if
- pain
:::

:::: note
::: adapted
Rest more.
:::
::::
"""


def test_each_variant_shows_its_own_words_and_those_for_everyone() -> None:
    found = rendered(VARIANTS)
    box = '<aside class="box box-stop-if">\n<p class="box-title">Stop if</p>\n<ul>\n<li>pain</li>\n</ul>\n</aside>\n'
    note = '<aside class="box box-note">\n<p class="box-title">Good to know</p>\n{}</aside>\n'
    assert found.html == f"<p>Before.</p>\n<p>Press <em>here</em>.</p>\n{box}{note.format('')}"
    assert found.adapted_html == f"<p>Before.</p>\n<p>Only breathe.</p>\n{box}{note.format('<p>Rest more.</p>' + chr(10))}"


def test_what_stands_in_the_first_stop_box_is_kept_apart() -> None:
    assert rendered("::: stop-if\n- pain: [help](page:help-now)\n:::\n\n::: stop-if\n- other\n:::").stop_html == (
        f'<ul>\n<li>pain: <a href="/help-now" {REL}>help</a></li>\n</ul>\n'
    )


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("a\n\n![x](gone.svg)", [("file_missing", 3)]),
        ("![x](Pic.svg)", [("file_missing", 1)]),  # letter case counts
        ("![x](../../top.svg)", [("file_missing", 1)]),  # above the course
        ("![x](/etc/passwd)", [("file_missing", 1)]),
        ("![x](..%2F..%2Fetc/passwd)", [("file_missing", 1)]),
        ("a\nb\n\n![](pic.svg)", [("alt_missing", 4)]),
        ("> ![x](http://127.0.0.1:9/a.png)", [("image_elsewhere", 1)]),
        ("![x](//evil.test/a.png)", [("image_elsewhere", 1)]),
        ("![x](data:image/png;base64,AAAA)", [("image_elsewhere", 1)]),
        ("![x](http%3A%2F%2Fevil.test/a.png)", [("image_elsewhere", 1)]),
        ("[x](lesson:nowhere)", [("lesson_unknown", 1)]),
        ("\n\n- [x](page:nowhere)", [("page_unknown", 3)]),
        ("[x](other.md)", [("link_unsafe", 1)]),
        ("[x](//evil.test)", [("link_unsafe", 1)]),
        ("[x](ftp://evil.test)", [("link_unsafe", 1)]),
        ("a\n\n::: warning\nx\n:::", [("container_unknown", 3), ("container_unknown", 5)]),
        ("::: note\n::: nope\n:::", [("container_unknown", 2)]),
    ],
)
def test_what_is_wrong_is_told_with_its_line(source: str, found: list[tuple[str, int]]) -> None:
    assert problems(source) == found


def test_several_things_wrong_are_told_together() -> None:
    assert problems("[a](lesson:x) ![b](gone.svg)\n\n[c](page:y)") == [("lesson_unknown", 1), ("file_missing", 1), ("page_unknown", 3)]


def test_a_problem_says_what_is_wrong_and_how_to_mend_it() -> None:
    problem = rendered("![x](gone.svg)").problems[0]
    assert "gone.svg" in problem.message
    assert "Add it beside the lesson" in problem.mend


@pytest.mark.parametrize(
    ("folder", "target", "path"),
    [
        ("m", "a.svg", "m/a.svg"),
        ("m", "./a.svg", "m/a.svg"),
        ("m/n", "../a.svg", "m/a.svg"),
        ("", "a.svg", "a.svg"),
        ("m", "../../a", None),
    ],
)
def test_a_path_never_leads_out_of_the_course(folder: str, target: str, path: str | None) -> None:
    assert normal_path(folder, target) == path


def test_every_table_has_a_name_of_its_own() -> None:
    found = rendered("|a|\n|-|\n|1|\n\nBetween.\n\n|b|\n|-|\n|2|").html
    assert 'aria-label="Table 1"' in found
    assert 'aria-label="Table 2"' in found
