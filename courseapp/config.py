"""Every setting of the application, read from the environment here and nowhere else.

`Settings()` reads environment variables and a `.env` file; `create_app(**overrides)` passes overrides by field name
(lower case). `problems()` lists what keeps a production installation from starting, each with the way to mend it.
`.env.example` explains every field; a test keeps the two equal.
"""

import contextlib
import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values

from courseapp.setting_words import checked_currencies, checked_rate, checked_rates
from courseapp.typed_values import Range, TypedValues, WrongValues

ENV_FILE = ".env"
UNSAFE_SECRETS = {"", "dev", "secret", "changeme", "change-me", "test", "default"}
SECRET_MINIMUM = 32  # characters; token_urlsafe(32) gives 43
WEBHOOK_SECRET_MINIMUM = 16
LIVE_KEYS = ("sk_live_", "rk_live_")
TEST_KEYS = ("sk_test_", "rk_test_")
PLAY_KEY = "sk_test_play_money"
STATEMENT_MAXIMUM = 22  # characters (Stripe, "Statement descriptors")


@dataclass(frozen=True)
class S3Access:
    """How a bucket is reached. `endpoint` is empty for Amazon's own; `public_endpoint` where browsers reach it under another address."""

    key: str
    secret: str = field(repr=False)
    region: str = "us-east-1"
    endpoint: str = ""
    public_endpoint: str = ""


class Settings(TypedValues):
    """One installation's settings; the field names in upper case are the environment variables. An empty one counts as none.

    `Settings(**given)` raises WrongValues where one cannot be what it is. Nothing changes them afterwards.
    """

    mode: Literal["embedded", "production"] = "embedded"
    secret_key: str = ""
    base_url: str = ""
    host: str = "127.0.0.1"
    port: Annotated[int, Range(1, 65535)] = 8000
    data_dir: Path = Path("instance")

    database_url: str = ""
    allow_sqlite: bool = False
    database_pool: Annotated[int, Range(1, 100)] = 10
    redis_url: str = ""
    storage_url: str = ""
    s3_access_key: str = ""
    s3_secret_key: str = ""
    s3_region: str = "us-east-1"
    s3_endpoint: str = ""
    s3_public_endpoint: str = ""
    web_threads: Annotated[int, Range(1, 64)] = 8
    web_workers: Annotated[int, Range(1, 64)] = 1
    trusted_proxies: Annotated[int, Range(0, 5)] = 0

    smtp_url: str = ""
    sender_address: str = ""
    sender_name: str = ""
    postal_address: str = ""
    bounce_domain: str = ""
    smtp_ca_file: Path | None = None
    mail_rate: Annotated[str, checked_rate] = ""
    mail_domain_rates: Annotated[str, checked_rates] = ""
    dkim_selector: str = ""
    dns_resolver: str = ""
    bounces_url: str = ""
    ses_topic: str = ""
    postmark_secret: str = ""
    mailgun_signing_key: str = ""

    billing: str = ""
    stripe_secret_key: str = ""
    stripe_webhook_secrets: str = ""
    stripe_url: str = ""
    stripe_tax: bool = False
    stripe_promotion_codes: bool = False
    stripe_trials: bool = False
    statement_words: str = ""
    currencies: Annotated[str, checked_currencies] = "eur"

    site_name: str = "Your course"
    support_address: str = ""
    front_course: str = "introduction"
    old_path: str = ""
    leave_url: str = "https://www.wikipedia.org/"
    emergency_words: str = ""
    crisis_words: str = ""
    default_zone: str = "UTC"
    languages: str = "en"

    metrics_token: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    access_log: bool = True
    clock_file: Path | None = None
    rate_limits: bool = True

    def __init__(self, **given: object) -> None:
        super().__init__({**_environment(), **given})

    @property
    def is_embedded(self) -> bool:
        """True for the one-machine installation that `make run` starts: SQLite, mail to files, demo people."""
        return self.mode == "embedded"

    @property
    def database(self) -> str:
        """The SQLAlchemy address; SQLite in `data_dir` where none is set, and psycopg 3 for any PostgreSQL one."""
        if not self.database_url:
            return f"sqlite:///{(self.data_dir / 'courseapp.sqlite3').absolute()}"
        scheme, _, rest = self.database_url.partition("://")
        return f"postgresql+psycopg://{rest}" if scheme in {"postgres", "postgresql"} else self.database_url

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is the embedded one."""
        return self.database.startswith("sqlite")

    @property
    def storage(self) -> str:
        """The address under which files are kept: of a folder (file://, or a path), or of a bucket (s3://)."""
        return self.storage_url or (self.data_dir / "files").absolute().as_uri()

    @property
    def s3(self) -> S3Access | None:
        """How the bucket of `storage` is reached, where keys for one are set."""
        if not (self.s3_access_key and self.s3_secret_key):
            return None
        return S3Access(self.s3_access_key, self.s3_secret_key, self.s3_region, self.s3_endpoint, self.s3_public_endpoint)

    @property
    def public_url(self) -> str:
        """The address people type, without a trailing slash; mails are written with it."""
        return (self.base_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def is_https(self) -> bool:
        """Whether people reach the site by https, and cookies may so carry the `__Host-` prefix."""
        return urlsplit(self.public_url).scheme == "https"

    @property
    def is_loopback(self) -> bool:
        """Whether the web server can be reached from this machine alone."""
        return self.host in {"127.0.0.1", "::1", "localhost"}

    @property
    def sender(self) -> str:
        """The address mail comes from."""
        return self.sender_address or "course@localhost.localdomain"

    @property
    def language_list(self) -> list[str]:
        """The languages the site offers, the default first."""
        return [part.strip() for part in self.languages.split(",") if part.strip()] or ["en"]

    @property
    def has_billing(self) -> bool:
        """Whether anything is sold: there is a key for Stripe."""
        return bool(self.stripe_secret_key)

    @property
    def is_live(self) -> bool:
        """Whether the key moves money."""
        return self.stripe_secret_key.startswith(LIVE_KEYS)

    @property
    def has_play_money(self) -> bool:
        """Whether paid tiers are tried out at the stand-in for Stripe that `make run BILLING=demo` starts."""
        return self.billing == "demo"

    @property
    def webhook_secrets(self) -> list[str]:
        """The secrets by which webhooks may be signed; two while one is rolled."""
        return [part.strip() for part in self.stripe_webhook_secrets.split(",") if part.strip()]

    @property
    def currency_list(self) -> list[str]:
        """The currencies that prices may have, the default first."""
        return [part.strip() for part in self.currencies.split(",") if part.strip()] or ["eur"]

    def problems(self) -> list[str]:
        """What keeps an installation from starting: one sentence each, naming what to set."""
        checks = (*self._billing_checks(), *(() if self.is_embedded else self._production_checks()))
        return [words for wrong, words in checks if wrong]

    def _production_checks(self) -> tuple[tuple[bool, str], ...]:
        """What may be wrong in production alone, each with its words."""
        return (
            (
                self.secret_key.lower() in UNSAFE_SECRETS or len(self.secret_key) < SECRET_MINIMUM,
                "SECRET_KEY is missing, too short or a well-known one. Set it to at least 32 random characters: "
                'python -c "import secrets; print(secrets.token_urlsafe(32))"',
            ),
            (
                not self.postal_address,
                "POSTAL_ADDRESS is missing. Mail must carry the sender's postal address: set it to yours, on one line.",
            ),
            (
                "@" not in self.sender_address,
                "SENDER_ADDRESS is missing. Set it to the address that your mail comes from.",
            ),
            (
                not self.base_url.startswith(("https://", "http://")),
                "BASE_URL is missing. Set it to the address people type, such as https://learn.example.org",
            ),
            (
                not self.smtp_url,
                "SMTP_URL is missing. Set it to your mail server, such as smtp://user:password@mail.example.org:587",
            ),
            (
                self.is_sqlite and not self.allow_sqlite,
                "DATABASE_URL is missing, so this would run on SQLite. Set DATABASE_URL to a PostgreSQL address, "
                "or ALLOW_SQLITE=yes if one small server on SQLite is what you want.",
            ),
            *self._storage_checks(),
            *self._return_checks(),
        )

    def _billing_checks(self) -> tuple[tuple[bool, str], ...]:
        """What may be wrong about taking money, each with its words. In embedded mode too: a key is a key."""
        return (*self._demo_checks(), *self._stripe_checks())

    def _demo_checks(self) -> tuple[tuple[bool, str], ...]:
        """What may be wrong about trying it out with play money."""
        is_demo = self.has_play_money
        return (
            (
                self.billing not in {"", "demo"},
                "BILLING is neither empty nor demo. Set it to demo to try paid tiers out with play money (make run BILLING=demo), "
                "or remove it; real ones come with STRIPE_SECRET_KEY.",
            ),
            (
                is_demo and not self.is_embedded,
                "BILLING=demo is for make run alone. Remove BILLING, and set STRIPE_SECRET_KEY to a key of Stripe's.",
            ),
            (
                is_demo and bool(self.stripe_secret_key or self.stripe_url or self.stripe_webhook_secrets),
                "BILLING=demo brings its own STRIPE_SECRET_KEY, STRIPE_URL and STRIPE_WEBHOOK_SECRETS. Remove these, or remove BILLING.",
            ),
        )

    def _stripe_checks(self) -> tuple[tuple[bool, str], ...]:
        """What may be wrong about the key and what goes with it."""
        place = urlsplit(self.stripe_url)
        secrets_short = any(len(part) < WEBHOOK_SECRET_MINIMUM for part in self.webhook_secrets)
        return (
            (
                self.has_billing and not self.stripe_secret_key.startswith((*LIVE_KEYS, *TEST_KEYS)),
                "STRIPE_SECRET_KEY is no secret key. Set it to the one that begins with sk_ or rk_ (Stripe, Developers, API keys).",
            ),
            (
                self.is_live and self.is_embedded,
                "STRIPE_SECRET_KEY is a live key, and embedded mode is for trying out. Set MODE=production, or use a test key.",
            ),
            (
                self.is_live and bool(self.stripe_url),
                "STRIPE_URL leads away from Stripe, and STRIPE_SECRET_KEY is a live key. Remove STRIPE_URL, or use a test key.",
            ),
            (
                bool(self.stripe_url) and place.hostname not in {"127.0.0.1", "::1", "localhost"},
                "STRIPE_URL is for a stand-in on this machine. Set it to an address such as http://127.0.0.1:12111, or remove it.",
            ),
            (
                secrets_short,
                "STRIPE_WEBHOOK_SECRETS has one that is too short. Set it to the endpoint's signing secret, which begins with whsec_; "
                "two with a comma between them while you roll it.",
            ),
            (
                len(self.statement_words) > STATEMENT_MAXIMUM or any(sign in self.statement_words for sign in "<>\\'\"*"),
                "STATEMENT_WORDS may have 22 letters at most, and none of < > \\ ' \" *. Set it to neutral words for card statements.",
            ),
        )

    def _storage_checks(self) -> tuple[tuple[bool, str], ...]:
        """What may be wrong about where files are kept, each with its words."""
        where = urlsplit(self.storage)
        is_bucket, is_folder = where.scheme == "s3", where.scheme in {"", "file"}
        endpoints = [urlsplit(address) for address in (self.s3_endpoint, self.s3_public_endpoint) if address]
        seen = endpoints[-1:]  # where browsers are sent
        return (
            (
                not (is_bucket and where.netloc) and not (is_folder and not where.netloc and where.path.startswith("/")),
                "STORAGE_URL is no place for files. Set it to s3://BUCKET/FOLDER, or to the full path of a folder, "
                "such as /srv/courseapp/files.",
            ),
            (
                is_bucket and not (self.s3_access_key and self.s3_secret_key),
                "S3_ACCESS_KEY and S3_SECRET_KEY are missing. STORAGE_URL names a bucket: set both to a key pair that may read, write, "
                "list and delete in it.",
            ),
            (
                is_bucket and any(part.scheme not in {"http", "https"} or not part.netloc or part.path.strip("/") for part in endpoints),
                "S3_ENDPOINT or S3_PUBLIC_ENDPOINT is no address. Set it to scheme and host alone, such as https://s3.example.org "
                "(for Amazon leave it empty and set S3_REGION).",
            ),
            (
                is_bucket and self.is_https and any(part.scheme == "http" for part in seen),
                "Pages come by https and films would come by http, which browsers refuse. Set S3_PUBLIC_ENDPOINT (or S3_ENDPOINT) "
                "to an https address that learners' browsers reach.",
            ),
        )

    def _return_checks(self) -> tuple[tuple[bool, str], ...]:
        """What may be wrong about where returned mail is read, each with its words."""
        mailbox = urlsplit(self.bounces_url)
        is_folder = mailbox.scheme == "maildir" and not mailbox.netloc and len(mailbox.path) > 1
        is_server = mailbox.scheme in {"imaps", "imap"} and mailbox.hostname and mailbox.username and mailbox.password
        return (
            (
                bool(self.bounces_url) and not (is_folder or is_server),
                "BOUNCES_URL is no mailbox. Set it to maildir:///full/path or imaps://user:password@mail.example.org/INBOX.",
            ),
            (
                bool(self.ses_topic) and not self.ses_topic.startswith("arn:aws"),
                "SES_TOPIC is no topic. Set it to the whole name of the SNS topic, such as arn:aws:sns:eu-central-1:123456789012:bounces",
            ),
            (
                bool(self.postmark_secret) and len(self.postmark_secret) < WEBHOOK_SECRET_MINIMUM,
                "POSTMARK_SECRET is too short. Set it to at least 16 random characters, "
                "and to the same as the password in the webhook's address.",
            ),
            (
                bool(self.mailgun_signing_key) and len(self.mailgun_signing_key) < WEBHOOK_SECRET_MINIMUM,
                "MAILGUN_SIGNING_KEY is too short. Set it to the whole HTTP webhook signing key of your Mailgun account.",
            ),
        )

    def with_secret(self) -> "Settings":
        """These settings with a secret: embedded mode makes one on first use and keeps it in `data_dir`."""
        if self.secret_key or not self.is_embedded:
            return self
        return self.changed(secret_key=self._kept("secret_key", lambda: secrets.token_urlsafe(32)))

    def with_play_money(self) -> "Settings":
        """These settings with those of a shop at the stand-in for Stripe, where BILLING=demo asks for it. Its port stays the same."""
        if not self.has_play_money:
            return self
        port = self._kept("stripe_port", _free_port)
        secret = self._kept("stripe_webhook_secret", lambda: f"whsec_{secrets.token_urlsafe(24)}")
        where = {"stripe_secret_key": PLAY_KEY, "stripe_url": f"http://127.0.0.1:{port}", "stripe_webhook_secrets": secret}
        return self.changed(**where, stripe_trials=True)

    def _kept(self, name: str, make: Callable[[], str]) -> str:
        """What a file of this name in `data_dir` says; it is made on first use."""
        kept = self.data_dir / name
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if not kept.exists():
            fresh = self.data_dir / f"{name}.{secrets.token_hex(4)}"
            fresh.touch(mode=0o600)
            fresh.write_text(make())
            with contextlib.suppress(FileExistsError):  # another process was first, and what it made counts
                kept.hardlink_to(fresh)
            fresh.unlink()
        return kept.read_text().strip()


def _free_port() -> str:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return str(line.getsockname()[1])


def _environment() -> dict[str, str]:
    """What the environment says, and before it the file `.env`, by name in lower case."""
    return {name.lower(): word for said in (dotenv_values(ENV_FILE), os.environ) for name, word in said.items() if word}


class MissingSettings(SystemExit):
    """Settings are wrong or incomplete; the message lists what to set, and the process ends with code 1."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("courseapp cannot start with these settings:\n" + "\n".join(f"  - {words}" for words in problems))


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment and `overrides` (field names); raises MissingSettings."""
    try:
        settings = Settings(**overrides)
    except WrongValues as error:
        raise MissingSettings(error.problems) from error
    if problems := settings.problems():
        raise MissingSettings(problems)
    return settings.with_secret().with_play_money()
