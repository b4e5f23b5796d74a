"""Keeping files, in a folder and in a bucket: the same promises for both."""

import errno
import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, current_app

from courseapp import storage
from courseapp.config import MissingSettings, Settings, load_settings
from courseapp.operations.health import Level, check_storage

pytestmark = pytest.mark.one_database
KINDS = ("folder", "bucket")
LARGE = 20_000_001  # bytes; more than two parts of an upload


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, make_app: Callable[..., Flask], tmp_path: Path) -> Iterator[str]:
    """A storage of each kind, bound to the present application."""
    kind: str = request.param
    settings = {"storage_url": str(tmp_path / "kept files")} if kind == "folder" else request.getfixturevalue("bucket")
    with make_app(**settings).app_context():
        yield kind


class Endless(io.RawIOBase):
    """A file of `size` bytes that nobody holds in memory, and which breaks after `breaks` of them."""

    def __init__(self, size: int, breaks: int | None = None) -> None:
        self.size, self.breaks, self.given, self.largest = size, breaks, 0, 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes: each piece says where it begins."""
        if self.breaks is not None and self.given >= self.breaks:
            raise OSError("the line was cut")
        count = min(size if size >= 0 else self.size, self.size - self.given)
        self.given, self.largest = self.given + count, max(self.largest, count)
        return bytes(count)


def content_of(key: str) -> bytes:
    """All that is stored under a key."""
    with storage.open_stored(key) as file:
        return file.read()


def test_what_is_kept_comes_back(place: str) -> None:
    assert not storage.has("assets/ab/abc")
    storage.keep("assets/ab/abc", b"0123456789")
    assert storage.has("assets/ab/abc")
    assert storage.size_of("assets/ab/abc") == 10
    with storage.open_stored("assets/ab/abc") as file:
        assert (file.read(4), file.read(4), file.read(4), file.read(4)) == (b"0123", b"4567", b"89", b"")
    storage.keep("assets/ab/abc", b"anew")
    assert content_of("assets/ab/abc") == b"anew"


def test_a_file_may_be_read_from_its_middle(place: str) -> None:
    storage.keep("assets/ab/abc", b"0123456789")
    with storage.open_stored("assets/ab/abc", 7) as file:
        assert file.read() == b"789"
    with storage.open_stored("assets/ab/abc", 2, 3) as file:
        assert file.read(3) == b"234"
    with storage.open_stored("assets/ab/abc", 10, 0) as file:
        assert file.read() == b""


def test_a_whole_file_of_this_machine_is_kept_and_its_own_name_may_go(place: str, tmp_path: Path) -> None:
    own = tmp_path / "sent"
    for content in (b"0123456789", b"anew"):
        own.write_bytes(content)
        assert storage.keep_file("uploads/x/0", own) == len(content)
        own.unlink()
        assert content_of("uploads/x/0") == content
    with pytest.raises(FileNotFoundError):
        storage.keep_file("uploads/x/1", own)


def test_many_are_kept_several_at_a_time(place: str, tmp_path: Path) -> None:
    own = tmp_path / "sent"
    own.write_bytes(b"x" * 300_000)
    files: list[tuple[str, bytes | Path]] = [(f"assets/{number % 7}/{number}", b"%d" % number) for number in range(40)]
    told: list[int] = []
    storage.keep_all([*files, ("assets/own", own)], told.append)
    assert told == [32, 41]
    assert [content_of(key) for key, _content in files] == [content for _key, content in files]
    assert content_of("assets/own") == own.read_bytes()
    storage.keep_all([("draft/a", b"passing")], for_good=False)
    assert content_of("draft/a") == b"passing"
    with pytest.raises(FileNotFoundError):
        storage.keep_all([("assets/late", b"late"), ("assets/none", tmp_path / "none")])


def test_where_a_stored_file_lies_it_can_be_read_in_place_or_is_fetched(place: str, tmp_path: Path) -> None:
    storage.keep("uploads/x/0", b"0123456789")
    with storage.lying_at("uploads/x/0", tmp_path) as path:
        assert path.read_bytes() == b"0123456789"
        assert path.is_relative_to(tmp_path / "kept files") == (place == "folder")
    assert path.exists() == (place == "folder")
    assert storage.has("uploads/x/0")
    assert (storage.path_of("uploads/x/0") is None) == (place == "bucket")


def test_a_file_of_another_disk_is_copied(make_app: Callable[..., Flask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(_self: Path, _target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    own = tmp_path / "sent"
    own.write_bytes(b"0123456789")
    with make_app(storage_url=str(tmp_path / "kept")).app_context():
        storage.keep_file("same", own)
        monkeypatch.setattr(Path, "hardlink_to", elsewhere)
        storage.keep_file("other", own)
        assert [(tmp_path / "kept" / name).samefile(own) for name in ("same", "other")] == [True, False]
        assert content_of("same") == content_of("other")


def test_an_empty_file_is_a_file(place: str) -> None:
    storage.keep("empty", b"")
    assert storage.has("empty")
    assert storage.size_of("empty") == 0
    assert content_of("empty") == b""


def test_what_is_not_there_is_said_to_be_so(place: str) -> None:
    for ask in (storage.size_of, storage.open_stored):
        with pytest.raises(FileNotFoundError):
            ask("assets/no/nothing")
    storage.remove("assets/no/nothing")
    storage.keep("assets/ab/abc", b"x")
    assert not storage.has("assets/ab")  # a folder is no file
    storage.remove("assets/ab/abc")
    assert not storage.has("assets/ab/abc")


def test_what_is_kept_is_listed(place: str) -> None:
    assert list(storage.stored_keys()) == list(storage.stored_keys("erasures")) == []
    keys = ["assets/ab/abc", "assets/ab/abd", "copies/x.pdf", "erasures/1.json", "erasures2/1.json"]
    for key in reversed(keys):
        storage.keep(key, b"content")
    assert sorted(storage.stored_keys()) == keys
    assert list(storage.stored_keys("erasures")) == ["erasures/1.json"]
    assert list(storage.stored_keys("nothing")) == []


def test_more_than_a_thousand_files_are_listed(place: str) -> None:
    for number in range(1003):
        storage.keep(f"many/{number:04}", b"")
    assert len(list(storage.stored_keys("many"))) == 1003


def test_a_large_file_is_kept_and_read_a_piece_at_a_time(place: str) -> None:
    content = Endless(LARGE)
    assert storage.keep_stream("assets/la/large", content) == LARGE
    assert storage.size_of("assets/la/large") == LARGE
    assert content.largest <= 8 * 1024 * 1024


@pytest.mark.parametrize("breaks", [0, 1, 19_000_000])
def test_a_file_that_breaks_off_leaves_nothing_or_what_was_there(place: str, breaks: int) -> None:
    with pytest.raises(OSError, match="the line was cut"):
        storage.keep_stream("assets/la/large", Endless(LARGE, breaks))
    assert not storage.has("assets/la/large")
    storage.keep("assets/la/large", b"before")
    with pytest.raises(OSError, match="the line was cut"):
        storage.keep_stream("assets/la/large", Endless(LARGE, breaks))
    assert content_of("assets/la/large") == b"before"
    assert list(storage.stored_keys()) == ["assets/la/large"]
    assert storage.sweep(older_than=-60) == 0


def test_while_a_file_is_written_others_see_nothing_of_it_and_may_write_too(place: str) -> None:
    half, go_on = threading.Event(), threading.Event()

    class Slow(Endless):
        def read(self, size: int = -1) -> bytes:
            if self.given > LARGE // 2:
                half.set()
                go_on.wait(30)
            return super().read(size)

    app = current_app._get_current_object()  # type: ignore[attr-defined]  # the application behind the proxy, for the thread

    def write() -> None:
        with app.app_context():
            storage.keep_stream("slow", Slow(LARGE))

    thread = threading.Thread(target=write)
    thread.start()
    assert half.wait(30)
    storage.keep("quick", b"whole")
    seen = list(storage.stored_keys()), storage.has("slow")
    go_on.set()
    thread.join(30)
    assert seen == (["quick"], False)
    assert storage.size_of("slow") == LARGE


@pytest.mark.parametrize("key", ["/etc/passwd", "../secret", "assets/../../secret", "..", ".halves/x"])
def test_a_key_leads_nowhere_else(place: str, key: str) -> None:
    for ask in (storage.has, storage.remove, storage.open_stored, lambda key: storage.keep(key, b"")):
        with pytest.raises(ValueError, match="not a storage key"):
            ask(key)


def test_readiness_asks_whether_files_can_be_kept(place: str) -> None:
    assert check_storage().level is Level.OK


# What differs


def test_a_folder_keeps_what_only_we_may_read_and_sweeps_what_a_killed_process_left(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    with make_app(storage_url=tmp_path.as_uri()).app_context():
        storage.keep("assets/ab/abc", b"x")
        assert (tmp_path / "assets/ab/abc").stat().st_mode & 0o777 == 0o600
        old, young = tmp_path / storage.HALVES / "old", tmp_path / storage.HALVES / "young"
        for part in (old, young):
            part.write_bytes(b"half")
        os.utime(old, (time.time() - 90_000,) * 2)
        assert list(storage.stored_keys()) == ["assets/ab/abc"]
        assert storage.sweep(older_than=86_400) == 1
        assert (old.exists(), young.exists()) == (False, True)


def test_a_folder_that_may_not_be_listed_is_no_empty_one(make_app: Callable[..., Flask], tmp_path: Path, monkeypatch: Any) -> None:
    with make_app(storage_url=str(tmp_path)).app_context():
        storage.keep("assets/ab/abc", b"x")

        def refuse(_path: object) -> None:
            raise PermissionError("no")

        monkeypatch.setattr(os, "scandir", refuse)
        with pytest.raises(PermissionError):
            list(storage.stored_keys())


def test_a_folder_has_no_addresses(app: Flask) -> None:
    assert storage.link_to("assets/ab/abc", 300, "audio/mpeg", "inline") is None
    assert storage.origin() is None


def test_uploads_that_a_killed_process_left_are_given_up(make_app: Callable[..., Flask], bucket: dict[str, Any]) -> None:
    with make_app(**bucket).app_context():
        place = storage._place()
        place._client.create_multipart_upload(Bucket=place.name, Key="course/half")  # type: ignore[union-attr]  # it is a Bucket
        assert place.sweep(0.0) == 0  # it was begun later
        assert storage.sweep(older_than=86_400) == 1  # moto says of each that it was begun in 2010
        assert storage.sweep(older_than=86_400) == 0


def test_an_address_of_a_bucket_is_signed_and_expires(make_app: Callable[..., Flask], bucket: dict[str, Any]) -> None:
    with make_app(**bucket, s3_public_endpoint="https://files.example.org").app_context():
        address = urlsplit(storage.link_to("assets/ab/abc", 300, "audio/mpeg", "inline; filename=file.mp3") or "")
        said = parse_qs(address.query)
        assert storage.origin() == "https://files.example.org"
        assert address.netloc == "files.example.org"
        assert address.path.endswith("/course/assets/ab/abc")
        assert said["X-Amz-Expires"] == ["300"]
        assert len(said["X-Amz-Signature"][0]) == 64
        assert said["response-content-type"] == ["audio/mpeg"]
        assert said["response-content-disposition"] == ["inline; filename=file.mp3"]
        assert bucket["s3_secret_key"] not in address.query


@pytest.mark.parametrize(
    ("settings", "origin"),
    [
        ({}, "https://files.s3.us-east-1.amazonaws.com"),
        ({"s3_region": "eu-central-1"}, "https://files.s3.eu-central-1.amazonaws.com"),
        ({"storage_url": "s3://fi.les/x"}, "https://s3.us-east-1.amazonaws.com"),
        ({"s3_endpoint": "http://minio:9000"}, "http://minio:9000"),
        ({"s3_endpoint": "http://minio:9000", "s3_public_endpoint": "https://s3.example.org"}, "https://s3.example.org"),
        ({"s3_public_endpoint": "https://files.example.org"}, "https://files.example.org"),
    ],
)
def test_pages_are_told_the_very_origin_that_films_are_led_to(
    make_app: Callable[..., Flask], settings: dict[str, str], origin: str
) -> None:
    with make_app(**{"storage_url": "s3://files/course", "s3_access_key": "k", "s3_secret_key": "s", **settings}).app_context():
        address = urlsplit(storage.link_to("assets/x", 300, "audio/mpeg", "inline") or "")
        assert storage.origin() == f"{address.scheme}://{address.netloc}" == origin


@pytest.mark.parametrize("trouble", ["nobody listens", "no such bucket"])
def test_a_bucket_that_is_away_is_a_failure_like_that_of_a_disk(
    make_app: Callable[..., Flask], bucket: dict[str, Any], trouble: str
) -> None:
    elsewhere = {"s3_endpoint": "http://127.0.0.1:9"} if trouble == "nobody listens" else {"storage_url": "s3://not-there/course"}
    with make_app(**{**bucket, **elsewhere}).app_context():
        for ask in (lambda: storage.keep("a", b"x"), lambda: storage.open_stored("a"), lambda: list(storage.stored_keys())):
            with pytest.raises(OSError, match="the bucket") as caught:
                ask()
            assert "tests-only" not in str(caught.value)
        assert check_storage().level is Level.FAIL


# Settings

PRODUCTION = {
    "mode": "production",
    "secret_key": "x" * 40,
    "postal_address": "1 Road",
    "sender_address": "a@example.org",
    "base_url": "https://learn.example.org",
    "smtp_url": "smtp://mail.example.org",
    "database_url": "postgresql://db/x",
}
S3 = {"storage_url": "s3://files/course", "s3_access_key": "k", "s3_secret_key": "s"}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, None),
        ({"storage_url": "/srv/files"}, None),
        ({"storage_url": "file:///srv/files"}, None),
        ({"storage_url": "files"}, "STORAGE_URL"),
        ({"storage_url": "gs://files"}, "STORAGE_URL"),
        ({"storage_url": "s3://"}, "STORAGE_URL"),
        (S3, None),
        ({**S3, "s3_endpoint": "https://s3.example.org"}, None),
        ({**S3, "s3_secret_key": ""}, "S3_ACCESS_KEY and S3_SECRET_KEY"),
        ({**S3, "s3_endpoint": "s3.example.org"}, "S3_ENDPOINT"),
        ({**S3, "s3_endpoint": "https://s3.example.org/files"}, "S3_ENDPOINT"),
        ({**S3, "s3_endpoint": "http://minio:9000"}, "S3_PUBLIC_ENDPOINT"),
        ({**S3, "s3_endpoint": "http://minio:9000", "s3_public_endpoint": "https://s3.example.org"}, None),
        ({**S3, "s3_endpoint": "http://minio:9000", "base_url": "http://10.0.0.1"}, None),
    ],
)
def test_production_says_what_is_wrong_with_where_files_are_kept(settings: dict[str, str], named: str | None) -> None:
    if named is None:
        assert load_settings(**{**PRODUCTION, **settings})
        return
    with pytest.raises(MissingSettings, match=named):
        load_settings(**{**PRODUCTION, **settings})


def test_the_secret_of_a_bucket_is_not_told() -> None:
    access = Settings(**S3, mode="embedded").s3
    assert "secret" not in repr(access)
