"""Captions become paragraphs to read."""

import pytest

from courseapp.catalog.captions import transcript_of
from courseapp.catalog.markdown import AssetPlace, Surroundings, render

FILE = """WEBVTT - a talk

STYLE
::cue { color: red }

NOTE Nobody is to read this.
00:00:00.000 --> 00:00:01.000

1
00:00:00.000 --> 00:00:02.000 align:start position:0%
<v Ada>Breathe <i>in</i>,

00:00:02.000 --> 00:00:04.500
Breathe in,
slowly &amp; <00:00:03.000>gently.

last
01:00:09.000 --> 01:00:10.000
<v.loud Eve>Ready?

01:00:10.000 --> 01:00:11.000
<v Ada>Yes &lt;3
"""


def test_captions_become_paragraphs_by_speaker_and_pause():
    assert transcript_of(FILE) == ("Ada: Breathe in, slowly & gently.", "Eve: Ready?", "Ada: Yes <3")
    assert transcript_of("\ufeff" + FILE.replace("\n", "\r\n")) == transcript_of(FILE)


def test_a_pause_and_a_long_paragraph_begin_a_new_one():
    cues = [f"00:{n:02}.000 --> 00:{n + 1:02}.000\nSentence {n} of forty letters, more or less." for n in range(20)]
    cues.append("00:40.000 --> 00:41.000\nAfter a pause.")
    found = transcript_of("WEBVTT\n\n" + "\n\n".join(cues))
    assert len(found) == 3
    assert all(500 < len(words) < 600 for words in found[:1])
    assert found[-1] == "After a pause."


@pytest.mark.parametrize("text", ["", "WEBVTT", "words", "1\n00:00:00,000 --> 00:00:01,000\nSubRip", "WEBVTT\n\nno times\n\n-->"])
def test_what_is_no_captions_says_nothing(text):
    assert transcript_of(text) == ()


def test_a_film_shows_what_is_said_in_it_and_nothing_of_it_is_markup():
    place = AssetPlace("/assets/film.mp4", captions_url="/assets/film.vtt", transcript=("One <script>alert(1)</script>", "Two & three"))
    html = render('![](film.mp4 "A film")', Surroundings("", {"film.mp4": place}, {}, box_titles={"transcript": "To read"})).html
    assert html.endswith(
        '</video><details class="transcript"><summary>To read</summary><p>One &lt;script&gt;alert(1)&lt;/script&gt;</p>'
        "<p>Two &amp; three</p></details><figcaption>A film</figcaption></figure>\n"
    )


def test_without_captions_there_is_nothing_to_read():
    assert "<details" not in render("![](film.mp4)", Surroundings("", {"film.mp4": AssetPlace("/assets/film.mp4")}, {})).html
