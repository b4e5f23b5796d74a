"""Speaking tus by hand: a client that sends a file piece by piece, with its session and the form's token."""

import base64
import hashlib
from typing import Any

from werkzeug.test import TestResponse

from tests.client import Client

VERSION = {"Tus-Resumable": "1.0.0"}
PIECE = "application/offset+octet-stream"


class Sender:
    """A browser that sends pieces."""

    def __init__(self, client: Client) -> None:
        self.client, self.token = client, client.csrf_token("authoring.list_uploads")

    def ask(self, method: str, path: str, body: bytes = b"", **headers: Any) -> TestResponse:
        """One request; `Upload_Offset=3` is the header Upload-Offset, None leaves one out."""
        given = {**VERSION, "X-CSRFToken": self.token, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.client.open(
            path, method=method, data=body, headers={name: str(value) for name, value in given.items() if value is not None}
        )

    def begin(self, name: str, size: int, **headers: Any) -> TestResponse:
        """Begin a file of so many bytes."""
        given = {"Upload_Length": size, "Upload_Metadata": metadata(name), **headers}
        return self.ask("POST", "/staff/uploads/parts", **given)

    def add(self, path: str, offset: int, piece: bytes, **headers: Any) -> TestResponse:
        """Send a piece."""
        return self.ask("PATCH", path, piece, **{"Upload_Offset": offset, "Content_Type": PIECE, **headers})

    def offset(self, path: str) -> int:
        """How much of it is there."""
        answer = self.ask("HEAD", path)
        assert answer.status_code == 200, answer.status
        return int(answer.headers["Upload-Offset"])

    def send(self, name: str, content: bytes) -> str:
        """Send a file as a whole; its address."""
        path = self.begin(name, len(content)).location
        assert path is not None
        if content:
            assert self.add(path, 0, content).status_code == 204
        return path

    def finish(self, *paths: str, **answers: str) -> TestResponse:
        """Send the form of the page, with files that were sent before."""
        form = {"csrf_token": self.token, "parts": [path.rpartition("/")[2] for path in paths], **answers}
        return self.client.post("/staff/uploads", data=form)


def metadata(name: str) -> str:
    """A file's name as the protocol writes it."""
    return f"filename {base64.b64encode(name.encode()).decode()}"


def checksum(piece: bytes, algorithm: str = "sha256") -> str:
    """A piece's checksum as the protocol writes it."""
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, piece).digest()).decode()}"
