"""Routes that are cheap to have."""

from inspect import iscoroutinefunction
from itertools import chain

import pytest
from flask import Flask
from werkzeug.routing import Map, Rule

from courseapp.web import LateRule

pytestmark = pytest.mark.one_database


def test_an_address_is_built_like_werkzeugs_own(app: Flask) -> None:
    shapes = ["/", "/a/<int:n>", "/b/<name>/c/<path:rest>", "/d/<any(x, y):kind>"]
    values: list[dict[str, object]] = [
        {},
        {"n": 7},
        {"name": "ü/ß", "rest": "x/y z"},
        {"kind": "x", "more": "q&r", "none": None, "rule": 1, "self": 2},
    ]
    built = []
    for kind in (Rule, LateRule):
        adapter = Map([kind(shape, endpoint=str(n)) for n, shape in enumerate(shapes)]).bind("example.org")
        built.append([adapter.build(str(n), each) for n, each in enumerate(values)] * 2)
    assert built[0] == built[1]


def test_nothing_is_async_for_flask_does_not_look(app: Flask) -> None:
    hooks = (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs)
    called = [*app.view_functions.values(), *app.teardown_appcontext_funcs, *chain(*(each for kind in hooks for each in kind.values()))]
    assert len(called) > 100
    assert [each for each in called if iscoroutinefunction(each)] == []


def test_every_route_of_ours_is_such_a_one_and_compiles_nothing_before_its_address_is_asked_for(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    plain = Rule._compile_builder
    monkeypatch.setattr(Rule, "_compile_builder", lambda rule, unknown=True: compiled.append(rule.rule) or plain(rule, unknown))
    assert all(isinstance(rule, LateRule) for rule in app.url_map.iter_rules())
    app.url_map.add(LateRule("/late/<int:n>", endpoint="late"))
    assert compiled == []
    adapter = app.url_map.bind("example.org")
    assert adapter.build("late", {"n": 1}) == "/late/1"
    assert adapter.build("late", {"n": 2}) == "/late/2"
    assert compiled == ["/late/<int:n>"]
