"""Letters: allow-listed fields, said in words what is wrong, and never changed once published."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from courseapp.contacts.models import Purpose
from courseapp.mailing.blocks import Target
from courseapp.mailing.fields import ADDRESSES, ALLOWED, FIELD
from courseapp.mailing.letters import Unfit, kept_letter, publish_letter
from courseapp.mailing.message import weight_of
from courseapp.mailing.problems import HEAVIEST, Kind, Place, Problem, hindering, problems_of_letter, references_in
from courseapp.mailing.text import Text
from tests.conftest import NOW

pytestmark = [pytest.mark.one_database, pytest.mark.usefixtures("app")]
LESSON = "lesson:introduction/one"
TARGET = Target("Sitting well", "How to sit.", "/lessons/abc")
TEXT = Text("en", "A subject", "A preheader", "Hello.", Purpose.COURSE, ((LESSON, TARGET),))


def text(body: str = "Hello.", **more: object) -> Text:
    """A letter that is fine, but for what is given."""
    return replace(TEXT, body=body, **more)  # type: ignore[arg-type]  # of any field


def kinds(letter: Text) -> list[Kind]:
    """What its problems are about."""
    return [problem.kind for problem in problems_of_letter(letter)]


@pytest.mark.parametrize(
    "field", ["{{ password }}", "{{address}}", '{{ outcome | default("x") }}', "{{ secret_code }}", "{{ first_name_ }}"]
)
def test_an_unknown_field_is_refused_by_name_wherever_it_stands(field: str) -> None:
    name = field.strip("{} ").split()[0].strip("}")
    for place in Place:
        (found,) = problems_of_letter(replace(TEXT, **{place.value: f"x {field}"}))
        assert (found.kind, found.place, name in found.words, found.is_warning) == (Kind.FIELD_UNKNOWN, place, True, False)
        assert "first_name" in found.mend


@pytest.mark.parametrize(
    "body",
    [
        "{{7*7}}",
        "{{ config }}",
        "{{ first_name|upper }}",
        "{% if x %}",
        "{{ first_name",
        '{{ first_name | default("a"b") }}',
        "{{{ first_name }}}}",
        '{{\nfirst_name | default("x") }}',
    ],
)
def test_a_template_language_is_refused(body: str) -> None:
    assert hindering(problems_of_letter(text(body)))


def test_every_allowed_field_may_stand_with_words_for_where_it_is_empty() -> None:
    for name in ALLOWED - {"first_name"}:
        assert problems_of_letter(text(f'{{{{{name}}}}} {{{{ {name} | default("there, you") }}}}')) == []
    assert problems_of_letter(text('{{ first_name | default("there") }}')) == []


@pytest.mark.parametrize("gap", ["{{ first_name }}", '{{ first_name | default("") }}', '{{first_name|default("  ")}}'])
def test_a_name_without_words_for_those_who_told_none_is_refused(gap: str) -> None:
    for place in Place:
        (found,) = problems_of_letter(replace(TEXT, **{place.value: f"For {gap}"}))
        assert (found.kind, found.place) == (Kind.FIELD_EMPTY, place)
        assert 'first_name | default("…")' in found.mend


def test_a_field_that_this_kind_of_mail_does_not_fill_needs_words_too() -> None:
    letter = text("You have done {{ progress_words }}.")
    assert problems_of_letter(letter) == []
    assert [problem.kind for problem in problems_of_letter(letter, filled=ADDRESSES)] == [Kind.FIELD_EMPTY]


@pytest.mark.parametrize(
    ("subject", "preheader", "body", "kind"),
    [
        ("", "x", "x", Kind.MISSING),
        ("x", " ", "x", Kind.MISSING),
        ("x", "x", "  ", Kind.MISSING),
        ("a\nb", "x", "x", Kind.ONE_LINE),
        ("a", "b\rc", "x", Kind.ONE_LINE),
        ("a\x85Bcc: x", "x", "x", Kind.ONE_LINE),
        ("a", "x\u2028y", "x", Kind.ONE_LINE),
        ("a", "x", "x\x00y", Kind.ONE_LINE),
        ("a", "x", "\ue0000\ue001", Kind.CHARACTERS),
        ("a" * 201, "x", "x", Kind.TOO_LONG),
        ("a", "x" * 201, "x", Kind.TOO_LONG),
    ],
)
def test_what_could_not_be_sent_is_not_published(subject: str, preheader: str, body: str, kind: Kind) -> None:
    with pytest.raises(Unfit) as refused:
        publish_letter(Text("en", subject, preheader, body, Purpose.COURSE), NOW)
    assert [problem.kind for problem in refused.value.problems] == [kind]


def test_a_line_of_the_text_may_end_as_on_any_machine() -> None:
    assert problems_of_letter(text("One.\r\n\r\n-\tTwo.\n")) == []


def test_a_long_subject_is_a_warning_counted_as_people_see_it() -> None:
    (found,) = problems_of_letter(text(subject="a" * 79))
    assert (found.kind, found.is_warning) == (Kind.TOO_LONG, True)
    assert problems_of_letter(text(subject="a" * 78)) == []
    assert problems_of_letter(text(subject='{{ first_name | default("you") }}' + "a" * 75)) == []
    assert publish_letter(text(subject="a" * 79), NOW).id


@pytest.mark.settings(base_url="https://learn.example")
@pytest.mark.parametrize(
    "address",
    [
        "/learn",
        "learn",
        "#part",
        "",
        "//learn.example/",
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://learn.example/x",
        "mailto:",
        "https://",
        "http://[::1",
        "http://learn.example/start",
        "https://learn.example/nowhere",
        "https://learn.example/lessons",
        "https://elsewhere.example/?to={{ continue_url }}",
        "https://elsewhere.example/{{first_name}}",
        "{{first_name}}",
    ],
)
def test_a_link_that_leads_nowhere_is_refused_with_its_line(address: str) -> None:
    letter = text(f"First.\n\nSecond,\nthen [go]({address.replace(' ', '')}).\n\nLast.")
    found = [problem for problem in problems_of_letter(letter) if problem.kind is not Kind.FIELD_EMPTY]
    assert [(problem.kind, problem.line) for problem in found] == [(Kind.LINK_DEAD, 4)]


@pytest.mark.settings(base_url="https://learn.example")
@pytest.mark.parametrize(
    "address",
    [
        "https://learn.example",
        "https://learn.example/start?from=x#y",
        "https://learn.example/lessons/abc",
        "https://elsewhere.example/any",
        "http://elsewhere.example/",
        "mailto:ask@learn.example",
        "tel:+4912345",
        "{{ continue_url }}",
        "{{ preferences_url }}",
        LESSON,
    ],
)
def test_a_link_that_leads_somewhere_is_fine(address: str) -> None:
    assert problems_of_letter(text(f"Please [go]({address}).\n\n[Go]({address})")) == []


def test_what_is_no_published_place_of_ours_is_refused() -> None:
    assert kinds(text("<lesson:introduction/two>\n\n[Go](page:nowhere)")) == [Kind.REFERENCE_UNKNOWN] * 2
    assert kinds(text("<lesson:introduction/one>\n\n[Go](lesson:introduction/one)")) == []


@pytest.mark.parametrize("purpose", [Purpose.SERVICE, Purpose.COURSE])
@pytest.mark.parametrize("body", ["x\n\n::: offer\nBuy.\n:::", "x\n\n[Buy](tier:gold)"])
def test_only_marketing_may_offer_something(purpose: Purpose, body: str) -> None:
    gold = (("tier:gold", Target("Gold", "All of it.", "/")),)
    (found,) = problems_of_letter(text(body, purpose=purpose, targets=gold))
    assert (found.kind, found.line) == (Kind.OFFER, 3)
    assert problems_of_letter(text(body, purpose=Purpose.MARKETING, targets=gold)) == []


def test_pictures_and_unknown_boxes_are_refused_with_their_line() -> None:
    found = problems_of_letter(text("One.\n\n![A tree](https://elsewhere.example/t.png)\n\n::: box\n\nIn it.\n\n:::\n"))
    assert [(problem.kind, problem.line) for problem in found] == [(Kind.PICTURE, 3), (Kind.BOX_UNKNOWN, 5), (Kind.BOX_UNKNOWN, 9)]


def test_what_gmail_would_cut_off_is_refused() -> None:
    line = "A line of this letter.\n\n"
    heavy = text(line * 3000)
    assert kinds(heavy) == [Kind.HEAVY]
    light = text(line * 1000)
    assert problems_of_letter(light) == []
    assert 1000 * len(line) < weight_of(light) < HEAVIEST < weight_of(heavy)


def test_a_problem_says_where_what_and_how_to_mend_it() -> None:
    problem = Problem(Kind.OFFER, Place.BODY, 3, "This is wrong.", "Do that.")
    assert (str(problem), str(replace(problem, place=Place.SUBJECT))) == (
        "line 3: This is wrong. Do that.",
        "subject: This is wrong. Do that.",
    )


def test_a_letter_is_kept_as_it_was_written_with_what_it_led_to() -> None:
    written = text('For {{ first_name | default("you") }}: <lesson:introduction/one>', purpose=Purpose.MARKETING)
    letter = publish_letter(written, NOW)
    assert (letter.created_at, len(letter.public_id)) == (NOW, 16)
    assert kept_letter(letter.id) == written


def test_references_are_found_in_links_alone() -> None:
    body = "<lesson:a/b> [x](course:a) `lesson:c/d` lesson:e/f\n\n- [y](page:help-now)\n\n::: note\n[z](tier:gold)\n:::"
    assert references_in(body) == {"lesson:a/b", "course:a", "page:help-now", "tier:gold"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet='{}|"() \tabc_first_name', max_size=60))
def test_whatever_is_published_holds_no_open_brace_pair_once_its_fields_are_filled(body: str) -> None:
    if not problems_of_letter(text(body + "x")):
        assert "{{" not in FIELD.sub("", body)
        assert {match.group(1) for match in FIELD.finditer(body)} <= ALLOWED
