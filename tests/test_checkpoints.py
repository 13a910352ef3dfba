"""Published checkpoints: fetched from a real server on this machine, verified, listed, imported."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lipstream.errors import ModelError
from lipstream.models.checkpoints import CHECKPOINTS, Checkpoint, fetch, inspect, kind_of, named
from tests.file_server import FileServer, serving_file

Run = Callable[..., "subprocess.CompletedProcess[str]"]

CONTENT = bytes(range(256)) * 500


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving_file(CONTENT) as server:
        yield server


def checkpoint(url: str, terms: str | None = None) -> Checkpoint:
    return Checkpoint(
        name="thing",
        file_name="thing.pth",
        kind="segmentation",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        licence="none",
        terms=terms,
        home="nowhere",
        urls=(url,),
    )


def test_names_are_unique_and_files_verifiable() -> None:
    assert len({c.name for c in CHECKPOINTS}) == len({c.file_name for c in CHECKPOINTS}) == len(CHECKPOINTS)
    for known in CHECKPOINTS:
        if known.urls:
            assert known.asset is not None, f"{known.name} would be fetched without a hash"
        assert known.sha256 is None or len(bytes.fromhex(known.sha256)) == 32
        assert all(url.startswith("https://") for url in known.urls)
    for name in ("wav2lip", "wav2lip-gan"):
        terms = named(name).terms
        assert terms is not None
        assert "commercial use is prohibited" in terms


def test_names_and_file_names_are_understood() -> None:
    assert named("wav2lip_gan.pth") is named("wav2lip-gan")
    with pytest.raises(ModelError, match="wav2lip-gan, wav2lip, face-parsing"):
        named("wave2lip")


def test_fetched_file_is_verified_and_lies_where_it_is_looked_for(tmp_path: Path, server: FileServer) -> None:
    folder = tmp_path / "checkpoints"
    path = fetch(checkpoint(server.url), folder)
    assert path == folder / "thing.pth"
    assert path.read_bytes() == CONTENT
    fetch(checkpoint(server.url), folder)
    assert server.ranges == [None], "what is there is not fetched again"


def test_broken_transfer_is_resumed(tmp_path: Path, server: FileServer) -> None:
    server.drop_after = [100_000]
    fetch(checkpoint(server.url), tmp_path)
    assert server.ranges == [None, "bytes=100000-"]
    assert (tmp_path / "thing.pth").read_bytes() == CONTENT


def test_other_content_is_thrown_away(tmp_path: Path, server: FileServer) -> None:
    with pytest.raises(ModelError, match="unexpected content") as caught:
        fetch(replace(checkpoint(server.url), sha256="0" * 64), tmp_path)
    assert caught.value.code == "model_download_failed"
    assert not (tmp_path / "thing.pth").exists()


def test_terms_must_be_accepted(tmp_path: Path, server: FileServer) -> None:
    with pytest.raises(ValueError, match="terms"):
        fetch(checkpoint(server.url, terms="Be good."), tmp_path)
    assert server.ranges == []
    fetch(checkpoint(server.url, terms="Be good."), tmp_path, accept_terms=True)


def test_own_file_of_that_name_is_not_overwritten(tmp_path: Path, server: FileServer) -> None:
    (tmp_path / "thing.pth").write_bytes(b"my own training")
    with pytest.raises(ModelError, match="is not the published"):
        fetch(checkpoint(server.url), tmp_path)
    assert (tmp_path / "thing.pth").read_bytes() == b"my own training"
    assert server.ranges == []


def test_file_that_nobody_has_hashed_is_not_fetched(tmp_path: Path, server: FileServer) -> None:
    with pytest.raises(ModelError, match="no published hash"):
        fetch(replace(checkpoint(server.url), sha256=None), tmp_path)
    assert server.ranges == []


def test_files_are_described(tmp_path: Path) -> None:
    absent = inspect("segmentation", tmp_path / "79999_iter.pth")
    assert (absent.state, absent.sha256) == ("absent", None)
    assert "CelebAMask" in absent.licence
    path = tmp_path / "79999_iter.pth"
    path.write_bytes(CONTENT)
    present = inspect("segmentation", path)
    assert (present.state, present.sha256) == ("present", hashlib.sha256(CONTENT).hexdigest())
    assert "unknown" in present.licence, "the name alone proves nothing"
    assert present.source == "your own file"
    assert inspect("segmentation", path, with_hash=False).sha256 is None
    yunying = tmp_path / "esrgan_yunying.pth"
    yunying.write_bytes(CONTENT)
    assert inspect("upscaling", yunying).licence == "none stated"


@pytest.mark.torch
@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        ("module.face_encoder_blocks.0.0.conv_block.0.weight", "wav2lip"),
        ("cp.resnet.conv1.weight", "segmentation"),
        ("conv3_3_norm_mbox_conf.weight", "detector"),
        ("body.0.weight", "upscaling"),
    ],
)
def test_kind_shows_in_the_tensors(tensor: str, kind: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"state_dict": {tensor: torch.zeros(1)}}, tmp_path / "file.pth")
    assert kind_of(tmp_path / "file.pth") == kind
    assert kind_of(tmp_path / "file.onnx") == "wav2lip"


class TestCommands:
    @pytest.fixture
    def run(self, tmp_path: Path) -> Run:
        def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "lipstream", "models", *map(str, arguments)],
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
                stdin=subprocess.DEVNULL,
                cwd=tmp_path,
                env=os.environ | {"LIPSTREAM_CACHE_DIR": str(tmp_path / "cache"), "COLUMNS": "80"},
            )

        return run

    def test_terms_are_stated_before_anything_is_fetched(self, run: Run, server: FileServer, tmp_path: Path) -> None:
        done = run("pull", "wav2lip-gan", "--from", server.url)
        assert done.returncode == 2
        assert "any form of commercial use is prohibited" in done.stderr
        assert "--accept-licence" in done.stderr
        assert server.ranges == []
        assert not (tmp_path / "checkpoints").exists()

    def test_accepting_fetches_and_verifies(self, run: Run, server: FileServer) -> None:
        done = run("pull", "wav2lip-gan", "--accept-licence", "--from", server.url)
        assert done.returncode == 4
        assert server.ranges
        assert "model_download_failed" in done.stderr
        assert "Traceback" not in done.stderr

    def test_free_ones_need_no_acceptance(self, run: Run, server: FileServer) -> None:
        done = run("pull", "realesr-general", "--from", server.url)
        assert server.ranges
        assert done.returncode == 4, "the server has another file"

    def test_list_shows_every_place(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints" / "79999_iter.pth").write_bytes(CONTENT)
        lines = run("list").stdout.splitlines()
        (parsing,) = (line for line in lines if "79999_iter.pth" in line)
        assert "present" in parsing
        assert hashlib.sha256(CONTENT).hexdigest()[:8] in parsing
        (wav2lip,) = (line for line in lines if "wav2lip_gan.pth" in line)
        assert "absent" in wav2lip
        assert "non-commercial" in wav2lip
        assert any("github.com/Rudrabha/Wav2Lip" in line for line in lines)

    def test_import_says_what_it_needs(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "odd.pth").write_bytes(b"not a checkpoint")
        done = run("import", "odd.pth")
        assert done.returncode == 4
        # Without PyTorch the command to run, with it what is wrong.
        assert (
            "pip install 'lipstream[torch]'" in done.stderr or "odd.pth is not a file of plain tensors" in done.stderr
        )
        assert "Traceback" not in done.stderr

    @pytest.mark.torch
    def test_import_keeps_a_form_that_runs(self, run: Run, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        pytest.importorskip("onnx")
        from tests.reference.bisenet import random_bisenet

        torch.save(random_bisenet().state_dict(), tmp_path / "mine.pth")
        done = run("import", "mine.pth")
        assert done.returncode == 0, done.stderr
        assert hashlib.sha256((tmp_path / "mine.pth").read_bytes()).hexdigest() in done.stdout
        assert "segmentation_path=mine.pth" in done.stdout
        assert len(list((tmp_path / "cache").rglob("*.mnn"))) == 1
