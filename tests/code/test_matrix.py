"""The table of who is answered what (routes.txt) has each route, and what judges answers by it does; `tests/test_everyone.py` asks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.routing import Map, Rule

from tests.code.matrix import PEOPLE, TABLE, Answer, Row, gaps, rows_of, wrong_answers
from tests.code.source import expect
from tests.code.stage import FORMS, Stage


@pytest.fixture
def stage(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Everyone and everything that the table speaks of."""
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)  # a page that breaks is a finding among others
    made = Stage(app, tmp_path)
    yield made
    made.close()


@pytest.mark.one_database
def test_every_route_has_its_rows(app: Flask) -> None:
    fail_with(gaps(app.url_map, list(rows_of(TABLE.read_text()))))


@pytest.mark.one_database
def test_every_form_belongs_to_a_route(app: Flask) -> None:
    assert FORMS.keys() - {rule.endpoint for rule in app.url_map.iter_rules()} == set()


@pytest.mark.one_database
def test_the_stage_stands_as_before_after_each_request(stage: Stage) -> None:
    signs_out, erases, account = (
        Row(*words.split(), {}) for words in ("POST /sign-out -", "POST /staff/people/<id>/erase person", "GET /account -")
    )
    for row, person in ((signs_out, "learner"), (erases, "owner"), (erases, "owner")):
        assert stage.ask(row, person).words == "303+"
        assert stage.ask(account, "learner").words == "200"


@pytest.mark.one_database
def test_a_wrong_answer_of_the_true_table_is_found(stage: Stage) -> None:
    row = Row("GET", "/staff/team", "-", {"marketer": "200", "owner": "200"})
    assert wrong_answers([row], stage.ask) == ["GET /staff/team -: marketer is answered with 404 and not 200"]


THINGS = Map([Rule("/things/<id>", methods=["GET", "POST"]), Rule("/all", methods=["GET"])])
ALL = "GET /all - 200 200 200 200 200 200 200\n"
ONE, NO = "GET /things/<id> own 404 200 200 200 200 200 200\n", "GET /things/<id> nothing 404 404 404 404 404 404 404\n"
BOTH = ONE + NO + (ONE + NO).replace("GET", "POST")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (ALL + BOTH, None),
        (ALL + ONE + NO, "POST /things/<id> has no row"),
        (BOTH, "GET /all has no row"),
        (ALL + BOTH + ALL.replace("all", "old"), "there is no such route"),
        (ALL + BOTH + ONE, "own is written twice"),
        (ALL + ALL + BOTH, "is about no thing"),
        (ALL.replace("-", "own") + BOTH, "is about no thing"),
        (ALL + BOTH.replace(NO, ""), "one for nothing"),
        (ALL + BOTH.replace(ONE, ""), "for each kind of thing"),
    ],
)
def test_a_planted_gap_is_found(table: str, words: str | None) -> None:
    expect(gaps(THINGS, list(rows_of(table))), words)


@pytest.mark.parametrize("line", ["GET /all - 200", ONE.replace("own", "")])
def test_a_line_with_too_few_columns_is_no_row(line: str) -> None:
    with pytest.raises(ValueError, match="columns instead of 10"):
        list(rows_of(line))


@pytest.mark.parametrize(
    ("nothing", "own", "words"),
    [
        ("404", "200", None),
        ("404", "404", "nobody is answered with 404 and not 200"),
        ("404", "200+", "nobody is answered with 200+ and not 200"),
        ("404", "200+", "nothing may be written then"),
        ("404+", "200", "nothing may be written then"),
        ("403", "200", "nobody is answered with 403 and not 404"),
    ],
)
def test_a_planted_answer_is_judged_rightly(nothing: str, own: str, words: str | None) -> None:
    rows = [Row("GET", "/things/<id>", thing, {"nobody": status}) for thing, status in (("own", "200"), ("nothing", "404"))]
    expect(wrong_answers(rows, lambda row, _person: Answer(own if row.thing == "own" else nothing, "")), words)


@pytest.mark.parametrize(("whole", "words"), [("404 no", None), ("404 not yours", "tells that the thing is there")])
def test_a_planted_refusal_that_tells_is_found(whole: str, words: str | None) -> None:
    rows = [Row("POST", "/things/<id>", thing, {"other": "404"}) for thing in ("own", "nothing")]
    expect(wrong_answers(rows, lambda row, _person: Answer("404", whole if row.thing == "own" else "404 no")), words)


def test_the_table_names_the_people_of_the_stage() -> None:
    heads = [line.lstrip("# ").split() for line in TABLE.read_text().splitlines() if line.startswith("#") and "marketer owner" in line]
    assert heads
    assert all(head == list(PEOPLE) for head in heads)


def fail_with(found: list[str]) -> None:
    """Fail with the findings and no more."""
    if found:
        pytest.fail("\n".join(found), pytrace=False)
