"""The mail doctor against a real name server on this machine: each thing well, and each thing wrong with how to mend it."""

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from courseapp.mailing import names as names_module
from courseapp.mailing.names import Names
from courseapp.mailing.reputation import Finding, findings
from courseapp.mailing.selftest import trouble_with_one_click
from tests.name_server import NameServer, Records
from tests.rows import all_rows, changed_tables

pytestmark = pytest.mark.one_database
KEY = base64.b64encode(b"k" * 294).decode()
SHORT = base64.b64encode(b"k" * 162).decode()
SENDER = {"sender_address": "course@learn.example.org", "bounce_domain": "bounces.learn.example.org", "dkim_selector": "s1"}


def well() -> Records:
    """A domain that has everything."""
    return {
        ("bounces.learn.example.org", "TXT"): ['"other words"', '"v=spf1 include:spf.provider.example a:mail.example.org -all"'],
        ("spf.provider.example", "TXT"): ['"v=spf1 ip4:192.0.2.0/24 mx ~all"'],
        ("s1._domainkey.learn.example.org", "TXT"): [f'"v=DKIM1; k=rsa; p={KEY[:200]}" "{KEY[200:]}"'],
        ("_dmarc.example.org", "TXT"): ['"v=DMARC1; p=quarantine; rua=mailto:d@example.org"'],
        ("learn.example.org", "MX"): ["10 mail.example.org.", "5 mail.example.org."],
        ("bounces.learn.example.org", "MX"): ["10 mail.example.org."],
        ("mail.provider.example", "A"): ["8.8.4.4"],
        ("4.4.8.8.in-addr.arpa", "PTR"): ["mail.provider.example."],
    }


@pytest.fixture
def server() -> Iterator[NameServer]:
    """A name server that knows a domain that has everything."""
    with NameServer(well()) as started:
        yield started


@pytest.fixture
def look(make_app, server: NameServer) -> Any:
    """look(**settings): what the doctor finds, by name."""

    def run(**more: Any) -> dict[str, Finding]:
        where = {
            "dns_resolver": f"127.0.0.1:{server.port}",
            "smtp_url": "smtp://mail.provider.example:587",
            "base_url": "http://127.0.0.1:1",
        }
        made = make_app(**{**SENDER, **where, "postal_address": "1 Road", **more})
        with made.app_context():
            return {finding.name: finding for finding in findings(made.config["SETTINGS"])}

    return run


def test_a_domain_that_has_everything_is_well(app: Flask, look) -> None:
    found = look()
    levels = {name: finding.level for name, finding in found.items()}
    assert levels == {
        **dict.fromkeys(("postal address", "SPF", "DKIM", "DMARC", "alignment", "MX", "PTR"), "ok"),
        "one click": "fail",  # no web server runs at this address
    }
    assert "(3 look-ups)" in found["SPF"].words
    assert "p=quarantine" in found["DMARC"].words


WRONG: list[tuple[str, str, str, dict[tuple[str, str], list[str] | None]]] = [
    ("SPF", "fail", "has none", {("bounces.learn.example.org", "TXT"): None}),
    ("SPF", "fail", "2 records", {("bounces.learn.example.org", "TXT"): ['"v=spf1 -all"', '"v=spf1 ~all"']}),
    ("SPF", "fail", "lets everybody", {("bounces.learn.example.org", "TXT"): ['"v=spf1 mx +all"']}),
    ("SPF", "fail", "lets everybody", {("bounces.learn.example.org", "TXT"): ['"v=spf1 all"']}),
    ("SPF", "warn", "all others", {("bounces.learn.example.org", "TXT"): ['"v=spf1 mx"']}),
    ("SPF", "ok", "(2 look-ups)", {("bounces.learn.example.org", "TXT"): ['"v=spf1 redirect=spf.provider.example"']}),
    ("SPF", "fail", "more than 10", {("bounces.learn.example.org", "TXT"): ['"v=spf1 ' + "a:x.example " * 11 + '-all"']}),
    ("SPF", "fail", "has none", {("bounces.learn.example.org", "TXT"): ['"v=spf10 -all"']}),
    ("DKIM", "fail", "has no key", {("s1._domainkey.learn.example.org", "TXT"): None}),
    ("DKIM", "fail", "withdrawn", {("s1._domainkey.learn.example.org", "TXT"): ['"v=DKIM1; p="']}),
    ("DKIM", "fail", "cannot be read", {("s1._domainkey.learn.example.org", "TXT"): ['"v=DKIM1; p=abc*"']}),
    ("DKIM", "warn", "short", {("s1._domainkey.learn.example.org", "TXT"): [f'"k=rsa; p={SHORT}"']}),
    (
        "DKIM",
        "ok",
        "there is a key",
        {("s1._domainkey.learn.example.org", "TXT"): [f'"k=ed25519; p={KEY[:44]}"']},
    ),
    ("DMARC", "fail", "has no record", {("_dmarc.example.org", "TXT"): None}),
    ("DMARC", "fail", "no policy", {("_dmarc.example.org", "TXT"): ['"v=DMARC1; sp=none"']}),
    ("DMARC", "ok", "reports alone", {("_dmarc.learn.example.org", "TXT"): ['"v=DMARC1;p=none"']}),
    ("MX", "fail", "neither an MX", {("bounces.learn.example.org", "MX"): None}),
    ("MX", "warn", "its address stands in", {("learn.example.org", "MX"): None, ("learn.example.org", "A"): ["192.0.2.7"]}),
    ("MX", "fail", "takes no mail", {("learn.example.org", "MX"): ["0 ."]}),
    ("PTR", "fail", "has no name", {("4.4.8.8.in-addr.arpa", "PTR"): None}),
    ("PTR", "fail", "does not lead back", {("4.4.8.8.in-addr.arpa", "PTR"): ["other.example."], ("other.example", "A"): ["8.8.8.8"]}),
    ("PTR", "warn", "your own network", {("mail.provider.example", "A"): ["10.0.0.5"]}),
    ("PTR", "fail", "has no address", {("mail.provider.example", "A"): None}),
]


@pytest.mark.parametrize(("name", "level", "words", "changes"), WRONG)
def test_what_is_wrong_is_said_with_how_to_mend_it(
    app: Flask, look, server: NameServer, name: str, level: str, words: str, changes
) -> None:
    for key, value in changes.items():
        server.records.pop(key, None)
        if value is not None:
            server.records[key] = value
    found = look()[name]
    assert found.level == level, found
    assert words in found.words
    assert level == "ok" or found.mend


@pytest.mark.parametrize(
    ("settings", "name", "level", "words"),
    [
        ({"dkim_selector": ""}, "DKIM", "warn", "DKIM_SELECTOR is not set"),
        ({"bounce_domain": "provider.example"}, "alignment", "warn", "rests on DKIM alone"),
        ({"bounce_domain": ""}, "alignment", "ok", "learn.example.org"),
        ({"postal_address": ""}, "postal address", "fail", "there is none"),
        ({"smtp_url": ""}, "PTR", "warn", "no mail server"),
    ],
)
def test_settings_are_looked_at_as_well(app: Flask, look, settings: dict[str, str], name: str, level: str, words: str) -> None:
    found = look(**settings)[name]
    assert (found.level, words in found.words) == (level, True), found


def test_a_name_server_that_is_silent_is_told_and_the_rest_is_looked_at(app: Flask, look, server: NameServer, monkeypatch) -> None:
    monkeypatch.setattr(names_module, "PATIENCE", 0.3)
    server.silent.add("_dmarc.learn.example.org")
    found = look()
    assert (found["DMARC"].level, "cannot be told" in found["DMARC"].words) == ("warn", True)
    assert found["SPF"].level == "ok"


def test_a_record_that_includes_itself_ends(app: Flask, look, server: NameServer) -> None:
    server.records["spf.provider.example", "TXT"] = ['"v=spf1 include:bounces.learn.example.org include:spf.provider.example -all"']
    assert look()["SPF"].level == "ok"


@pytest.mark.parametrize("server_name", ["nonsense", "127.0.0.1:port", "name.example:53"])
def test_a_resolver_that_is_no_address_is_refused(server_name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Names(server_name)


def test_one_click_is_tried_as_a_mail_program_does_it_and_stops_nobodys_mail(app: Flask, make_app) -> None:
    running = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    before = all_rows()
    try:
        with make_app(base_url=f"http://127.0.0.1:{running.port}").app_context():
            assert trouble_with_one_click() == ""
        with make_app(base_url=f"http://127.0.0.1:{running.port}", secret_key="another" * 8).app_context():
            assert trouble_with_one_click() == "it answers 404 instead of 200"
    finally:
        running.shutdown()
        thread.join(5)
        running.server_close()
    assert changed_tables(before, all_rows()) == []


def test_the_command_ends_with_one_where_something_fails_and_says_what_to_do(app: Flask, make_app, server: NameServer) -> None:
    made = make_app(**SENDER, dns_resolver=f"127.0.0.1:{server.port}", base_url="http://127.0.0.1:1")
    with made.app_context():
        plain = made.test_cli_runner().invoke(args=["mail", "doctor"])
        rows = json.loads(made.test_cli_runner().invoke(args=["mail", "doctor", "--json"]).output)
    assert plain.exit_code == 1
    assert "fail  one click" in plain.output
    assert "→ See that http://127.0.0.1:1 is the address people type" in plain.output
    assert {row["name"]: row["level"] for row in rows}["SPF"] == "ok"
