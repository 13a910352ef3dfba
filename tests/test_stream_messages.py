"""Errors about a client's message say what to change, without the vocabulary of the validation library."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lipstream.errors import RequestError
from lipstream.server.stream_messages import read_message


def start(**fields: Any) -> str:
    return json.dumps({"type": "session.start", **fields})


ID = 'The field "id" must be text of at most 200 characters, or a whole number.'
ALL = "type, version, avatar, image, face_index, engine, idle, seed, audio, video"


@pytest.mark.parametrize(
    ("message", "code", "sentence"),
    [
        ('{"type": "ping", "id": [1]}', "bad_field", ID),
        ('{"type": "ping", "id": 1.5}', "bad_field", ID),
        (json.dumps({"type": "ping", "id": "x" * 201}), "bad_field", ID),
        ('{"type": "audio.end", "at": 1}', "unknown_field", 'There is no field "at". The fields are: type.'),
        (
            '{"type": "ping", "\\ud800": 1}',
            "bad_field",
            "The name of a field is not valid Unicode: it contains a lone surrogate.",
        ),
        (start(picture="x"), "unknown_field", f'There is no field "picture". The fields are: {ALL}.'),
        (
            start(audio={"rate": 1}),
            "unknown_field",
            'There is no field "audio.rate". The fields are: encoding, sample_rate, channels.',
        ),
        (
            start(video=25),
            "bad_field",
            'The field "video" must be an object with any of the fields container, fps, width.',
        ),
        (
            start(audio={"encoding": "mp3"}),
            "bad_field",
            "The field \"audio.encoding\" must be 'pcm_s16le', 'pcm_f32le' or 'opus'.",
        ),
        (
            start(audio={"sample_rate": 1}),
            "bad_field",
            'The field "audio.sample_rate" must be greater than or equal to 8000.',
        ),
        (start(avatar="x" * 65), "bad_field", 'The field "avatar" must have at most 64 characters.'),
    ],
)
def test_the_field_is_named_and_what_it_must_be(message: str, code: str, sentence: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_message(message)
    assert (caught.value.code, caught.value.message) == (code, sentence)
