"""A real SMTP server for tests: records what it took, and answers as it is told to.

    smtp.script("rcpt", "450 4.2.1 try later", times=2)   # two refusals, then as usual
    smtp.script("dot", HANG, takes_it=True)               # the mail is taken, the answer never comes
    smtp.script("data", DROP)                             # the line breaks before a word of the mail was sent

Stages, in their order: `connect` (the greeting), `mail`, `rcpt`, `data` (before the text), `dot` (after it).
"""

import asyncio
import contextlib
import email
import email.policy
import ssl
import threading
from collections import deque
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, Literal, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

Stage = Literal["connect", "mail", "rcpt", "data", "dot"]
HANG = "hang"
DROP = "drop"
TAKEN = "250 2.0.0 taken"


@dataclass
class Received:
    """One mail the server answered for with 250, or took and then kept silent about."""

    sender: str
    recipients: list[str]
    content: bytes

    @property
    def message(self) -> EmailMessage:
        """The mail, parsed."""
        return cast(EmailMessage, email.message_from_bytes(self.content, policy=email.policy.default))


@dataclass
class Script:
    """What to answer at a stage: a reply line, HANG or DROP; `times` None is for ever, `to` one recipient only."""

    stage: Stage
    answer: str
    times: int | None = None
    to: str | None = None
    takes_it: bool = False


@dataclass
class RecordingSmtp:
    """The server; one per test, on a free port of loopback, in a thread of its own."""

    received: list[Received] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)  # (stage, answer), in the order they were given
    connections: int = 0
    takes_commands_at_once: bool = False  # whether it offers PIPELINING (RFC 2920)
    thinks: float = 0.0  # seconds it takes over each mail after the dot
    tls: ssl.SSLContext | None = None  # what it shows who it is with: by STARTTLS, or from the start
    is_tls_from_start: bool = False
    login: tuple[str, str] | None = None  # whom it lets in, and nobody else; over TLS alone
    logins: list[str] = field(default_factory=list)  # who came in
    were_encrypted: list[bool] = field(default_factory=list)  # of each mail, whether its line was
    port: int = 0
    lines: set[asyncio.WriteTransport] = field(default_factory=set)  # the open connections
    _scripts: deque[Script] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Its address, as the setting SMTP_URL wants it."""
        return f"smtp://127.0.0.1:{self.port}"

    def script(self, stage: Stage, answer: str, times: int | None = 1, to: str | None = None, takes_it: bool = False) -> None:
        """Answer so at `stage`, the next `times` times (None: always). Scripts of one stage count in the order they were given."""
        with self._lock:
            self._scripts.append(Script(stage, answer, times, to, takes_it))

    def recipients(self) -> list[str]:
        """Everyone that mail was taken for, in order; one who appears twice got it twice."""
        return [address for mail in self.received for address in mail.recipients]

    def next_script(self, stage: Stage, recipients: list[str]) -> Script | None:
        """The script that holds now, used up by one."""
        with self._lock:
            for script in self._scripts:
                if script.stage == stage and (script.to is None or script.to in recipients) and script.times != 0:
                    if script.times is not None:
                        script.times -= 1
                    self.refused.append((stage, script.answer))
                    return script
        return None

    def start(self) -> None:
        """Listen; returns once it does."""
        self._loop = asyncio.new_event_loop()
        listening = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="recording-smtp", daemon=True)
        self._thread.start()
        assert listening.wait(10)

    def stop(self) -> None:
        """Stop listening and drop every line."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self, listening: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        tls = self.tls if self.is_tls_from_start else None
        server = self._loop.run_until_complete(self._loop.create_server(lambda: _Scripted(self), "127.0.0.1", 0, ssl=tls))
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        self._loop.run_forever()
        server.close()
        for line in self.lines:
            if getattr(line, "_ssl_protocol", True) is not None:  # of a closed line Python 3.11.2 forgets it, and then fails
                line.abort()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0.01))  # what was aborted is told so in the loop's next round
        self._loop.close()


class _Scripted(SMTP):
    """aiosmtpd's protocol, which asks for a script before each of its stages."""

    def __init__(self, book: RecordingSmtp) -> None:
        self._book = book
        super().__init__(
            self,
            hostname="mail.test",
            enable_SMTPUTF8=True,
            data_size_limit=64 * 1024 * 1024,
            tls_context=None if book.is_tls_from_start else book.tls,
            auth_required=book.login is not None,
            authenticator=self._let_in,
        )
        self._auth_require_tls = not book.is_tls_from_start  # where it speaks TLS from the start, aiosmtpd does not know that it does

    def _let_in(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, known: Any) -> AuthResult:
        name, word = known.login.decode(), known.password.decode()
        if (name, word) != self._book.login:
            return AuthResult(success=False, handled=False)
        self._book.logins.append(name)
        return AuthResult(success=True)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has called."""
        self._book.lines.add(cast(asyncio.WriteTransport, transport))
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """The line is gone."""
        self._book.lines.discard(cast(asyncio.WriteTransport, self.transport))
        super().connection_lost(error)

    async def _handle_client(self) -> None:
        self._book.connections += 1
        if not await self._scripted("connect", []):
            await super()._handle_client()
        else:
            self.transport.close()

    async def handle_EHLO(  # noqa: N802  # aiosmtpd looks for this name
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, answers: list[str]
    ) -> list[str]:
        """Say what is offered."""
        session.host_name = hostname
        return [answers[0], "250-PIPELINING", *answers[1:]] if self._book.takes_commands_at_once else answers

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802  # aiosmtpd looks for this name
        """Before the text: a script for `data` answers instead of 354."""
        recipients = self.envelope.rcpt_tos if self.envelope else []
        if not await self._scripted("data", recipients):
            await super().smtp_DATA(arg)

    async def handle_MAIL(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802  # as above
        """The sender was named."""
        if (script := self._book.next_script("mail", [])) is not None:
            return await self._perform(script)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 ok"

    async def handle_RCPT(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802  # as above
        """A recipient was named."""
        if (script := self._book.next_script("rcpt", [address])) is not None:
            return await self._perform(script)
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # as above
        """The dot has come."""
        script = self._book.next_script("dot", envelope.rcpt_tos)
        self._book.were_encrypted.append(self.transport.get_extra_info("sslcontext") is not None)
        await asyncio.sleep(self._book.thinks)
        if script is None or script.takes_it:
            self._book.received.append(Received(envelope.mail_from or "", list(envelope.rcpt_tos), cast(bytes, envelope.content)))
        return TAKEN if script is None else await self._perform(script)

    async def _scripted(self, stage: Stage, recipients: list[str]) -> bool:
        """Answer by script, if there is one for this stage."""
        script = self._book.next_script(stage, recipients)
        if script is None:
            return False
        answer = await self._perform(script)
        if answer:
            await self.push(answer)
        return True

    async def _perform(self, script: Script) -> str:
        if script.answer == HANG:
            await asyncio.Event().wait()
        if script.answer == DROP:
            cast(Any, self.transport).abort()
            return ""
        return script.answer
