"""Settings are read from words: each is what its class says, and what cannot be that is told by name, all of it at once."""

from pathlib import Path
from typing import Annotated, Literal

import pytest

import courseapp.config
from courseapp.config import MissingSettings, Settings, load_settings
from courseapp.typed_values import Range, TypedValues, WrongValues


def in_capitals(words: str) -> str:
    if not words.isascii():
        raise ValueError(f"{words!r} has letters beyond ASCII")
    return words.upper()


class House(TypedValues):
    name: str = "home"
    rooms: Annotated[int, Range(1, 9)] = 3
    is_open: bool = False
    kind: Literal["flat", "hut"] = "flat"
    place: Path = Path("here")
    map: Path | None = None
    sign: Annotated[str, in_capitals] = "eur"


def test_each_setting_is_what_its_class_says_and_else_its_default() -> None:
    house = House({"rooms": " 4 ", "is_open": "Yes", "kind": "hut", "place": "/srv", "map": "/srv/map", "sign": "usd", "other": "x"})
    assert (house.name, house.rooms, house.is_open, house.kind) == ("home", 4, True, "hut")
    assert (house.place, house.map, house.sign) == (Path("/srv"), Path("/srv/map"), "USD")
    assert (House({}).rooms, House({}).map, House({}).sign) == (3, None, "EUR")


def test_what_is_no_text_is_taken_as_it_is() -> None:
    assert House({"rooms": 5, "is_open": True, "map": None}).rooms == 5


@pytest.mark.parametrize(
    ("name", "word", "said"),
    [
        ("rooms", "four", "ROOMS is not what it should be: 'four' is not a whole number."),
        ("rooms", "10", "ROOMS is not what it should be: 10 is not a number from 1 to 9."),
        ("is_open", "perhaps", "IS_OPEN is not what it should be: 'perhaps' is not yes or no."),
        ("kind", "tent", "KIND is not what it should be: 'tent' is not one of flat, hut."),
        ("sign", "é", "SIGN is not what it should be: 'é' has letters beyond ASCII."),
    ],
)
def test_what_cannot_be_is_told_by_name(name: str, word: str, said: str) -> None:
    with pytest.raises(WrongValues) as raised:
        House({name: word})
    assert raised.value.problems == [said]


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(WrongValues) as raised:
        House({"rooms": "0", "kind": "tent"})
    assert len(raised.value.problems) == 2


def test_changing_some_leaves_the_others_and_the_first_as_they_were() -> None:
    first = House({"rooms": "4"})
    second = first.changed(name="away")
    assert (second.name, second.rooms, first.name) == ("away", 4, "home")


def test_the_environment_comes_before_the_file_and_what_is_empty_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=8100\nSITE_NAME=From the file\nLOG_LEVEL=\n")
    monkeypatch.setattr(courseapp.config, "ENV_FILE", str(file))
    monkeypatch.setenv("PORT", "8200")
    monkeypatch.setenv("SITE_NAME", "")
    settings = Settings(host="::1")
    assert (settings.port, settings.site_name, settings.log_level, settings.host) == (8200, "From the file", "INFO", "::1")


def test_a_wrong_word_in_the_environment_ends_the_start_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "eight")
    monkeypatch.setenv("ALLOW_SQLITE", "maybe")
    with pytest.raises(MissingSettings, match="PORT is not what it should be: 'eight'") as raised:
        load_settings()
    assert str(raised.value).count("is not what it should be") == 2
