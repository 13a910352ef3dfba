"""A description of ``/ws/stream`` for programs: AsyncAPI 3.0, generated from the types of the messages.

python -m lipstream.server.asyncapi > docs/asyncapi.json
"""

from __future__ import annotations

import json
import sys
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from lipstream.server.stream_messages import VERSION, ClientMessage, ServerMessage

_BINARY = {
    "audio.pcm": "Sound of the current utterance, in the encoding of session.start. PCM may be split anywhere.",
    "media": "The init segment, then one fragment per frame; or a header of 24 bytes, a JPEG and its PCM.",
}
_REF = "#/components/schemas/{model}"


def asyncapi() -> dict[str, Any]:
    """The description as JSON values."""
    from_client, from_server = _models(ClientMessage), _models(ServerMessage)
    messages = {**from_client, **from_server}
    mode = [(model, "validation") for model in from_client.values()]
    mode += [(model, "serialization") for model in from_server.values()]
    _, schemas = models_json_schema(mode, ref_template=_REF)  # type: ignore[arg-type]
    names = [*messages, *_BINARY]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "lipstream live streaming",
            "version": str(VERSION),
            "description": "Speech in while it is being spoken, a talking face out. docs/streaming.md explains it.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "stream": {
                "address": "/ws/stream",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
            }
        },
        "operations": {
            "fromClient": _operation("receive", [*from_client, "audio.pcm"]),
            "fromServer": _operation("send", [*from_server, "media"]),
        },
        "components": {
            "messages": {name: _message(name, model) for name, model in messages.items()}
            | {name: _binary(name, summary) for name, summary in _BINARY.items()},
            "schemas": schemas["$defs"],
        },
    }


def text() -> str:
    """The description as the content of the file."""
    return json.dumps(asyncapi(), indent=1) + "\n"


def _models(union: Any) -> dict[str, type[BaseModel]]:
    """The members of a union of messages by their ``type``."""
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(union)}


def _operation(action: str, messages: list[str]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/stream"},
        "messages": [{"$ref": f"#/channels/stream/messages/{name}"} for name in messages],
    }


def _message(name: str, model: type[BaseModel]) -> dict[str, Any]:
    return {
        "name": name,
        "summary": (model.__doc__ or "").strip(),
        "payload": {"$ref": _REF.format(model=model.__name__)},
    }


def _binary(name: str, summary: str) -> dict[str, Any]:
    return {
        "name": name,
        "summary": summary,
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "format": "binary"},
    }


if __name__ == "__main__":
    sys.stdout.write(text())
