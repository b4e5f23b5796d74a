"""Nothing is looked at without end, and nothing is said without end."""

import threading
import time

import pytest
from flask import Flask

from courseapp.authoring import patience
from courseapp.authoring.patience import at_most
from courseapp.authoring.report import LONGEST_WORDS, MOST_ALIKE, MOST_ROWS, Report, Severity, Unfit
from courseapp.authoring.revising import Neighbours, render_text
from courseapp.catalog import markdown


def spin(seconds: float) -> None:
    """Be at work so long, and take an interruption for a failure of one's own, as libraries do."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            sum(range(1000))
        except Exception:
            continue


def test_what_takes_too_long_is_given_up_in_words() -> None:
    began = time.monotonic()
    with pytest.raises(Unfit) as told, at_most(0.2):
        spin(30)
    assert (told.value.code, bool(told.value.mend)) == ("too_slow", True)
    assert time.monotonic() - began < 10
    with at_most(0.2):
        pass
    time.sleep(0.4)  # no signal comes afterwards


def test_within_another_bound_and_beside_the_main_thread_everything_takes_its_time() -> None:
    with at_most(20), at_most(0.05):
        spin(0.2)
    done = []

    def beside() -> None:
        with at_most(0.05):
            spin(0.2)
        done.append(True)

    thread = threading.Thread(target=beside)
    thread.start()
    thread.join(20)
    assert done == [True]


def test_a_text_that_takes_too_long_keeps_the_upload_out(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "A_TEXT", 0.1)
    monkeypatch.setattr("courseapp.authoring.revising.A_TEXT", 0.1)
    monkeypatch.setattr(markdown, "parse", lambda _source: spin(30))
    report = Report()
    rendered = render_text("words", "a.md", 1, Neighbours("en", {}, {}), report)
    assert (rendered.html, [(row.code, row.file) for row in report.rows]) == ("", [("too_slow", "a.md")])


def test_findings_without_end_are_counted_and_no_longer_listed() -> None:
    report = Report()
    for number in range(MOST_ALIKE + 5):
        report.warn("alike", "a.md", number, "m", "m")
    report.error("other", "a.md", 1, "m", "m")
    assert (report.count(Severity.WARNING), report.count(Severity.ERROR), len(report.rows)) == (MOST_ALIKE + 5, 1, MOST_ALIKE + 1)
    assert report.as_dicts()[-1]["message"] == "There are 5 more findings like these, which are not listed."
    for number in range(MOST_ROWS):
        report.note("n", f"{number}.md", 0, "m", "")
    report.error("late", "b.md", 1, "m", "m")
    assert len(report.rows) == MOST_ROWS
    assert report.count(Severity.ERROR) == 2
    assert report.has_errors


def test_whatever_a_file_is_called_a_page_can_say_it() -> None:
    report = Report()
    report.error("c", "a\udcff\0.md", 0, "x" * 5000, "m")
    (row,) = report.rows
    assert row.file == "a\\udcff\\0.md"
    assert len(row.message) <= LONGEST_WORDS + 2
    str(report.as_dicts()).encode()
