"""The model store against a real HTTP server and real wheels, both on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lipstream.errors import ModelError
from lipstream.models.assets import ASSETS, Asset, IndexPackage, Source, Url
from lipstream.models.download import _bytes_in, take_member
from lipstream.models.store import ModelStore, default_cache
from tests.file_server import FileServer, serving_file
from tests.wheels import write_wheel

CONTENT = bytes(range(256)) * 1000
OTHER = b"another file of the same wheel"


def asset_of(content: bytes, *sources: Source, name: str = "thing") -> Asset:
    return Asset(
        name=name,
        file_name=f"{name}.bin",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        licence="none",
        home="nowhere",
        purpose="to be fetched",
        sources=sources,
    )


@pytest.fixture
def file_server() -> Iterator[FileServer]:
    with serving_file(CONTENT) as server:
        yield server


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the only package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def from_wheel(member: str, version: str = "1.0") -> IndexPackage:
    return IndexPackage("lipstream-test-data", version, member)


def files_in(folder: Path) -> list[str]:
    """What is there apart from lock files."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_assets_have_unique_names() -> None:
    assert len({asset.name for asset in ASSETS}) == len({asset.file_name for asset in ASSETS}) == len(ASSETS)


def test_missing_asset_is_reported_with_the_command_that_helps(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "cache")
    asset = asset_of(CONTENT)
    assert store.status(asset).state == "missing"
    with pytest.raises(ModelError, match="lipstream models pull") as caught:
        store.path(asset)
    assert caught.value.code == "model_missing"
    assert not store.cache.exists(), "looking must not create anything"


def test_url_is_fetched_once_and_reported(tmp_path: Path, file_server: FileServer) -> None:
    store = ModelStore(tmp_path / "cache")
    asset = asset_of(CONTENT, Url(file_server.url))
    reports: list[tuple[Asset, int, int | None]] = []
    path = store.fetch(asset, lambda *report: reports.append(report))
    assert path.read_bytes() == CONTENT
    assert reports[0] == (asset, 0, len(CONTENT))
    assert reports[-1] == (asset, len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in reports] == sorted(done for _, done, _ in reports)
    assert store.fetch(asset) == store.path(asset) == path
    assert file_server.ranges == [None]
    assert files_in(store.cache) == ["thing.bin"]


def test_broken_connection_is_resumed(tmp_path: Path, file_server: FileServer) -> None:
    file_server.drop_after = [100_000, 50_000]
    store = ModelStore(tmp_path)
    assert store.fetch(asset_of(CONTENT, Url(file_server.url))).read_bytes() == CONTENT
    assert file_server.ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_half_a_file_of_an_earlier_run_is_resumed(tmp_path: Path, file_server: FileServer) -> None:
    (tmp_path / "thing.bin.part").write_bytes(CONTENT[:1234])
    assert ModelStore(tmp_path).fetch(asset_of(CONTENT, Url(file_server.url))).read_bytes() == CONTENT
    assert file_server.ranges == ["bytes=1234-"]


@pytest.mark.parametrize("size", [1234, len(CONTENT), len(CONTENT) + 7])
def test_remains_of_another_file_are_given_up(tmp_path: Path, file_server: FileServer, size: int) -> None:
    (tmp_path / "thing.bin.part").write_bytes(b"x" * size)
    assert ModelStore(tmp_path).fetch(asset_of(CONTENT, Url(file_server.url))).read_bytes() == CONTENT
    assert file_server.ranges[-1] is None


def test_server_without_ranges_starts_over(tmp_path: Path, file_server: FileServer) -> None:
    file_server.knows_ranges = False
    (tmp_path / "thing.bin.part").write_bytes(b"x" * 1234)
    assert ModelStore(tmp_path).fetch(asset_of(CONTENT, Url(file_server.url))).read_bytes() == CONTENT


def test_wrong_content_is_refused_and_forgotten(tmp_path: Path, file_server: FileServer) -> None:
    store = ModelStore(tmp_path)
    asset = asset_of(CONTENT, Url(file_server.url))
    file_server.content = CONTENT[::-1]
    with pytest.raises(ModelError, match="unexpected content") as caught:
        store.fetch(asset)
    assert caught.value.code == "model_download_failed"
    assert files_in(tmp_path) == []
    file_server.content = CONTENT
    assert store.fetch(asset).read_bytes() == CONTENT


def test_endless_answer_is_cut_off(tmp_path: Path, file_server: FileServer) -> None:
    file_server.content = CONTENT * 20
    most = 0

    def watch(_: Asset, done: int, __: int | None) -> None:
        nonlocal most
        most = max(most, done)

    with pytest.raises(ModelError):
        ModelStore(tmp_path).fetch(asset_of(CONTENT, Url(file_server.url)), watch)
    assert most == len(CONTENT) + 1


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (503, 4)])
def test_refusals(tmp_path: Path, file_server: FileServer, status: int, requests: int) -> None:
    file_server.statuses = [status] * 10
    with pytest.raises(ModelError, match=str(status)) as caught:
        ModelStore(tmp_path).fetch(asset_of(CONTENT, Url(file_server.url)))
    assert caught.value.code == "model_download_failed"
    assert len(file_server.ranges) == requests


def test_overloaded_server_is_asked_again(tmp_path: Path, file_server: FileServer) -> None:
    file_server.statuses = [503, 500]
    assert ModelStore(tmp_path).fetch(asset_of(CONTENT, Url(file_server.url))).read_bytes() == CONTENT


def test_next_source_is_tried_and_all_reasons_are_told(tmp_path: Path, file_server: FileServer) -> None:
    dead = Url("http://127.0.0.1:9/nothing")
    assert ModelStore(tmp_path).fetch(asset_of(CONTENT, dead, Url(file_server.url))).read_bytes() == CONTENT
    file_server.statuses = [404]
    with pytest.raises(ModelError, match=r"127\.0\.0\.1:9.*404"):
        ModelStore(tmp_path / "other").fetch(asset_of(CONTENT, dead, Url(file_server.url)))


def test_damaged_file_is_reported_and_fetched_again(tmp_path: Path, file_server: FileServer) -> None:
    store = ModelStore(tmp_path)
    asset = asset_of(CONTENT, Url(file_server.url))
    path = store.fetch(asset)
    path.write_bytes(CONTENT[:-1] + b"!")
    assert store.status(asset).state == "damaged"
    with pytest.raises(ModelError) as caught:
        store.path(asset)
    assert caught.value.code == "model_damaged"
    assert store.fetch(asset).read_bytes() == CONTENT


def test_own_file_in_checkpoints_comes_first(tmp_path: Path, file_server: FileServer) -> None:
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "thing.bin").write_bytes(CONTENT)
    store = ModelStore(tmp_path / "cache", checkpoints)
    asset = asset_of(CONTENT, Url(file_server.url))
    assert store.fetch(asset) == checkpoints / "thing.bin"
    assert file_server.ranges == []
    (checkpoints / "thing.bin").write_bytes(b"something else")
    assert store.fetch(asset) == tmp_path / "cache" / "thing.bin"
    assert (checkpoints / "thing.bin").read_bytes() == b"something else"


def test_one_wheel_serves_all_its_assets(tmp_path: Path, index: Path) -> None:
    write_wheel(index, "lipstream-test-data", {"data/thing.bin": CONTENT, "data/other.bin": OTHER})
    thing = asset_of(CONTENT, from_wheel("data/thing.bin"))
    other = asset_of(OTHER, from_wheel("data/other.bin"), name="other")
    store = ModelStore(tmp_path / "cache", assets=(thing, other))
    reports: list[tuple[Asset, int, int | None]] = []
    assert store.fetch(thing, lambda *report: reports.append(report)).read_bytes() == CONTENT
    assert reports
    assert store.status(other).state == "present"
    assert files_in(store.cache) == ["other.bin", "thing.bin"]


def test_bad_neighbour_in_the_wheel_does_no_harm(tmp_path: Path, index: Path) -> None:
    write_wheel(index, "lipstream-test-data", {"data/thing.bin": CONTENT, "data/other.bin": b"changed"})
    thing = asset_of(CONTENT, from_wheel("data/thing.bin"))
    other = asset_of(OTHER, from_wheel("data/other.bin"), name="other")
    store = ModelStore(tmp_path / "cache", assets=(thing, other))
    assert store.fetch(thing).read_bytes() == CONTENT
    with pytest.raises(ModelError, match="unexpected content"):
        store.fetch(other)


def test_wheel_that_is_not_there(tmp_path: Path, index: Path) -> None:
    write_wheel(index, "lipstream-test-data", {"data/thing.bin": CONTENT})
    cache = tmp_path / "cache"
    with pytest.raises(ModelError, match="lipstream-test-data") as caught:
        ModelStore(cache).fetch(asset_of(CONTENT, from_wheel("data/thing.bin", version="2.0")))
    assert caught.value.code == "model_download_failed"
    assert files_in(cache) == []


def test_python_without_pip(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wheel(index, "lipstream-test-data", {"data/thing.bin": CONTENT})
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(ModelError, match="ensurepip"):
        ModelStore(tmp_path / "cache").fetch(asset_of(CONTENT, from_wheel("data/thing.bin")))


def test_damaged_wheel(tmp_path: Path, index: Path) -> None:
    write_wheel(index, "lipstream-test-data", {"data/thing.bin": CONTENT})
    (wheel,) = index.iterdir()
    wheel.write_bytes(wheel.read_bytes()[:1000])
    with pytest.raises(ModelError) as caught:
        ModelStore(tmp_path / "cache").fetch(asset_of(CONTENT, from_wheel("data/thing.bin")))
    assert caught.value.code == "model_download_failed"


def test_member_that_is_not_in_the_wheel(tmp_path: Path, index: Path) -> None:
    write_wheel(index, "lipstream-test-data", {"data/thing.bin": CONTENT})
    with pytest.raises(ModelError, match=r"nothing\.bin"):
        ModelStore(tmp_path / "cache").fetch(asset_of(CONTENT, from_wheel("data/nothing.bin")))


def test_cache_that_cannot_be_written(tmp_path: Path, file_server: FileServer) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match="LIPSTREAM_CACHE_DIR"):
        ModelStore(tmp_path / "file").fetch(asset_of(CONTENT, Url(file_server.url)))


def test_threads_fetch_once(tmp_path: Path, file_server: FileServer) -> None:
    asset = asset_of(CONTENT, Url(file_server.url))
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: ModelStore(tmp_path).fetch(asset), range(8)))
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert file_server.ranges == [None]


def test_processes_fetch_once(tmp_path: Path, file_server: FileServer) -> None:
    asset = asset_of(CONTENT, Url(file_server.url))
    fields = {**asset.__dict__, "sources": [file_server.url]}
    program = (
        "import json, sys; from pathlib import Path\n"
        "from lipstream.models.assets import Asset, Url; from lipstream.models.store import ModelStore\n"
        "fields = json.loads(sys.argv[1]); fields['sources'] = tuple(map(Url, fields['sources']))\n"
        "ModelStore(Path(sys.argv[2])).fetch(Asset(**fields))"
    )
    command = [sys.executable, "-c", program, json.dumps(fields), str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert (tmp_path / "thing.bin").read_bytes() == CONTENT
    assert file_server.ranges == [None]


def test_network_that_mnn_cannot_read(tmp_path: Path) -> None:
    asset = replace(asset_of(CONTENT), file_name="thing.tflite")
    (tmp_path / "thing.tflite").write_bytes(CONTENT)
    with pytest.raises(ModelError) as caught:
        ModelStore(tmp_path).network(asset)
    assert caught.value.code == "model_damaged"
    assert files_in(tmp_path) == ["thing.tflite"]


def test_networks_are_converted_when_fetched_and_then_only_read(store: ModelStore) -> None:
    converted = {path: path.stat().st_mtime_ns for path in store.cache.glob("*.mnn")}
    tflite = [asset for asset in store.assets if asset.file_name.endswith(".tflite")]
    networks = {store.network(asset, part) for asset in tflite for part in asset.parts or (None,)}
    assert len(networks) == 6
    assert networks <= converted.keys()
    assert {path: path.stat().st_mtime_ns for path in networks} == {path: converted[path] for path in networks}


def test_default_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIPSTREAM_CACHE_DIR", str(tmp_path))
    assert default_cache() == tmp_path == ModelStore().cache
    monkeypatch.delenv("LIPSTREAM_CACHE_DIR")
    assert default_cache().name == "lipstream"


def test_a_full_disk_is_named_when_a_wheel_is_unpacked(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "thing", {"thing/model.bin": CONTENT})
    with pytest.raises(ModelError) as caught:
        take_member(wheel, "thing/model.bin", Path("/dev/full"))
    assert caught.value.code == "model_download_failed"
    assert caught.value.message == "/dev/full cannot be written: No space left on device."


def test_folders_may_vanish_while_the_bytes_that_have_arrived_are_counted(tmp_path: Path) -> None:
    """pip makes and removes them all the time."""
    (tmp_path / "thing.whl").write_bytes(CONTENT)
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            for number in range(20):
                (tmp_path / f"{number}" / "deeper").mkdir(parents=True)
            for number in range(20):
                shutil.rmtree(tmp_path / f"{number}")

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(come_and_go)
        try:
            assert {_bytes_in(tmp_path) for _ in range(300)} == {len(CONTENT)}
        finally:
            stop.set()
        coming.result(30)
