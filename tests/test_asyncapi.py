"""The streaming protocol's documentation is what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lipstream.errors import RequestError
from lipstream.server.asyncapi import asyncapi, text
from lipstream.server.stream_messages import SessionReady, SessionStart, read_message

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "streaming.md").read_text()


def examples() -> list[dict[str, Any]]:
    """Every whole JSON message in the guide."""
    found = re.findall(r'^    (\{"type".*?\})$', GUIDE[GUIDE.index("### session.start") :], re.MULTILINE | re.DOTALL)
    return [json.loads(example) for example in found]


def test_the_file_is_up_to_date() -> None:
    written = (ROOT / "docs" / "asyncapi.json").read_text()
    assert written == text(), "run: python -m lipstream.server.asyncapi > docs/asyncapi.json"


def test_all_references_lead_somewhere() -> None:
    description = asyncapi()
    references = re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(description))
    assert references
    for reference in references:
        place: Any = description
        for step in reference.split("/"):
            place = place[step]


def test_the_guide_names_every_message_and_every_field() -> None:
    components = asyncapi()["components"]
    for name, message in components["messages"].items():
        if "." in name and name != "audio.pcm":
            assert f"`{name}`" in GUIDE
        if "$ref" in message["payload"]:
            schema = components["schemas"][message["payload"]["$ref"].rsplit("/", 1)[-1]]
            for field in schema["properties"]:
                assert re.search(rf'[`".]{field}[`"]', GUIDE), f"{field} of {name}"


def test_the_guides_examples_are_valid() -> None:
    kinds = [example["type"] for example in examples()]
    assert kinds == ["session.start", "session.ready"]
    start, ready = examples()
    assert isinstance(read_message(json.dumps(start)), SessionStart)
    assert SessionReady.model_validate(ready).model_dump() == ready


def test_the_guides_table_has_the_defaults() -> None:
    start = SessionStart(type="session.start", avatar="x")
    table = GUIDE[GUIDE.index("### session.start") : GUIDE.index("## Server messages")]
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| `([^`|]+)` \|", table, re.MULTILINE))
    for path, shown in rows.items():
        value: Any = start
        for name in path.split("."):
            value = getattr(value, name)
        assert json.loads(shown) == value, path
    assert len(rows) >= 9


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("{}", "type"),
        ('{"type": "nod"}', "session.start, audio, audio.end, interrupt, ping, session.stop"),
        ('{"type": "session.start", "video": {"fps": 99}}', "video.fps"),
        ('{"type": "session.start", "audio": {"rate": 8000}}', "audio.rate"),
        ('{"type": "audio"}', '"audio"'),
    ],
)
def test_mistakes_are_named(message: str, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_message(message)
    assert words in caught.value.message
