"""What mail says that comes back, in the shapes of each kind of server; and whatever else comes, reading it ends soon."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from courseapp.mailing.models import ReturnKind
from courseapp.mailing.reports import MOST_BYTES, OTHER, Report, read_report
from courseapp.mailing.returning import BOUNCE
from tests.mailing.returned import FOLDER, NAMES, sample

MARK = "bounces+b-2222222222222222-00000000000000000000@bounce.example.org"
OURS = "<2222222222222222.0a0a0a0a@example.org>"
TOLD = {
    "postfix-failed": (ReturnKind.BOUNCED, "5.1.1"),
    "postfix-delayed": (ReturnKind.DELAYED, "4.4.1"),
    "postfix-expired": (ReturnKind.SOFT, "4.4.1"),
    "postfix-delivered": (ReturnKind.DELIVERED, "2.0.0"),
    "postfix-recorded-delayed": (ReturnKind.DELAYED, "4.2.0"),
    "postfix-recorded-down": (ReturnKind.SOFT, "4.4.1"),
    "postfix-recorded-failed": (ReturnKind.BOUNCED, "5.1.1"),
    "postfix-recorded-global": (ReturnKind.BOUNCED, "5.1.1"),
    "postfix-recorded-headers": (ReturnKind.BOUNCED, "5.1.1"),
    "exim-failed": (ReturnKind.BOUNCED, "5.0.0"),
    "exim-in-words": (ReturnKind.BOUNCED, "5.0.0"),
    "exchange-failed": (ReturnKind.BOUNCED, "5.1.10"),
    "gmail-failed": (ReturnKind.BOUNCED, "5.1.1"),
    "global-failed": (ReturnKind.BOUNCED, "5.1.1"),
    "arf-abuse": (ReturnKind.COMPLAINED, ""),
    "arf-redacted": (ReturnKind.COMPLAINED, ""),
    "arf-not-spam": (ReturnKind.OTHER, ""),
    "vacation": (ReturnKind.AUTO_REPLY, ""),
    "read-receipt": (ReturnKind.AUTO_REPLY, ""),
    "person": (ReturnKind.OTHER, ""),
}
SAYS_WHOSE = [name for name in NAMES if TOLD[name][0] not in {ReturnKind.OTHER, ReturnKind.AUTO_REPLY}]


def read(name: str) -> Report:
    """What one of the samples says."""
    return read_report(sample(name, MARK, OURS))


def test_every_sample_is_told_of() -> None:
    assert sorted(TOLD) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_kind_of_server_is_understood(name: str) -> None:
    report = read(name)
    assert (report.kind, report.status) == TOLD[name]


@pytest.mark.parametrize("name", SAYS_WHOSE)
def test_each_report_leads_to_the_message(name: str) -> None:
    report = read(name)
    assert OURS in report.message_ids
    if name != "arf-redacted":
        assert any(BOUNCE.search(place) for place in report.places)
        assert report.recipient == "ada@example.org" or name == "exim-failed"


@pytest.mark.parametrize(
    ("action", "status", "kind"),
    [
        ("failed", "5.2.1", ReturnKind.BOUNCED),
        ("failed", "5.7.1", ReturnKind.SOFT),  # their policy, and not the address
        ("failed", "5.7.26", ReturnKind.SOFT),
        ("failed", "5.2.2", ReturnKind.SOFT),
        ("failed", "5.3.4", ReturnKind.SOFT),
        ("failed", "5.1.8", ReturnKind.SOFT),  # the sender's address
        ("failed", "5.1.1 (no such user)", ReturnKind.BOUNCED),
        ("FAILED", "4.2.2", ReturnKind.SOFT),
        ("failed", "", ReturnKind.SOFT),
        ("failed", "nonsense", ReturnKind.SOFT),
        ("delayed", "5.4.1", ReturnKind.DELAYED),
        ("delivered", "2.1.5", ReturnKind.DELIVERED),
        ("relayed", "2.0.0", ReturnKind.PASSED_ON),
        ("expanded", "2.0.0", ReturnKind.PASSED_ON),
        ("invented", "5.1.1", ReturnKind.OTHER),
    ],
)
def test_action_and_status_together_say_how_it_ended(action: str, status: str, kind: ReturnKind) -> None:
    changed = sample("postfix-expired").replace(b"Action: failed", f"Action: {action}".encode())
    assert read_report(changed.replace(b"Status: 4.4.1", f"Status: {status}".encode())).kind is kind


def test_without_a_status_the_servers_own_words_count() -> None:
    plain = sample("postfix-failed").replace(b"Status: 5.1.1\r\n", b"")
    assert read_report(plain).status == "5.1.1"
    assert read_report(plain.replace(b"Diagnostic-Code: smtp; 550 5.1.1", b"Diagnostic-Code: smtp; 552")).status == "5.0.0"


@pytest.mark.parametrize(
    ("diagnosis", "kind"),
    [
        ("smtp; 550 no such user", ReturnKind.BOUNCED),  # of a server without statuses Postfix makes 5.0.0
        ("smtp; 550-5.1.1 no such\r\n 550 5.1.1 user", ReturnKind.BOUNCED),
        ("smtp; 553 sorry, no mailbox here by that name", ReturnKind.BOUNCED),
        ("smtp; 550 relay not permitted", ReturnKind.SOFT),
        ("smtp; 550 Message rejected as spam", ReturnKind.SOFT),
        ("smtp; 554 5.7.1 not wanted", ReturnKind.SOFT),
        ("smtp; 552 mailbox full", ReturnKind.SOFT),
        ("X-Local; retry time-out exceeded", ReturnKind.SOFT),
    ],
)
def test_where_the_status_says_nothing_the_servers_words_decide_whether_the_address_is_gone(diagnosis: str, kind: ReturnKind) -> None:
    said = sample("postfix-expired").replace(b"Status: 4.4.1", b"Status: 5.0.0")
    before, _name, after = said.partition(b"Diagnostic-Code: ")
    said = before + f"Diagnostic-Code: {diagnosis}\r\n\r\n".encode() + after.partition(b"\r\n\r\n")[2]
    assert read_report(said).kind is kind


def test_words_of_the_mail_that_came_back_do_not_decide_about_the_address() -> None:
    said = sample("exim-in-words").replace(b"Words.", b"We block no spam.")
    assert read_report(said).kind is ReturnKind.BOUNCED
    assert read_report(said.replace(b"550 no such mailbox here", b"550 blocked")).kind is ReturnKind.SOFT
    assert read_report(said.replace(b"550 no such mailbox here", b"retry time-out exceeded")).kind is ReturnKind.SOFT


def test_of_several_recipients_the_worst_counts() -> None:
    more = b"Final-Recipient: rfc822; other@example.org\r\nAction: delivered\r\nStatus: 2.0.0\r\n\r\nFinal-Recipient: rfc822; ada"
    assert read_report(sample("postfix-failed").replace(b"Final-Recipient: rfc822; ada", more)).kind is ReturnKind.BOUNCED


def test_a_mail_that_asks_to_stop_is_told_from_one_that_does_not() -> None:
    mark = "stop-2222222222222222-course-00000000000000000000"
    in_address = f"From: ada@example.org\r\nTo: <bounces+{mark}@bounce.example.org>\r\nSubject: stop\r\n\r\n"
    in_subject = f"From: ada@example.org\r\nTo: us@example.org\r\nAuto-Submitted: auto-generated\r\nSubject: {mark}\r\n\r\n"
    for text in (in_address, in_subject):
        assert read_report(text.encode()).kind is ReturnKind.STOP
    assert read_report(b"From: ada@example.org\r\nSubject: stop\r\n\r\nstop").kind is ReturnKind.OTHER


@pytest.mark.parametrize("line", ["Auto-Submitted: auto-replied", "X-Autoreply: yes", "Precedence: auto_reply", "Auto-Submitted: no"])
def test_machines_that_answer_are_told_from_people(line: str) -> None:
    kind = ReturnKind.OTHER if line.endswith(": no") else ReturnKind.AUTO_REPLY
    assert read_report(f"From: ada@example.org\r\n{line}\r\n\r\nAway.".encode()).kind is kind


# Whatever comes

HEADS = [
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=x",
    b"Content-Type: message/delivery-status",
    b"Content-Type: message/rfc822",
    b"Content-Type: message/feedback-report",
    b"Content-Type: text/rfc822-headers",
    b"Content-Type: text/plain; charset=nonsense",
    b"Content-Transfer-Encoding: base64",
    b"X-Failed-Recipients: \xff, ,",
    b"Action: failed",
    b"Status: 5.\xb9.1",
    b"Feedback-Type: abuse",
    b"Auto-Submitted: =?utf-8?q?=ff?=",
    b"Final-Recipient: rfc822;;;<<@>>",
    b"To: =?x?b?////?=",
    b"Message-ID: <" + b"a" * 300 + b">",
]
pieces = st.sampled_from([*HEADS, b"--x", b"--x--", b"", b" folded", b"words", *(sample(name) for name in NAMES)]) | st.binary(max_size=40)


@settings(max_examples=150, deadline=2000)
@given(st.lists(pieces, max_size=40), st.sampled_from([b"\n", b"\r\n", b"\r"]))
@example([b"Content-Type: message/global-delivery-status", b"", b""], b"\n")
def test_whatever_comes_is_read_without_a_failure(lines: list[bytes], end: bytes) -> None:
    report = read_report(end.join(lines))
    assert report.kind in ReturnKind
    assert len(report.status) <= 12
    assert len(report.recipient) <= 320


@settings(max_examples=150, deadline=2000)
@given(st.binary(max_size=3000), st.sampled_from(NAMES), st.integers(0, 4000))
def test_a_sample_with_anything_written_over_it_is_read_without_a_failure(noise: bytes, name: str, at: int) -> None:
    whole = sample(name, MARK, OURS)
    assert read_report(whole[:at] + noise + whole[at + len(noise) :]).kind in ReturnKind


@settings(max_examples=40, deadline=2000)
@given(st.binary(max_size=5000))
def test_bytes_alone_are_nothing_we_know(content: bytes) -> None:
    assert read_report(content).kind in {ReturnKind.OTHER, ReturnKind.AUTO_REPLY}


def nested(count: int, head: bytes) -> bytes:
    """Parts within parts, as deep as asked for."""
    return b"".join(b"%s; boundary=b%d\n\n--b%d\n" % (head, number, number) for number in range(count))


REPORT = b"Content-Type: multipart/report; boundary=x\n\n--x\nContent-Type: message/delivery-status\n\n"
HOSTILE = {
    "parts in parts": nested(5000, b"Content-Type: multipart/mixed") + b"x\n" * 50_000,
    "as many parts in parts as are allowed": nested(23, b"Content-Type: multipart/mixed") + b"x\n" * 90_000,
    "mails in mails": b"Content-Type: message/rfc822\n\n" * 9000,
    "as many mails in mails as are allowed": b"Content-Type: message/rfc822\n\n" * 24 + b"X: y\n" * 40_000,
    "a header of quotes": b'Content-Type: multipart/mixed; boundary="' + b';"' * 200_000,
    "a folded header": b"Content-Type: text/plain;\n" + b' a="b;\n' * 40_000,
    "words that are encoded": b"Subject: " + b"=?utf-8?q?a?= " * 20_000 + b"\n\n",
    "addresses": b"To: " + b"<a@b>, " * 40_000 + b"\n\n",
    "one header very often": b"Received: for <x@y.test>\n" * 10_000 + b"\n",
    "almost a mark": b"To: " + b"b-2222222222222222-0" * 10_000 + b"\n\n",
    "fields without end": REPORT + b"Action: failed\n" * 20_000,
    "recipients without end": REPORT + b"Action: failed\n\n" * 20_000,
    "parts without end": b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\n" * 40_000,
    "digits": b"X-Failed-Recipients: a@b.test\nContent-Type: text/plain\n\n" + b"5." * 100_000,
    "empty lines": b"Content-Type: message/global-delivery-status\n\n" + b"\n" * 200_000,
    "a large mail": b"Subject: x\n\n" + b"y" * 20_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_made_to_take_long_does_not(name: str) -> None:
    begins = time.process_time()
    read_report(HOSTILE[name])
    assert time.process_time() - begins < 2.5, "the bound is generous: the dearest takes a fifth of it"


def test_only_so_much_of_a_mail_is_looked_at() -> None:
    late = b"X-Filler: x\r\n" * (MOST_BYTES // 13 + 1)
    assert read_report(late + sample("vacation")) == OTHER


def test_samples_hold_no_address_of_anybody() -> None:
    for path in FOLDER.glob("*.eml"):
        domains = {word.rpartition("@")[2].strip("<>,;.()") for word in path.read_text(encoding="utf-8").split() if "@" in word}
        assert all(domain.rsplit(".", 1)[-1] in {"org", "net", "com", "example"} and "example" in domain for domain in domains), path
