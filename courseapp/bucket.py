"""An S3-compatible bucket, as storage.py wants it. The only place that knows boto3.

An object appears when its upload is complete, so writing is whole or nothing by itself. Failures are OSError, like those of a
folder; what is not there is FileNotFoundError.
"""

import contextlib
import io
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
import urllib3.exceptions
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from courseapp.config import S3Access

PIECE = 8 * 1024 * 1024  # bytes of one part of an upload, held in memory; ten thousand parts are the most there can be
BUFFER = 256 * 1024
PATIENCE = {"connect_timeout": 3, "read_timeout": 20, "retries": {"total_max_attempts": 3, "mode": "standard"}}
NOT_THERE = {"404", "NoSuchKey", "NotFound", "NoSuchUpload"}


class Bucket:
    """Files as objects `folder/key` of a bucket."""

    def __init__(self, name: str, folder: str, access: S3Access) -> None:
        self.name, self.prefix, self._access = name, f"{folder}/" if folder else "", access

    @property
    def origin(self) -> str:
        """Scheme, host and port of the addresses of `link`, told without loading what makes them."""
        parts = urlsplit(self._access.public_endpoint or _endpoint(self._access))
        return f"{parts.scheme}://{parts.netloc if self._style == 'path' else f'{self.name}.{parts.netloc}'}"

    @property
    def _style(self) -> str:
        """Whether the bucket stands in the path or in the host's name. Few servers of one's own know a host for each bucket, and
        certificates of Amazon's know none whose name has a dot."""
        return "path" if self._access.endpoint or self._access.public_endpoint or "." in self.name else "virtual"

    @cached_property
    def _client(self) -> Any:
        """Made when it is first needed: that takes a second, which no command that touches no file should wait."""
        return _client(self._access, _endpoint(self._access), self._style)

    @cached_property
    def _signer(self) -> Any:
        public = self._access.public_endpoint
        return _client(self._access, public, self._style) if public else self._client

    def keep(self, key: str, content: IO[bytes], _for_good: bool = True) -> int:
        """Upload in parts, one after the other; parts of an upload that fails are removed."""
        counted = _Counted(content)
        config = TransferConfig(multipart_threshold=PIECE, multipart_chunksize=PIECE, use_threads=False)
        with _plain_failures(key):
            self._client.upload_fileobj(counted, self.name, self.prefix + key, Config=config)
        return counted.size

    def adopt(self, files: list[tuple[str, Path]], _pool: Executor, _for_good: bool = True) -> list[tuple[str, Path]]:
        """What lies on this machine has to be sent, all of it."""
        return files

    def settle(self, _keys: Iterable[str]) -> None:
        """An object is there for good once its upload is answered."""

    def remove(self, key: str) -> None:
        """Remove an object; nothing there is fine."""
        with _plain_failures(key):
            self._client.delete_object(Bucket=self.name, Key=self.prefix + key)

    def size(self, key: str) -> int:
        """Bytes of an object; raises FileNotFoundError."""
        with _plain_failures(key):
            return int(self._client.head_object(Bucket=self.name, Key=self.prefix + key)["ContentLength"])

    def stored_at(self, key: str) -> float:
        """When an object was stored, in seconds since 1970; raises FileNotFoundError."""
        with _plain_failures(key):
            moment: datetime = self._client.head_object(Bucket=self.name, Key=self.prefix + key)["LastModified"]
        return moment.timestamp()

    def open(self, key: str, start: int, length: int | None) -> IO[bytes]:
        """An object from `start`, read as it arrives; raises FileNotFoundError."""
        if length == 0:
            return io.BytesIO()  # no range of bytes means nothing
        last = "" if length is None else start + length - 1
        asked = {"Range": f"bytes={start}-{last}"} if start or length is not None else {}
        with _plain_failures(key):
            found = self._client.get_object(Bucket=self.name, Key=self.prefix + key, **asked)
        return io.BufferedReader(_Arriving(found["Body"], key), BUFFER)

    def path(self, _key: str) -> None:
        """Nothing of it lies on this machine."""

    def keys(self, folder: str) -> Iterator[str]:
        """All keys, in their order."""
        prefix = self.prefix + (f"{folder.strip('/')}/" if folder else "")
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        with _plain_failures(folder):
            for page in pages:
                yield from (found["Key"].removeprefix(self.prefix) for found in page.get("Contents", ()) if not found["Key"].endswith("/"))

    def link(self, key: str, seconds: int, media_type: str, disposition: str) -> str:
        """An address signed for so many seconds (AWS Signature Version 4 in the query)."""
        headers = {
            "ResponseContentType": media_type,
            "ResponseContentDisposition": disposition,
            "ResponseCacheControl": "private, no-store",
        }
        asked = {"Bucket": self.name, "Key": self.prefix + key, **headers}
        return str(self._signer.generate_presigned_url("get_object", Params=asked, ExpiresIn=seconds))

    def sweep(self, before: float) -> int:
        """Give up uploads begun before `before` (seconds since 1970) and not completed since: their parts cost money and show nowhere."""
        moment, count = datetime.fromtimestamp(before, UTC), 0
        with _plain_failures(self.name):
            for page in self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.name, Prefix=self.prefix):
                for left in page.get("Uploads", ()):
                    if left["Initiated"] < moment:
                        self._client.abort_multipart_upload(Bucket=self.name, Key=left["Key"], UploadId=left["UploadId"])
                        count += 1
        return count


class _Counted:
    """An open file of which only `read` is known, so that nobody seeks in it or closes it; and how much was read."""

    def __init__(self, content: IO[bytes]) -> None:
        self._content, self.size = content, 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        piece = self._content.read(size)
        self.size += len(piece)
        return piece


class _Arriving(io.RawIOBase):
    """The body of an answer as a file that is read once, from beginning to end."""

    def __init__(self, body: Any, key: str) -> None:
        self._body, self._key = body, key

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with what comes next; 0 at the end. An answer that ends too early raises OSError."""
        with _plain_failures(self._key):
            piece: bytes = self._body.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Let go of the connection."""
        if not self.closed:
            self._body.close()
        super().close()


def _endpoint(access: S3Access) -> str:
    return access.endpoint or f"https://s3.{access.region}.amazonaws.com"


def _client(access: S3Access, endpoint: str, style: str) -> Any:
    checks: dict[str, Any] = dict.fromkeys(("request_checksum_calculation", "response_checksum_validation"), "when_required")
    config = Config(signature_version="s3v4", s3={"addressing_style": style}, max_pool_connections=32, **checks, **PATIENCE)
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=access.region,
        aws_access_key_id=access.key,
        aws_secret_access_key=access.secret,
        config=config,
    )


@contextlib.contextmanager
def _plain_failures(key: str) -> Iterator[None]:
    """What boto3 raises as what a folder would raise. Messages name a code, never the address with its signature."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in NOT_THERE:
            raise FileNotFoundError(key) from None
        raise OSError(f"the bucket answers {code or 'an error'}") from None
    except (botocore.exceptions.BotoCoreError, boto3.exceptions.Boto3Error, urllib3.exceptions.HTTPError) as error:
        raise OSError(f"the bucket does not answer ({type(error).__name__})") from None
