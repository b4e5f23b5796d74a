"""The door to Amazon SES, which tells of mail by SNS. Believed is what Amazon has signed, about the topic of SES_TOPIC, lately.

Who may sign is said by a certificate that SNS has fetched from its own host alone; so any other host is refused before it is asked.
Sources: Amazon SNS developer guide, "Verifying the signatures of Amazon SNS messages"; Amazon SES developer guide, "Amazon SNS
notification contents for Amazon SES".
"""

import binascii
import http.client
import json
import re
import ssl
from base64 import b64decode
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, urlsplit

from flask import current_app

from courseapp.mailing.calls import as_facts, as_text
from courseapp.mailing.models import ReturnKind
from courseapp.mailing.reports import OTHER, STATUS, Report

PATIENCE = 5.0  # seconds Amazon may take to answer
MOST_BYTES = 20_000  # of a certificate, or of the answer to a confirmation
MOST_CERTIFICATES = 8
TOO_OLD = timedelta(days=7)
AHEAD = timedelta(hours=1)
CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9a-zA-Z]{1,80}\.pem")
CONFIRMATIONS = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": CONFIRMATIONS,
    "UnsubscribeConfirmation": CONFIRMATIONS,
}
"""What is signed, in this order."""
NEEDED = ("Type", "MessageId", "Timestamp", "TopicArn", "Message", "Signature", "SignatureVersion", "SigningCertURL")
KINDS = {
    "Bounce": ReturnKind.SOFT,
    "Complaint": ReturnKind.COMPLAINED,
    "Delivery": ReturnKind.DELIVERED,
    "DeliveryDelay": ReturnKind.DELAYED,
}


class Unsigned(Exception):
    """Not from Amazon, not about our topic, or too old; says which."""


class AmazonAway(Exception):
    """Amazon does not answer; it will tell us again."""


def signed(content: bytes, now: datetime) -> dict[str, str]:
    """What SNS says, once its signature was found right. Raises Unsigned or AmazonAway."""
    said = _texts(content)
    if said.get("TopicArn") != current_app.config["SETTINGS"].ses_topic:
        raise Unsigned("another topic")
    if said["Type"] not in SIGNED or any(name not in said for name in NEEDED):
        raise Unsigned("not a message of SNS")
    try:
        age = now - datetime.fromisoformat(said["Timestamp"])
        signature = b64decode(said["Signature"], validate=True)
    except (ValueError, TypeError, binascii.Error) as error:
        raise Unsigned("no moment or no signature") from error
    if not -AHEAD <= age <= TOO_OLD:
        raise Unsigned("too old")
    text = "".join(f"{name}\n{said[name]}\n" for name in SIGNED[said["Type"]] if name in said).encode("utf-8", "replace")
    _check_signature(_certificate(said["SigningCertURL"]), said["SignatureVersion"], signature, text, now)
    return said


def confirm(said: dict[str, str]) -> None:
    """Agree to be told of the topic. Raises Unsigned or AmazonAway."""
    _fetch(_ours(said.get("SubscribeURL", "")))


def report_of(said: dict[str, str]) -> Report:
    """What a notification says of a mail; `OTHER` where it is about something else."""
    try:
        event = as_facts(json.loads(said["Message"]))
    except (ValueError, RecursionError):
        return OTHER  # "Successfully validated SNS topic …", for one
    name = as_text(event.get("eventType") or event.get("notificationType"))
    if name not in KINDS:
        return OTHER
    facts, mail = as_facts(event.get(f"{name[:1].lower()}{name[1:]}")), as_facts(event.get("mail"))
    kind, recipient = KINDS[name], _first_recipient(facts, mail)
    if name == "Bounce" and facts.get("bounceType") == "Permanent":
        kind = ReturnKind.BOUNCED
    if name == "Complaint" and facts.get("complaintFeedbackType") == "not-spam":
        return OTHER
    status = STATUS.match(as_text(recipient.get("status")))
    headers = [as_facts(header) for header in _list(mail.get("headers"))]
    message_ids = [as_text(header.get("value")) for header in headers if as_text(header.get("name")).lower() == "message-id"]
    message_ids.append(as_text(as_facts(mail.get("commonHeaders")).get("messageId")))
    address = as_text(recipient.get("emailAddress"))
    return Report(kind, (as_text(mail.get("source")),), tuple(message_ids), address, status[1] if status else "")


def _first_recipient(facts: dict[str, Any], mail: dict[str, Any]) -> dict[str, Any]:
    """Each mail of ours has one recipient; their facts, or the address alone."""
    for name in ("bouncedRecipients", "complainedRecipients", "delayedRecipients", "recipients"):
        for recipient in _list(facts.get(name)):
            return {"emailAddress": recipient} if isinstance(recipient, str) else as_facts(recipient)
    return {"emailAddress": next(iter(_list(mail.get("destination"))), "")}


def _check_signature(pem: bytes, version: str, signature: bytes, text: bytes, now: datetime) -> None:
    from cryptography import x509  # large, and only those who send by Amazon need it
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    # Version 1, Amazon's standard, is SHA-1: to profit from its weakness one would have to choose what Amazon signs, ids and moments too.
    hash_of = {"1": hashes.SHA1, "2": hashes.SHA256}.get(version)
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
        if hash_of is None or not isinstance(key, rsa.RSAPublicKey):
            raise Unsigned("signed in a way that is not known")
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise Unsigned("the certificate is out of its time")
        key.verify(signature, text, padding.PKCS1v15(), hash_of())
    except (InvalidSignature, ValueError) as error:
        raise Unsigned("the signature is wrong") from error


def _certificate(address: str) -> bytes:
    """The certificate at an address of SNS, fetched once in each process."""
    where = _ours(address)
    if not CERTIFICATE.fullmatch(where.path) or where.query or where.fragment:
        raise Unsigned("no certificate of SNS")
    kept: dict[str, bytes] = current_app.extensions.setdefault("sns_certificates", {})
    if address not in kept:
        if len(kept) >= MOST_CERTIFICATES:
            kept.clear()
        kept[address] = _fetch(where)
    return kept[address]


def _ours(address: str) -> SplitResult:
    """An address at the SNS of our topic's own region, and at nobody else's. Raises Unsigned."""
    try:
        where = urlsplit(address)
    except ValueError as error:
        raise Unsigned("no address") from error
    _arn, partition, _sns, region, *_rest = (current_app.config["SETTINGS"].ses_topic + ":::::").split(":")
    host = f"sns.{region}.amazonaws.com{'.cn' if partition == 'aws-cn' else ''}"
    if where.scheme != "https" or where.netloc != host or not re.fullmatch(r"[a-z0-9-]{3,40}", region):
        raise Unsigned("another host than the topic's")
    return where


def _fetch(where: SplitResult) -> bytes:
    """What Amazon answers; it is asked for one thing at one host, and led nowhere else."""
    connection = http.client.HTTPSConnection(where.netloc, timeout=PATIENCE, context=ssl.create_default_context())
    try:
        connection.request("GET", f"{where.path or '/'}?{where.query}".removesuffix("?"))
        answer = connection.getresponse()
        content = answer.read(MOST_BYTES)
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise AmazonAway(type(error).__name__) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise AmazonAway(f"{answer.status}")
    return content


def _texts(content: bytes) -> dict[str, str]:
    """The fields of a JSON object that are texts. Raises Unsigned."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unsigned("not JSON") from error
    return {"Type": "", **{name: value for name, value in as_facts(found).items() if isinstance(value, str)}}


def _list(value: Any) -> list[Any]:
    return value[:50] if isinstance(value, list) else []
