"""One-click unsubscription tried from outside, as a mail program does it (RFC 8058): a POST without cookies, and no redirect."""

import http.client
import ssl
from urllib.parse import urlsplit

from courseapp.mailing.links import contact_of_token, mail_token, url_with_token

SELF_TEST = "self-test"  # no contact is called so: their names have no hyphen
PATIENCE = 10.0  # seconds
BODY = "List-Unsubscribe=One-Click"


def is_self_test(token: str) -> bool:
    """Whether a token of ours is the one that tries the page and stops nobody's mail."""
    found = contact_of_token(token)
    return found is not None and found[0] == SELF_TEST


def trouble_with_one_click() -> str:
    """What is wrong with the page that stops mail, as a mail program reaches it; "" where nothing is."""
    url = urlsplit(url_with_token("mailing.stop", mail_token(SELF_TEST, SELF_TEST)))
    host, port = url.hostname or "localhost", url.port
    line: http.client.HTTPConnection
    if url.scheme == "https":
        line = http.client.HTTPSConnection(host, port, timeout=PATIENCE, context=ssl.create_default_context())
    else:
        line = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        line.request("POST", url.path, BODY, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = line.getresponse()
        return "" if answer.status == http.client.OK else f"it answers {answer.status} instead of 200"
    except (OSError, http.client.HTTPException) as error:
        return f"it cannot be reached ({type(error).__name__})"
    finally:
        line.close()
