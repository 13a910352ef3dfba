"""Requests: every way of getting one wrong has its own code and a sentence that names what is wrong."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.config import Settings
from lipstream.errors import LipstreamError, RequestError
from lipstream.server import base64_text
from lipstream.server.messages import (
    MAX_ID_LENGTH,
    LipsyncRequest,
    error_text,
    message_too_large,
    open_message,
    progress_text,
    read_json,
    success_text,
)
from lipstream.studio import Job

SETTINGS = Settings(max_image_bytes=4096)


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


REQUEST: dict[str, Any] = {"audio": text_of(b"some audio"), "image": text_of(b"a picture")}


def job_of(message: str) -> Job:
    content = open_message([message], SETTINGS).content
    assert isinstance(content, Job), content
    return content


def error_of(message: str) -> LipstreamError:
    content = open_message([message], SETTINGS).content
    assert isinstance(content, LipstreamError), content
    return content


def with_fields(fields: Mapping[str, Any]) -> str:
    return json.dumps(REQUEST | dict(fields))


def test_defaults_are_the_documented_ones() -> None:
    assert job_of(json.dumps(REQUEST)) == Job(
        image=b"a picture",
        audio=b"some audio",
        fps=Fraction(25),
        engine="auto",
        pads=(0, 10, 0, 0),
        img_size=None,
        batch_size=128,
        no_segmentation=False,
        no_sr=False,
        face_index=None,
    )


def test_every_field_arrives() -> None:
    fields = {
        "fps": 29.97,
        "pads": [1, 2, 3, 4],
        "img_size": 288,
        "batch_size": 1,
        "no_segmentation": True,
        "no_sr": True,
        "engine": "portrait",
        "face_index": 2,
    }
    job = job_of(with_fields(fields))
    assert job.fps == Fraction(30000, 1001)
    assert job.pads == (1, 2, 3, 4)
    assert (job.img_size, job.batch_size, job.no_segmentation, job.no_sr) == (288, 1, True, True)
    assert job.engine == "portrait"
    assert job.face_index == 2


@pytest.mark.parametrize("fps", [1, 60, 25, 23.976, 12.5])
def test_fps_within_range(fps: float) -> None:
    assert float(job_of(with_fields({"fps": fps})).fps) == pytest.approx(fps, abs=0.001)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "hello",
        '{"audio": "AAAA", "image": "AAAA"',
        "{'audio': 1}",
        "[1, 2]",
        '"text"',
        "null",
        '{"audio": "AAAA", "audio": "AAAA", "image": "AAAA"}',
        "[" * 100_000,
        '{"a":' * 50_000,
        '{"pads": [' + "0," * 100_000 + "0]}",
        "\ufeff{}",
        "\x00",
    ],
)
def test_not_json(message: str) -> None:
    error = error_of(message)
    assert isinstance(error, RequestError)
    assert error.code == "bad_json"
    assert len(error.message) < 300


def test_a_field_sent_twice_is_named() -> None:
    assert '"fps"' in error_of('{"fps": 1, "fps": 2}').message


@pytest.mark.parametrize("name", ["audio", "image"])
def test_missing_field(name: str) -> None:
    error = error_of(json.dumps({key: value for key, value in REQUEST.items() if key != name}))
    assert error.code == "missing_field"
    assert f'"{name}"' in error.message


@pytest.mark.parametrize("name", ["Audio", "framerate", "", "\ud800", "x" * 10_000])
def test_unknown_field(name: str) -> None:
    error = error_of(with_fields({name: 1}))
    assert error.code == "unknown_field"
    assert json.dumps(name)[1:20] in error.message
    assert "batch_size" in error.message, "the known fields are listed"
    assert len(error.message) < 300


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("audio", 5),
        ("audio", None),
        ("image", ["AAAA"]),
        ("fps", "25"),
        ("fps", True),
        ("fps", None),
        ("pads", 10),
        ("pads", [0, 10, 0]),
        ("pads", [0, 10, 0, 0, 0]),
        ("pads", [0, 10, 0, 0.5]),
        ("pads", [0, 10, 0, True]),
        ("pads", [0, 10, 0, 10**6]),
        ("img_size", 0),
        ("img_size", "96"),
        ("img_size", 96.0),
        ("batch_size", 0),
        ("batch_size", -1),
        ("batch_size", 10**30),
        ("no_segmentation", 1),
        ("no_sr", "false"),
        ("face_index", -1),
        ("face_index", 1000),
        ("face_index", 0.5),
        ("face_index", True),
        ("face_index", "0"),
        ("engine", 1),
        ("progress", "yes"),
        ("id", [1]),
        ("id", 1.5),
        ("id", True),
        ("id", "x" * (MAX_ID_LENGTH + 1)),
        ("audio", ""),
        ("image", "  \n"),
    ],
)
def test_wrong_value_is_named(name: str, value: object) -> None:
    error = error_of(with_fields({name: value}))
    assert error.code == "bad_field"
    assert f'"{name}"' in error.message
    assert len(error.message) < 300


@pytest.mark.parametrize("fps", ["0", "0.999", "60.001", "-25", "NaN", "Infinity", "-Infinity", "1e400", "9" * 5000])
def test_fps_out_of_range(fps: str) -> None:
    error = error_of(json.dumps(REQUEST)[:-1] + f', "fps": {fps}}}')
    assert error.code == "fps_out_of_range"
    assert "from 1 to 60" in error.message


def test_negative_pads() -> None:
    error = error_of(with_fields({"pads": [0, -10, 0, 0]}))
    assert error.code == "negative_pads"
    assert "[0, -10, 0, 0]" in error.message


def test_unknown_engine() -> None:
    error = error_of(with_fields({"engine": "musetalk"}))
    assert error.code == "engine_unknown"
    assert '"musetalk"' in error.message
    assert '"portrait"' in error.message


@pytest.mark.parametrize("name", ["audio", "image"])
@pytest.mark.parametrize(
    "text", ["not base64!", "AAAA=AAAA", "A", "AAAAA", "ä" * 8, "\ud800", "data:image/png,AAAA", "data:AAAA", "AA.."]
)
def test_not_base64(name: str, text: str) -> None:
    error = error_of(with_fields({name: text}))
    assert error.code == "bad_base64"
    assert f'"{name}"' in error.message


@pytest.mark.parametrize("head", ["data:image/png;base64,", "DATA:audio/ogg; codecs=opus;base64,", "data:;base64,"])
def test_data_url(head: str) -> None:
    assert job_of(with_fields({"image": head + text_of(b"pixels")})).image == b"pixels"


def test_picture_over_the_limit_is_refused_before_decoding() -> None:
    error = error_of(with_fields({"image": "?" * 8000}))  # not even base64: nobody looked
    assert error.code == "image_too_large"


def test_the_limit_itself_is_accepted() -> None:
    image = bytes(SETTINGS.max_image_bytes)
    wrapped = "data:image/png;base64," + base64.encodebytes(image).decode()
    assert job_of(with_fields({"image": wrapped})).image == image
    assert error_of(with_fields({"image": text_of(image + b"x")})).code == "image_too_large"


def test_message_too_large_says_the_limit() -> None:
    error = message_too_large(Settings(max_message_bytes=3 * 2**20))
    assert error.code == "message_too_large"
    assert "3.0 MiB" in error.message


def test_small_sizes_are_not_rounded_to_nothing() -> None:
    too_large = error_of(with_fields({"image": text_of(bytes(20_000))}))
    assert "The picture has 19.5 KiB; at most 4.0 KiB are accepted." in too_large.message
    assert "at most 10.0 KiB are" in message_too_large(Settings(max_message_bytes=10 * 2**10)).message


@given(data=st.binary(min_size=1, max_size=200), url_safe=st.booleans(), padded=st.booleans(), draw=st.data())
def test_base64_however_it_is_written(data: bytes, url_safe: bool, padded: bool, draw: st.DataObject) -> None:
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    text = text if padded else text.rstrip("=")
    for position in sorted(draw.draw(st.lists(st.integers(0, len(text)), max_size=5)), reverse=True):
        text = text[:position] + draw.draw(st.sampled_from([" ", "\n", "\r\n", "\t"])) + text[position:]
    assert base64_text.decode(text, "audio") == data


@pytest.mark.parametrize("extra", [0, 1, 2, 3])
def test_base64_of_many_pieces(extra: int) -> None:
    data = bytes(range(256)) * (4 * base64_text.PIECE // 256) + b"x" * extra
    assert "".join(base64_text.encode(data)) == base64.b64encode(data).decode()
    assert base64_text.decode(base64.encodebytes(data).decode(), "audio") == data


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    assert isinstance(open_message([text], SETTINGS).content, LipstreamError)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from([*LipsyncRequest.model_fields]) | st.text(max_size=8), JSON, max_size=12))
def test_no_fields_break_the_reader(fields: dict[str, Any]) -> None:
    incoming = open_message([json.dumps(REQUEST | fields)], SETTINGS)
    if isinstance(incoming.content, LipstreamError):
        answer = json.loads(error_text(incoming.content, incoming.id))
        assert answer["status"] == "error"
        assert answer["message"].endswith((".", ")."))


@pytest.mark.parametrize("name", ["a", 7, 0, "", "\ud800", "x" * MAX_ID_LENGTH])
def test_id_is_kept_for_the_answer(name: str | int) -> None:
    good = open_message([with_fields({"id": name})], SETTINGS)
    bad = open_message([with_fields({"id": name, "fps": 0})], SETTINGS)
    assert good.id == bad.id == name
    assert isinstance(bad.content, RequestError)
    for answer in (success_text(b"x", name), progress_text(1, 2, name), error_text(bad.content, name)):
        assert json.loads(answer)["id"] == name


def test_answers_without_id() -> None:
    assert json.loads(success_text(b"video", None)) == {"status": "success", "video": text_of(b"video")}
    assert json.loads(progress_text(3, 9, None)) == {"status": "progress", "done": 3, "total": 9}
    error = RequestError("bad_field", "A sentence.")
    assert json.loads(error_text(error, None)) == {"status": "error", "message": "A sentence.", "code": "bad_field"}


def test_null_id_is_no_id() -> None:
    assert open_message([with_fields({"id": None})], SETTINGS).id is None
    job_of(with_fields({"id": None}))


def test_many_values_are_refused_before_they_become_objects() -> None:
    with pytest.raises(RequestError, match="far too many values"):
        read_json("[" + "[]," * 1000 + "[]]")
