"""What Amazon SNS posts, signed with a key of the tests' own; and a host that gives the certificate out."""

import http.server
import json
import ssl
import threading
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from courseapp.mailing.models import Message
from tests.conftest import NOW

TOPIC = "arn:aws:sns:eu-central-1:123456789012:bounces"
HOST = "sns.eu-central-1.amazonaws.com"
CERTIFICATE = f"https://{HOST}/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"


@cache
def own_key(number: int) -> rsa.RSAPrivateKey:
    """A key; another one for another number."""
    return rsa.generate_private_key(65537, 2048)


@cache
def certificate_of(number: int = 0, days: int = 3650) -> bytes:
    """A certificate of that key, for Amazon's host, valid from 2026 for so many days."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(own_key(number).public_key())
    made = made.serial_number(7).not_valid_before(begins).not_valid_after(begins + timedelta(days=days))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return made.sign(own_key(number), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def posted(message: Any, number: int = 0, version: str = "1", forged: dict[str, Any] | None = None, **facts: str) -> bytes:
    """The body of a call. `forged` is put in after it was signed."""
    said = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": f"{NOW:%Y-%m-%dT%H:%M:%S}.000Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE,
        **facts,
    }
    names = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    text = "".join(f"{name}\n{said[name]}\n" for name in names if name in said)
    hash_of = hashes.SHA1() if version == "1" else hashes.SHA256()
    said["Signature"] = b64encode(own_key(number).sign(text.encode(), padding.PKCS1v15(), hash_of)).decode()
    return json.dumps({**said, **(forged or {})}).encode()


def told_of(message: Message, source: str, name: str = "Bounce", key: str = "notificationType", **facts: Any) -> dict[str, Any]:
    """What SES says of a mail, inside of that call."""
    recipient = {"emailAddress": "ada@example.org", "status": "5.1.1", "action": "failed", "diagnosticCode": "smtp; 550 5.1.1 unknown"}
    inner = {
        "Bounce": {"bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": [recipient], "feedbackId": "f"},
        "Complaint": {"complainedRecipients": [{"emailAddress": "ada@example.org"}], "complaintFeedbackType": "abuse"},
        "Delivery": {"recipients": ["ada@example.org"], "smtpResponse": "250 2.6.0 taken"},
        "DeliveryDelay": {"delayType": "MailboxFull", "delayedRecipients": [{"emailAddress": "ada@example.org", "status": "4.2.2"}]},
    }[name]
    headers = [{"name": "From", "value": "us@example.org"}, {"name": "Message-ID", "value": message.message_id}]
    mail = {"messageId": "0000014-0", "source": source, "destination": ["ada@example.org"], "headers": headers}
    return {key: name, "mail": mail, f"{name[0].lower()}{name[1:]}": {**inner, **facts}}


class AmazonsHost:
    """An HTTPS server on loopback with a certificate for Amazon's host: `.asked`, `.port`."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.status = 200
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(f"{self.headers['Host']}{self.path}")
                self.send_response(outer.status)
                self.send_header("Location", "https://evil.example/")
                self.end_headers()
                self.wfile.write(certificate_of())

            def log_message(self, *_: Any) -> None:
                pass

        self.trusted = folder / "host.pem"
        secret = own_key(0).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        self.trusted.write_bytes(certificate_of() + secret)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.trusted)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()
