"""A real Postfix of a test's own: a private instance with its own configuration, queue and Maildir, on ports of loopback.

It relays what it is given to `far_port` (a recording server, or `smtp-sink`), to `down.example` to a port where nobody listens, and keeps
mail to `bounce.example.org` in a Maildir, as the installation of an owner would. Its doors:

    open          takes mail from this machine as it comes: no TLS, no login
    submission    STARTTLS and a login, both required
    submissions   TLS from the start, and a login

To recipients of `here.example` it answers by itself: who is in `PEOPLE` gets mail, `later@…` and `full@…` are put off, and all others
are unknown. A subject with *forbidden* is refused after the text, and so is what is larger than `LARGEST`. Needs root, for Postfix does.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.services import UnavailableError, _die_with_parent, _free_port

NEEDED = ("postfix", "postsuper", "saslpasswd2")
PEOPLE = ("ada@here.example", "bob@here.example")
LARGEST = 100_000  # bytes of a mail
LOGIN = ("courseapp", "a word with @ and :")
PATIENCE = 20.0
DOORS = ("open", "submission", "submissions")

MAIN = """
compatibility_level = 2
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
default_privs = nobody
myhostname = relay.example.net
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
smtp_host_lookup = native
default_transport = smtp:[127.0.0.1]:{far_port}
transport_maps = inline:{{ {{down.example = smtp:[127.0.0.1]:1}} }}
alias_maps =
recipient_delimiter = +
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
message_size_limit = {largest}
mailbox_size_limit = 0
virtual_mailbox_limit = 0
virtual_mailbox_domains = bounce.example.org, here.example
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = inline:{{ {{@bounce.example.org=returned/}} {people} }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtpd_recipient_restrictions = check_recipient_access inline:{{ \
 {{later@here.example = 450 4.2.1 the mailbox is being moved}} {{full@here.example = 452 4.2.2 the mailbox is full}} }}
header_checks = regexp:{folder}/header_checks
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {certificate}
smtpd_tls_auth_only = yes
smtpd_tls_loglevel = 1
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
cyrus_sasl_config_path = {folder}/sasl
smtpd_sasl_local_domain = relay.example.net
smtpd_client_connection_count_limit = 0
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
delay_warning_time = {warns_after}
maximal_queue_lifetime = {lifetime}
bounce_queue_lifetime = {lifetime}
smtp_connect_timeout = 5s
smtp_helo_timeout = 5s
"""
MASTER = """
127.0.0.1:{open} inet n - n - - smtpd
127.0.0.1:{submission} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
127.0.0.1:{submissions} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def why_not() -> str:
    """Why a Postfix cannot run here; empty where it can."""
    if lacking := [name for name in NEEDED if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None]:
        return f"there is no {', no '.join(lacking)} (Debian: apt-get install postfix sasl2-bin libsasl2-modules)"
    return "" if os.geteuid() == 0 else "Postfix starts as root alone"


def _daemons() -> Path:
    """Where Postfix keeps what it starts; each distribution has a place of its own."""
    said = subprocess.run(["/usr/sbin/postconf", "-dh", "daemon_directory"], capture_output=True, text=True, check=True)
    return Path(said.stdout.strip())


class Postfix:
    """The instance; raises UnavailableError where it cannot run.

    Args:
        folder: of its own, below folders that everybody may enter.
        far_port: where on this machine all mail goes that is not kept here.
        certificate: certificate and key in one file.
        warns_after, lifetime: after how long it reports that a mail is late, and that it gives up.
    """

    def __init__(
        self, folder: Path, far_port: int, certificate: Path, warns_after: str = "1s", lifetime: str = "7s", more: str = ""
    ) -> None:
        if why := why_not():
            raise UnavailableError(why)
        self.folder, self.process = folder, None
        self.ports = {name: _free_port() for name in DOORS}
        self._write(far_port, certificate, warns_after, lifetime)
        self.start()

    @property
    def returned(self) -> Path:
        """The Maildir of what came back."""
        return self.folder / "mail" / "returned"

    def url(self, door: str, login: str = "", query: str = "") -> str:
        """A door's address for SMTP_URL; `login` as it stands in an address, with its @."""
        return f"smtp{'s' if door == 'submissions' else ''}://{login}127.0.0.1:{self.ports[door]}{query}"

    def start(self) -> None:
        """Start it, or start it again."""
        check = ["/usr/sbin/postfix", "-c", self.folder, "check"]
        checked = subprocess.run(check, capture_output=True, text=True, check=False)
        if checked.returncode:  # it could not write down what it found half-written where it was ended, and has put that away
            checked = subprocess.run(check, capture_output=True, text=True, check=False)
        if checked.returncode:
            raise UnavailableError(f"postfix check: {(checked.stderr or self.log()).strip()[-500:]}")
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "MAIL_CONFIG": str(self.folder)}
        with (self.folder / "errors").open("ab") as errors:
            self.process = subprocess.Popen(
                [_daemons() / "master", "-s"], stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, env=environment,
                preexec_fn=_die_with_parent, start_new_session=True, cwd=self.folder,
            )  # fmt: skip
        end = time.monotonic() + PATIENCE
        while not all(self._greets(port) for name, port in self.ports.items() if name != "submissions"):
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise UnavailableError(f"Postfix did not start: {self.log()[-500:]}")
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it and all its daemons, which are of one process group."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def wait_for_returned(self, count: int, seconds: float = PATIENCE) -> None:
        """Wait until so many mails have come back. Raises TimeoutError with what the log says."""
        end = time.monotonic() + seconds
        while len(list((self.returned / "new").iterdir())) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"fewer than {count} mails came back: {self.log()[-3000:]}")
            time.sleep(0.05)

    def log(self) -> str:
        """What it and its daemons wrote down."""
        files = (self.folder / "log", self.folder / "errors")
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def _write(self, far_port: int, certificate: Path, warns_after: str, lifetime: str) -> None:
        nobody, postfix = pwd.getpwnam("nobody"), pwd.getpwnam("postfix")
        for name in ("queue", "data", "sasl", *(f"mail/returned/{place}" for place in ("new", "cur", "tmp"))):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        os.chown(self.folder / "data", postfix.pw_uid, postfix.pw_gid)
        for path in (self.folder / "mail", *(self.folder / "mail").rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        people = " ".join(f"{{{address}={address.partition('@')[0]}/}}" for address in PEOPLE)
        facts = {"folder": self.folder, "daemons": _daemons(), "far_port": far_port, "largest": LARGEST, "people": people,
                 "certificate": certificate, "warns_after": warns_after, "lifetime": lifetime,
                 "uid": nobody.pw_uid, "gid": nobody.pw_gid}  # fmt: skip
        (self.folder / "main.cf").write_text(MAIN.format(**facts))
        (self.folder / "master.cf").write_text(MASTER.format(**self.ports))
        (self.folder / "header_checks").write_text("/^Subject:.*forbidden/ REJECT not wanted here\n")
        words = f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {self.folder}/sasl/db\nmech_list: PLAIN LOGIN\n"
        (self.folder / "sasl" / "smtpd.conf").write_text(words)
        name, word = LOGIN
        command = ["/usr/sbin/saslpasswd2", "-p", "-c", "-f", self.folder / "sasl" / "db", "-u", "relay.example.net", name]
        made = subprocess.run(command, input=word, capture_output=True, text=True, check=False)
        if made.returncode:
            raise UnavailableError(f"saslpasswd2: {made.stderr.strip()[-300:]}")
        os.chown(self.folder / "sasl" / "db", postfix.pw_uid, postfix.pw_gid)

    @staticmethod
    def _greets(port: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as line:
                return line.recv(200).startswith(b"220")
        except OSError:
            return False
