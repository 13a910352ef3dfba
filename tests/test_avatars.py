"""Uploaded pictures: kept once, found again, forgotten oldest first; over HTTP and on disk."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lipstream.avatar import Avatar
from lipstream.avatar_library import ABANDONED_SECONDS, THUMBNAIL_PIXELS, AvatarLibrary, picture_warnings
from lipstream.config import Settings
from lipstream.errors import FaceError, SessionError
from lipstream.face.finder import FaceFinder
from lipstream.media.size import SizeLimit, shrink
from lipstream.server.service import Service
from lipstream.studio import Studio
from tests.live_server import LiveServer, running_server
from tests.media import png_bytes
from tests.speakers import plain_avatar
from tests.turned_head import turned_head


def look(_: bytes) -> Avatar:
    """Finds a face in anything."""
    return plain_avatar()


@pytest.fixture
def library(tmp_path: Path) -> AvatarLibrary:
    return AvatarLibrary(tmp_path / "avatars", 2**20)


def test_the_same_picture_is_kept_once(library: AvatarLibrary) -> None:
    first, new = library.add(b"picture", look)
    assert new

    def refuse(_: bytes) -> Avatar:
        raise AssertionError("it was looked at again")

    assert library.add(b"picture", refuse) == (first, False)
    assert library.records() == [first]
    assert library.picture(first.id) == b"picture"
    assert library.get(first.id) == first
    assert (first.width, first.height) == (64, 64)
    assert first.face.width > 10


def test_what_cannot_be_used_is_not_kept(library: AvatarLibrary) -> None:
    def faceless(_: bytes) -> Avatar:
        raise FaceError("no_face", "There is no face.")

    with pytest.raises(FaceError):
        library.add(b"landscape", faceless)
    assert library.records() == []


def test_it_is_all_there_after_a_restart(tmp_path: Path) -> None:
    record, _ = AvatarLibrary(tmp_path, 2**20).add(b"picture", look)
    assert AvatarLibrary(tmp_path, 2**20).get(record.id) == record


def test_records_of_before_clips_and_chosen_faces_are_read(tmp_path: Path) -> None:
    library = AvatarLibrary(tmp_path, 2**20)
    record, _ = library.add(b"picture", look)
    facts = tmp_path / record.id / "avatar.json"
    new = {"kind", "seconds", "face_index"}
    facts.write_text(
        json.dumps({name: fact for name, fact in json.loads(facts.read_text()).items() if name not in new})
    )
    assert library.get(record.id) == record
    assert library.records() == [record]


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"id": 1}'])
def test_a_damaged_record_hides_no_other_and_is_made_again(library: AvatarLibrary, tmp_path: Path, damage: str) -> None:
    whole, _ = library.add(b"picture", look)
    damaged, _ = library.add(b"another", look)
    (tmp_path / "avatars" / damaged.id / "avatar.json").write_text(damage)
    assert library.records() == [whole]
    with pytest.raises(SessionError) as caught:
        library.get(damaged.id)
    assert caught.value.code == "avatar_unknown"
    assert library.add(b"another", look) == (damaged, True)
    assert library.get(damaged.id) == damaged


def test_nothing_stays_of_what_the_disk_had_no_room_for(
    library: AvatarLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        library.add(b"picture", look)
    assert list((tmp_path / "avatars").iterdir()) == []


def test_the_same_file_as_the_other_kind_is_another_avatar(library: AvatarLibrary) -> None:
    picture, _ = library.add(b"animation", look)
    clip, new = library.add(b"animation", look, kind="video")
    assert new
    assert clip.id != picture.id


def test_readers_of_what_others_delete_hear_that_it_is_unknown(tmp_path: Path) -> None:
    """Two processes, one directory."""
    ours, theirs = AvatarLibrary(tmp_path, 2**20), AvatarLibrary(tmp_path, 2**20)
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            for record in ours.records():
                with suppress(SessionError):
                    assert ours.picture(record.id) == b"picture"

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for _ in range(200):
            record, _ = theirs.add(b"picture", look)
            theirs.remove(record.id)
        stop.set()
        for reader in readers:
            reader.result(60)
    assert ours.records() == []
    assert list(tmp_path.iterdir()) == []


def test_the_least_recently_used_is_forgotten_first(tmp_path: Path) -> None:
    library = AvatarLibrary(tmp_path, 100_000)
    names = []
    for index in range(3):
        record, _ = library.add(bytes([index]) * 30_000, look)
        names.append(record.id)
        age(tmp_path, record.id, 100 - index)
    library.picture(names[0])
    library.add(b"x" * 30_000, look)
    kept = [record.id for record in library.records()]
    assert names[0] in kept
    assert names[1] not in kept
    assert names[2] in kept
    with pytest.raises(SessionError) as caught:
        library.picture(names[1])
    assert caught.value.code == "avatar_unknown"


def age(directory: Path, name: str, seconds: int) -> None:
    """Make an avatar look as if it had been used that long ago."""
    facts = directory / name / "avatar.json"
    then = facts.stat().st_mtime - seconds
    os.utime(facts, (then, then))


def test_one_that_is_larger_than_all_room_is_kept_alone(tmp_path: Path) -> None:
    library = AvatarLibrary(tmp_path, 0)
    library.add(b"a", look)
    record, _ = library.add(b"b", look)
    assert library.records() == [record]


def test_many_threads_with_the_same_picture(library: AvatarLibrary) -> None:
    with ThreadPoolExecutor(8) as threads:
        records = {record for record, _ in threads.map(lambda _: library.add(b"picture", look), range(32))}
    assert len(records) == 1
    assert library.records() == list(records)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "0" * 31, "G" * 32, "0" * 32, "/etc"])
def test_unknown_names(library: AvatarLibrary, name: str) -> None:
    for method in (library.get, library.picture, library.thumbnail, library.remove):
        with pytest.raises(SessionError):
            method(name)


def test_half_an_avatar_is_nobody(library: AvatarLibrary, tmp_path: Path) -> None:
    record, _ = library.add(b"picture", look)
    shutil.copytree(tmp_path / "avatars" / record.id, tmp_path / "avatars" / f".{record.id}-1234")
    assert library.records() == [record]


def test_whether_there_is_a_place_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert AvatarLibrary(tmp_path, 1).writable
    assert AvatarLibrary(tmp_path / "not" / "yet", 1).writable
    assert not (tmp_path / "not").exists()
    (tmp_path / "file").touch()
    assert not AvatarLibrary(tmp_path / "file" / "below", 1).writable
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != tmp_path)  # root may write everywhere
    assert not AvatarLibrary(tmp_path / "not" / "yet", 1).writable


def test_a_server_says_that_avatars_cannot_be_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("lipstream"), "propagate", True)  # servers of other tests change it
    caplog.set_level(logging.WARNING, "lipstream")
    (tmp_path / "file").touch()
    service = Service(Settings(avatar_dir=tmp_path / "file" / "below"))
    asyncio.run(service.load())
    service.close()
    assert "Set LIPSTREAM_AVATAR_DIR" in caplog.text


def test_old_drafts_are_swept_and_young_ones_are_not(library: AvatarLibrary, tmp_path: Path) -> None:
    left, written = (tmp_path / "avatars" / f".{'0' * 32}-{uuid.uuid4().hex}" for _ in range(2))
    for draft in (left, written):
        draft.mkdir(parents=True)
        (draft / "picture").write_bytes(b"half a pic")
    long_ago = time.time() - ABANDONED_SECONDS - 60
    os.utime(left, (long_ago, long_ago))
    library.add(b"picture", look)
    assert not left.exists()
    assert written.exists()


def test_turned_heads_are_warned_of(finder: FaceFinder, astronaut: NDArray[np.uint8], studio: Studio) -> None:
    straight = studio.avatar(png_bytes(astronaut))
    assert not any("turned" in warning for warning in picture_warnings(straight))
    picture = turned_head(astronaut, straight.face, 32.0)
    face = finder.largest(picture)
    (warning,) = [one for one in picture_warnings(Avatar(picture, face, "")) if "turned" in one]
    assert warning == f"The head is turned by {abs(face.yaw):.0f}°. A face seen from the front speaks more clearly."


def test_small_faces_are_warned_of(studio: Studio, astronaut: NDArray[np.uint8]) -> None:
    small = studio.avatar(png_bytes(astronaut), SizeLimit(10**9, 256))
    assert small.size == (256, 256)
    assert any("small" in warning for warning in picture_warnings(small))


@pytest.mark.parametrize(
    ("limit", "size"),
    [
        (SizeLimit(10**9), (300, 200)),
        (SizeLimit(10**9, 1_000), (300, 200)),
        (SizeLimit(10**9, 150), (150, 100)),
        (SizeLimit(15_000), (150, 100)),
        (SizeLimit(10**9, 101), (100, 66)),
    ],
)
def test_pictures_are_made_smaller_never_larger(limit: SizeLimit, size: tuple[int, int]) -> None:
    height, width = shrink(np.zeros((200, 300, 3), np.uint8), limit).shape[:2]
    assert (width, height) == size


# Over HTTP


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(Settings(avatar_dir=tmp_path_factory.mktemp("avatars"), max_image_bytes=2**20)) as live:
        yield live


def test_upload_look_delete(server: LiveServer, portrait: bytes) -> None:
    with httpx.Client(base_url=server.url("")) as client:
        answer = client.post("/v1/avatars", files={"image": portrait})
        assert answer.status_code == 201
        avatar = answer.json()
        assert (avatar["width"], avatar["height"]) == (240, 256)
        assert 40 < avatar["face"]["width"] < 160
        assert abs(avatar["pose"]["yaw"]) < 15
        again = client.post("/v1/avatars", files={"image": portrait})
        assert (again.status_code, again.json()) == (200, avatar)
        assert client.get("/v1/avatars").json() == {"avatars": [avatar]}
        assert client.get(f"/v1/avatars/{avatar['id']}").json() == avatar
        thumbnail = client.get(f"/v1/avatars/{avatar['id']}/thumbnail")
        assert thumbnail.headers["content-type"] == "image/jpeg"
        assert max(Image.open(io.BytesIO(thumbnail.content)).size) <= THUMBNAIL_PIXELS
        assert client.delete(f"/v1/avatars/{avatar['id']}").status_code == 204
        assert client.get("/v1/avatars").json() == {"avatars": []}
        for gone in (client.get, client.delete):
            answer = gone(f"/v1/avatars/{avatar['id']}")
            assert (answer.status_code, answer.json()["code"]) == (404, "avatar_unknown")


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"files": {"image": b"no picture"}}, 415, "not_an_image"),
        ({"files": {"image": b"x" * (2**20 + 1)}}, 413, "image_too_large"),
        ({"files": {"picture": b"x"}}, 422, "unknown_field"),
        ({"files": {"image": b"x"}, "data": {"face_index": "-1"}}, 422, "bad_field"),
        ({"files": {"image": b"x"}, "data": {"face_index": "left"}}, 422, "bad_field"),
        ({"files": {}, "data": {"image": "text"}}, 415, "not_a_form"),
        ({"content": b"raw"}, 415, "not_a_form"),
    ],
)
def test_uploads_that_are_refused(
    server: LiveServer, fields: dict[str, dict[str, bytes]], status: int, code: str
) -> None:
    answer = httpx.post(server.url("/v1/avatars"), **fields)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_mistake_of_ours_has_a_code(tmp_path: Path, portrait: bytes) -> None:
    (tmp_path / "file").touch()
    with running_server(Settings(avatar_dir=tmp_path / "file" / "avatars")) as server:
        answer = httpx.post(server.url("/v1/avatars"), files={"image": portrait})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
