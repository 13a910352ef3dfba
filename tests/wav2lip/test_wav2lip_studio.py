"""The engine ``wav2lip`` as users get it: a checkpoint in its place, a server, requests with the documented fields."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from websockets.sync.client import connect

from lipstream.avatar import Avatar
from lipstream.client import Media
from lipstream.client import connect as stream
from lipstream.config import Settings
from lipstream.engines.wav2lip.imported import ImportedModel, import_folder
from lipstream.enhance import upscaling
from lipstream.models.store import default_cache
from lipstream.studio import Job, Studio
from tests.live_server import LiveServer, running_server
from tests.media import wav_bytes


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The needed models, and no import."""
    folder = tmp_path_factory.mktemp("cache")
    for path in default_cache().iterdir():
        if path.is_file():
            (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def settings(small_import: ImportedModel, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A checkpoint that was imported earlier, and a face parser that is none."""
    folder = tmp_path_factory.mktemp("checkpoints")
    checkpoint = folder / "wav2lip_gan.pth"
    checkpoint.write_bytes(b"only its hash is looked at")
    shutil.copytree(small_import.folder, import_folder(checkpoint, cache))
    (folder / "79999_iter.pth").write_bytes(b"no face parser")
    return Settings(
        wav2lip_path=checkpoint,
        segmentation_path=folder / "79999_iter.pth",
        sr_path=folder / "sr.pth",
        checkpoints_dir=folder,
        cache_dir=cache,
        workers=1,
    )


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[LiveServer]:
    with running_server(settings) as live:
        yield live


@pytest.fixture(scope="module")
def files(head: Avatar, sample_speech: NDArray[np.float32]) -> dict[str, str]:
    """Picture and recording, 0.4 s in the middle of a word."""
    done, png = cv2.imencode(".png", head.picture)
    assert done
    speech = wav_bytes(sample_speech[8_000:14_400], 16_000)
    return {"image": base64.b64encode(png.tobytes()).decode(), "audio": base64.b64encode(speech).decode()}


def ask(server: LiveServer, files: dict[str, str], **fields: object) -> dict[str, Any]:
    with connect(server.websocket_url(), max_size=None) as websocket:
        websocket.send(json.dumps(files | fields))
        answer: dict[str, Any] = json.loads(websocket.recv(timeout=60))
        return answer


def pictures(answer: dict[str, Any]) -> list[bytes]:
    assert answer["status"] == "success", answer
    with av.open(io.BytesIO(base64.b64decode(answer["video"]))) as file:
        return [frame.to_ndarray(format="gray").tobytes() for frame in file.decode(video=0)]


def test_auto_takes_wav2lip_when_its_checkpoint_is_there(server: LiveServer, files: dict[str, str]) -> None:
    automatic, asked, other = (
        pictures(ask(server, files, **fields)) for fields in ({}, {"engine": "wav2lip"}, {"engine": "portrait"})
    )
    assert len(automatic) == 10
    assert automatic == asked
    assert automatic != other


def test_documented_fields_reach_the_engine(server: LiveServer, files: dict[str, str]) -> None:
    """The documented defaults change nothing; other pads show another mouth."""
    documented = {"fps": 25.0, "pads": [0, 10, 0, 0], "img_size": 96, "batch_size": 128, "no_sr": False}
    plain = pictures(ask(server, files))
    assert pictures(ask(server, files, **documented)) == plain
    assert pictures(ask(server, files, pads=[0, 40, 0, 0])) != plain


def test_a_size_that_the_checkpoint_does_not_have_is_refused_with_the_one_it_has(
    server: LiveServer, files: dict[str, str]
) -> None:
    answer = ask(server, files, img_size=288)
    assert answer["code"] == "bad_field"
    assert "288" in answer["message"]
    assert "96" in answer["message"]


def test_what_cannot_be_used_is_reported_and_leaves_the_engine_alone(server: LiveServer) -> None:
    ready = server.get_json("/readyz")
    assert ready["engines"] == ["portrait", "wav2lip"]
    assert list(ready["problems"]) == ["segmentation"]  # type: ignore[call-overload]
    assert [model["name"] for model in ready["absent"]] == ["super-resolution", "face-alignment"]  # type: ignore[attr-defined]


def test_it_streams(server: LiveServer, files: dict[str, str], sample_speech: NDArray[np.float32]) -> None:
    async def talk() -> None:
        image = base64.b64decode(files["image"])
        async with stream(server.websocket_url("/ws/stream"), image=image, sample_rate=16_000) as session:
            assert session.ready["engine"] == "wav2lip"
            assert session.ready["lookahead_ms"] > 200, "the last column of a frame's window is 212.5 ms after it"
            await session.send((sample_speech[8_000:24_000] * 32_767).astype(np.int16))
            await session.end()
            events = []
            async for item in session:
                if not isinstance(item, Media) and item.type.startswith("speech."):
                    events.append(item)
                if len(events) == 2:
                    break
        assert [event.type for event in events] == ["speech.started", "speech.ended"]
        assert events[1]["duration_ms"] == 1000

    asyncio.run(asyncio.wait_for(talk(), 60))


def test_a_checkpoint_that_is_something_else_is_reported_and_portrait_still_runs(
    settings: Settings, files: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "wav2lip_gan.onnx").write_bytes(b"something else")
    broken = settings.model_copy(update={"wav2lip_path": tmp_path / "wav2lip_gan.onnx"})
    with running_server(broken) as live:
        assert live.get_json("/readyz")["engines"] == ["portrait"]
        assert len(pictures(ask(live, files))) == 10
        answer = ask(live, files, engine="wav2lip")
    assert answer["code"] == "model_damaged"
    assert "wav2lip_gan.onnx" in answer["message"]


@pytest.mark.torch
def test_the_first_start_says_how_far_the_import_is(
    cache: Path,
    small_weights: dict[str, NDArray[np.float32]],
    files: dict[str, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = pytest.importorskip("torch")
    state = {f"module.{name}": torch.from_numpy(array) for name, array in small_weights.items()}
    torch.save({"state_dict": state}, tmp_path / "wav2lip_gan.pth")
    settings = Settings(wav2lip_path=tmp_path / "wav2lip_gan.pth", checkpoints_dir=tmp_path, cache_dir=cache)
    # A server that ran in this process has taken our messages for its own log.
    monkeypatch.setattr(logging.getLogger("lipstream"), "propagate", True)
    caplog.set_level(logging.INFO, logger="lipstream")
    studio = Studio.open(settings)
    steps = {line[-8:] for line in caplog.messages if line.startswith("Importing wav2lip_gan.pth")}
    assert steps == {"(1 of 4)", "(2 of 4)", "(3 of 4)", "(4 of 4)"}
    image, audio = (base64.b64decode(files[name]) for name in ("image", "audio"))
    assert studio.render(Job(image=image, audio=audio, engine="wav2lip"))
    caplog.clear()
    Studio.open(settings)
    assert not [line for line in caplog.messages if line.startswith("Importing")], "once"


@pytest.mark.torch
def test_super_resolution_works_in_one_shot_with_progress(
    settings: Settings, files: dict[str, str], head: Avatar, tmp_path: Path
) -> None:
    """A real (small, random) ESRGAN checkpoint: it changes the mouth of a large face, unless ``no_sr``."""
    torch = pytest.importorskip("torch")
    try:
        upscaling._import_spandrel()
    except ImportError as error:
        pytest.skip(f"the extra sr is not installed: {error}")
    from spandrel.architectures.ESRGAN import ESRGAN

    done, large = cv2.imencode(".png", cv2.resize(head.picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
    assert done
    files = files | {"image": base64.b64encode(large.tobytes()).decode()}
    torch.manual_seed(0)
    torch.save({"params_ema": ESRGAN(num_filters=16, num_blocks=1, scale=2).state_dict()}, tmp_path / "sr.pth")
    with running_server(settings.model_copy(update={"sr_path": tmp_path / "sr.pth"})) as server:
        ready: Any = server.get_json("/readyz")
        assert "super-resolution" not in {absent["name"] for absent in ready["absent"]}
        assert "super-resolution" not in ready["problems"]
        with connect(server.websocket_url(), max_size=None) as websocket:
            websocket.send(json.dumps(files | {"progress": True}))
            answers = [json.loads(websocket.recv(timeout=60))]
            while answers[-1]["status"] == "progress":
                answers.append(json.loads(websocket.recv(timeout=60)))
        assert answers[-2]["done"] == answers[-2]["total"] == 10
        upscaled, plain = pictures(answers[-1]), pictures(ask(server, files, no_sr=True))
    assert len(upscaled) == len(plain) == 10
    assert upscaled != plain
