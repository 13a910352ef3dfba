"""``/docs``: the OpenAPI description as a page without scripts that works offline.

Swagger UI would add 1.7 MB of JavaScript for one form. This page has the form as plain HTML, works under a strict
content security policy, and also describes the WebSockets, which OpenAPI cannot.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; } code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
.method { font-weight: 700; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .75rem .35rem 0; border-bottom: 1px solid #8885; vertical-align: top; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8885; border-radius: .4rem; }
input, select, button { font: inherit; max-width: 100%; }
h1, h2, p, td { overflow-wrap: break-word; }
@media (max-width: 40rem) {
  body { margin-block: 1rem; } pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  table, tbody, tr, td { display: block; }
  th { display: block; border: 0; } th + th { display: none; }
  tr { padding-block: .6rem; border-bottom: 1px solid #8885; }
  td { border: 0; padding-block: .1rem; }
}
"""

_WEBSOCKET = """
<h2><span class="method">WebSocket</span> <code>/ws/lipsync</code>, <code>/ws/lip-sync</code></h2>
<p>The main interface: JSON text messages, any number per connection, answered one after another. Send a clip as "video"
instead of "image".</p>
<pre>{"audio": "&lt;base64&gt;", "image": "&lt;base64&gt;", "fps": 25.0, "progress": true}</pre>
<pre>{"status": "progress", "done": 40, "total": 175}
{"status": "success", "video": "&lt;base64 MP4&gt;"}
{"status": "error", "message": "&lt;what is wrong and what to do&gt;", "code": "no_face"}</pre>
<h2><span class="method">WebSocket</span> <code>/ws/stream</code></h2>
<p>Live: speech in while it is being spoken, a talking face out without end. docs/streaming.md describes the protocol
for people, docs/asyncapi.json for programs.</p>
"""


def api_page(openapi: dict[str, Any]) -> str:
    """An HTML page for an OpenAPI 3.1 description."""
    info = openapi["info"]
    body = "".join(
        _operation(method, path, operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])} API</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="icon.svg"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('summary', ''))}</p>"
        f'<p>For programs: <a href="openapi.json">openapi.json</a>.</p>{_WEBSOCKET}{body}</body></html>'
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [
        f'<h2><span class="method">{escape(method.upper())}</span> <code>{escape(path)}</code></h2>',
        f"<p>{escape(operation.get('summary', ''))}.</p>",
    ]
    if "requestBody" in operation:
        parts.append(_form(path, operation["requestBody"]["content"]["multipart/form-data"]["schema"]))
    parts.append("<table><tr><th>answer</th><th>meaning</th></tr>")
    parts.extend(_answers(operation["responses"]))
    return "".join(parts) + "</table>"


def _answers(responses: dict[str, Any]) -> Iterator[str]:
    for status, response in responses.items():
        types = ", ".join(response.get("content", {}))
        yield f"<tr><td>{escape(status)} {escape(types)}</td><td>{escape(response['description'])}</td></tr>"


def _form(path: str, schema: dict[str, Any]) -> str:
    """A form that can be filled in and sent to the endpoint."""
    required = schema.get("required", ())
    rows = "".join(_field(path, name, field, name in required) for name, field in schema["properties"].items())
    return (
        f'<form method="post" action="{escape(path.lstrip("/"))}" enctype="multipart/form-data"><table>'
        f"<tr><th>field</th><th>value</th><th>meaning</th></tr>{rows}</table>"
        "<p><button>Send</button></p></form>"
    )


def _field(path: str, name: str, field: dict[str, Any], required: bool) -> str:
    key = escape(f"{path}#{name}")  # several forms have a field of the same name
    attributes = f'id="{key}" name="{escape(name)}"{" required" if required else ""}'
    choices = field.get("enum") or (["false", "true"] if field.get("type") == "boolean" else None)
    if field.get("format") == "binary":
        control = f'<input type="file" {attributes}>'
    elif choices:
        options = "".join(f"<option>{escape(choice)}</option>" for choice in choices)
        control = f"<select {attributes}>{options}</select>"
    else:
        default = field.get("default", "")
        shown = ", ".join(map(str, default)) if isinstance(default, list) else str(default)
        control = f'<input {attributes} value="{escape(shown)}">'
    label = f'<label for="{key}"><code>{escape(name)}</code></label>'
    return f"<tr><td>{label}</td><td>{control}</td><td>{escape(field.get('description', ''))}</td></tr>"
