"""Captions come out as WebVTT that every browser reads; what is wrong in them is said by line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courseapp.authoring.captions import prepare_captions
from courseapp.authoring.report import Report, Severity

GOOD = """WEBVTT

NOTE recorded at Maria's

intro
00:01.000 --> 00:02.500 align:start position:10%
<v Anna>Breathe <b>in</b>.
And out.

01:00:02.000 --> 01:00:03.000
Later.
"""
SUBRIP = (
    '1\r\n00:00:01,000 --> 00:00:02,500\r\n<font color="red">Breathe <i>in</i> & out</font>\r\n\r\n'
    "2\r\n00:00:03,000 --> 00:00:04,000\r\n1 < 2 --> yes\r\n"
)


def prepared(text: str | bytes, suffix: str = ".vtt") -> tuple[str | None, list[tuple[str, int]]]:
    """What captions become, and what is said of them."""
    report = Report()
    found = prepare_captions(text if isinstance(text, bytes) else text.encode(), suffix, f"a{suffix}", report)
    return found.decode() if found is not None else None, [(row.code, row.line) for row in report.rows]


def test_captions_keep_their_words_times_and_places_and_lose_their_notes() -> None:
    text, problems = prepared(GOOD)
    assert problems == []
    assert text == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.500 align:start position:10%\n<v Anna>Breathe <b>in</b>.\nAnd out.\n\n"
        "01:00:02.000 --> 01:00:03.000\nLater.\n"
    )


def test_subrip_becomes_webvtt() -> None:
    text, problems = prepared(SUBRIP, ".srt")
    assert problems == []
    assert text == ("WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nBreathe in &amp; out\n\n00:00:03.000 --> 00:00:04.000\n1 &lt; 2 --&gt; yes\n")


@pytest.mark.parametrize(
    ("text", "suffix", "found"),
    [
        ("WEBVTTX\n\n00:01.000 --> 00:02.000\nx", ".vtt", [("captions_head", 1)]),
        ("WEBVTT\n\n00:01 --> 00:02\nx", ".vtt", [("captions_broken", 3)]),
        ("WEBVTT\n\nid\n00:05.000 --> 00:02.000\nx\n\n99:99.000 --> 1\ny", ".vtt", [("captions_broken", 4), ("captions_broken", 7)]),
        ("WEBVTT\n\nwords without a time\n", ".vtt", [("captions_broken", 3)]),
        ("WEBVTT\n\n", ".vtt", [("captions_empty", 0)]),
        ("1\n00:00:01,000 -> 00:00:02,000\nx", ".srt", [("captions_broken", 1)]),
        (b"WEBVTT\n\n00:01.000 --> 00:02.000\nGr\xfc\xdfe", ".vtt", [("captions_encoding", 4)]),
    ],
)
def test_what_is_wrong_is_said_by_line(text: str | bytes, suffix: str, found: list[tuple[str, int]]) -> None:
    assert prepared(text, suffix) == (None, found)


def test_words_out_of_order_are_shown_with_a_warning() -> None:
    text, problems = prepared("WEBVTT\n\n00:05.000 --> 00:06.000\nb\n\n00:01.000 --> 00:02.000\na\n")
    assert text is not None
    assert problems == [("captions_order", 6)]


def test_a_file_of_nothing_but_mistakes_is_not_reported_without_end() -> None:
    _text, problems = prepared("WEBVTT\n\n" + "x\n\n" * 10_000)
    assert len(problems) == 20


@given(st.text(alphabet="WEBVT01:.,->\n \r&<b>é\0", max_size=120), st.sampled_from([".vtt", ".srt"]))
def test_whatever_comes_is_answered_and_what_comes_out_is_good(text: str, suffix: str) -> None:
    for content in (text, f"WEBVTT\n\n00:01.000 --> 00:02.000\n{text}"):
        report = Report()
        found = prepare_captions(content.encode(), suffix, "a", report)
        assert (found is None) == (report.count(Severity.ERROR) > 0)
        if found is not None:
            again = Report()
            assert prepare_captions(found, ".vtt", "a", again) == found
