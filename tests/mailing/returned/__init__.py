"""Mail as it comes back: written by hand in the shapes that RFC 3464, 5965 and 3834 leave open, as each kind of server fills them.

Those named `recorded` came from a real Postfix (3.7.11; see `tests/postfix.py`), but for what it says to people.

In each stand three words: RETURN_PATH, MESSAGE_ID and RECIPIENT. `sample` puts what a test wants in their place.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.eml"))


def sample(
    name: str, return_path: str = "x@example.org", message_id: str = "<none@example.org>", recipient: str = "ada@example.org"
) -> bytes:
    """One of the mails, with lines as they come over the wire."""
    text = (FOLDER / f"{name}.eml").read_text(encoding="utf-8")
    for word, value in (("RETURN_PATH", return_path), ("MESSAGE_ID", message_id), ("RECIPIENT", recipient)):
        text = text.replace(word, value)
    return text.replace("\n", "\r\n").encode()
