"""`make run BILLING=demo`: a course is bought over HTTP, offline, at the stand-in for Stripe beside it; and a restart keeps all."""

import http.cookiejar
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import stripe
from flask import Flask

from courseapp import config
from courseapp.config import MissingSettings, load_settings
from tests.client import forms_of
from tests.fakes.clicking import Clicker
from tests.houses import ROOT, House

COURSE = "rest-and-recovery"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An empty installation on a free port, which sells for play money."""
    (tmp_path / "data").mkdir()
    made = House(tmp_path / "data", BILLING="demo")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.end(signal.SIGTERM)


class Guest:
    """A browser with cookies of its own."""

    def __init__(self, house: House) -> None:
        self._base = house.url
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        self.url, self.text = "", ""

    def visit(self, path: str) -> int:
        """Open a page, following redirects; its status."""
        return self._open(path if path.startswith("http") else self._base + path)

    def press(self, action: str, **typed: str) -> int:
        """Send the form of this page whose address fits."""
        form = next(form for form in forms_of(self.text, self.url) if re.fullmatch(action, form.action))
        return self._open(self._base + form.action, urllib.parse.urlencode({**form.fields, **typed}).encode())

    def _open(self, url: str, body: bytes | None = None) -> int:
        try:
            answer = self._opener.open(url, body, timeout=20)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            self.url, self.text = answer.geturl(), answer.read().decode()
            return int(answer.status)


def at_stripe(house: House) -> Any:
    """What the stand-in knows, asked as production code asks."""
    port = (house.folder / "stripe_port").read_text().strip()
    return stripe.StripeClient(config.PLAY_KEY, base_addresses={"api": f"http://127.0.0.1:{port}"}).v1


def test_a_course_is_bought_offline_and_open_at_once_and_a_restart_keeps_it(house: House) -> None:
    """One long test, for each start takes seconds: from the page of plans to a lesson, by clicking alone."""
    printed = house.start()
    assert f"with play money: {house.url}/plans" in printed
    assert printed.count("Ready on") == 1
    assert "EUR" in "".join(row[0].upper() for row in house.rows("SELECT currency FROM prices WHERE stripe_id IS NOT NULL"))
    assert house.rows("SELECT count(*) FROM prices WHERE stripe_id IS NULL") == [(0,)]
    guest = Guest(house)
    (first,) = house.rows(
        f"SELECT l.public_id FROM lessons l JOIN courses c ON c.id = l.course_id WHERE c.slug = '{COURSE}' ORDER BY l.id LIMIT 1"
    )
    assert not can_read(guest, first[0])
    (plan,) = house.rows("SELECT p.public_id FROM plans p JOIN tiers t ON t.id = p.tier_id WHERE t.key = 'rest-and-recovery'")
    guest.visit("/plans")
    assert guest.press(f"/plans/{plan[0]}/checkout") == 200
    person = Clicker(guest.url.partition("/c/")[0])
    person.visit(guest.url).press("Pay", email="ada@example.org")
    assert person.url.startswith(f"{house.url}/checkouts/")
    assert guest.visit(person.url) == 200
    assert "It is open." in guest.text
    assert can_read(guest, first[0])
    guest.visit("/account/plan")
    assert guest.press("/account/plan/portal") == 200
    assert person.visit(guest.url).status == 200
    assert "Add a card" in person.words
    person.close()

    people = house.people()
    house.end(signal.SIGKILL)
    assert psutil.wait_procs(people, timeout=15)[1] == []
    house.start()
    assert can_read(guest, first[0])
    assert at_stripe(house).billing_portal.configurations.list().data[0].features.subscription_update.enabled
    (session,) = at_stripe(house).checkout.sessions.list().data
    assert (session.payment_status, session.customer_details.email) == ("paid", "ada@example.org")
    assert house.rows("SELECT count(*) FROM tiers") == [(2,)]
    people = house.people()
    house.end(signal.SIGINT)
    assert house.process.returncode == 0
    assert psutil.wait_procs(people, timeout=5)[1] == []


def can_read(guest: Guest, lesson: str) -> bool:
    """Whether a bought course can be begun, and a lesson of it read."""
    guest.visit(f"/learn/{COURSE}")
    if f"/learn/{COURSE}/start" in guest.text:
        guest.press(f"/learn/{COURSE}/start")
    return guest.visit(f"/lessons/{lesson}") == 200 and guest.url.endswith(f"/lessons/{lesson}")


def test_what_billing_may_be_is_said_in_words(tmp_path: Path) -> None:
    told = {"DATA_DIR": str(tmp_path), "BILLING": "live"}
    command = [sys.executable, "-m", "flask", "--app", "courseapp", "up"]
    ended = subprocess.run(command, cwd=ROOT, env={**os.environ, **told}, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "BILLING is neither empty nor demo. Set it to demo" in ended.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"billing": "Demo"}, "BILLING is neither empty nor demo"),
        ({"billing": "demo", "mode": "production"}, "BILLING=demo is for make run alone"),
        ({"billing": "demo", "stripe_secret_key": "sk_test_mine"}, "BILLING=demo brings its own STRIPE_SECRET_KEY"),
        ({"billing": "demo", "stripe_url": "http://127.0.0.1:1"}, "BILLING=demo brings its own STRIPE_SECRET_KEY"),
    ],
)
def test_play_money_and_what_does_not_go_with_it(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(MissingSettings, match=words):
        load_settings(data_dir=tmp_path, **settings)


def test_every_process_and_every_start_knows_the_same_stand_in(tmp_path: Path) -> None:
    first, second = (load_settings(data_dir=tmp_path, billing="demo") for _ in range(2))
    assert first.stripe_url.startswith("http://127.0.0.1:")
    assert (first.stripe_url, first.stripe_webhook_secrets) == (second.stripe_url, second.stripe_webhook_secrets)
    assert first.stripe_webhook_secrets != load_settings(data_dir=tmp_path / "other", billing="demo").stripe_webhook_secrets
    assert (first.has_billing, first.is_live, first.stripe_trials) == (True, False, True)


def test_without_the_word_nothing_is_sold_and_nothing_is_kept(tmp_path: Path) -> None:
    assert not load_settings(data_dir=tmp_path).has_billing
    assert not (tmp_path / "stripe_port").exists()


@pytest.mark.one_database
def test_a_site_that_sells_nothing_imports_no_example_and_starts_no_stand_in(make_app: Callable[..., Flask]) -> None:
    from courseapp.operations.embedded import commands

    settings = make_app().config["SETTINGS"]
    assert set(commands(settings)) == {"web", "worker", "beat"}
