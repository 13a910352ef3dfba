"""The results as a page that needs nothing beside it: tables, contact sheets, curves."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from benchmarks.quality.sheets import webp
from benchmarks.quality.video import Pixels
from training.prepare import FPS, Array

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1360px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } td, th { padding: .1rem .8rem; border-bottom: 1px solid #ccc; text-align: right; }
td:first-child, th:first-child { text-align: left; } img { max-width: 100%; } svg { background: #f6f6f6; }
"""
_WIDTH, _HEIGHT = 620, 130  # of a curve, pixels


@dataclass(frozen=True)
class Curve:
    """What was filmed and what was shown of one clip."""

    title: str
    filmed: Array
    """(n,) at 25 per second, IOD."""
    shown: Array
    """(m,) over the same time, IOD."""


def page(results: dict[str, Any], sheets: dict[str, Pixels], curves: list[Curve]) -> str:
    """The whole page. ``sheets`` are contact sheets by portrait."""
    parts = [f"<!doctype html><meta charset=utf-8><title>Quality</title><style>{_STYLE}</style><h1>Quality</h1>"]
    parts += [f"<h2>{escape(title)}</h2>{html_table(columns)}" for title, columns in tables(results).items()]
    parts.append("<h2>Opening of the mouth</h2><p>Grey: filmed. Red: shown. Inter-ocular distances over seconds.</p>")
    parts += [f"<figure><figcaption>{escape(curve.title)}</figcaption>{svg(curve)}</figure>" for curve in curves]
    for name, sheet in sheets.items():
        data = base64.b64encode(webp(sheet)).decode()
        parts.append(f'<h2>{escape(name)}</h2><img src="data:image/webp;base64,{data}" alt="{escape(name)}">')
    return "\n".join(parts)


def tables(results: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Title → column → row → value, for the terminal and the page alike."""
    corpora = {name: value for name, value in results.items() if isinstance(value, dict) and "opening_r" in value}
    found = {
        "Motion, against what was filmed": corpora,
        "The same on finished video": results["video"],
        "Voices that nothing was learned from": results.get("voices", {}),
        "Their teeth and tongue": results.get("articulations", {}),
        "Held vowels": results.get("singing", {}),
        "Pictures": results["pictures"],
        "All": {results["engine"]: {name: value for name, value in results.items() if isinstance(value, float)}},
    }
    return {title: columns for title, columns in found.items() if columns}


def text(value: Any) -> str:
    """A figure as it is shown."""
    if isinstance(value, tuple | list):
        return " ".join(text(one) for one in value)
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 0.1 else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return "–" if value is None else str(value)


def html_table(columns: dict[str, dict[str, Any]]) -> str:
    """Rows are the figures of the first column."""
    head = "".join(f"<th>{escape(name)}" for name in columns)
    rows = [
        f"<tr><td>{escape(row)}" + "".join(f"<td>{escape(text(column.get(row)))}" for column in columns.values())
        for row in next(iter(columns.values()))
    ]
    return f"<table><tr><th>{head}{''.join(rows)}</table>"


def svg(curve: Curve) -> str:
    """Both curves over the same axes."""
    low = min(0.0, float(curve.filmed.min()), float(curve.shown.min()))
    high = max(float(curve.filmed.max()), float(curve.shown.max()), low + 0.01)
    seconds = len(curve.filmed) / FPS
    lines = []
    for values, colour in ((curve.filmed, "#777"), (curve.shown, "#c22")):
        x = np.arange(len(values)) * (_WIDTH / len(values))
        y = (high - values) / (high - low) * (_HEIGHT - 10) + 5
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    ticks = "".join(
        f'<text x="{second / seconds * _WIDTH:.0f}" y="{_HEIGHT}" font-size="10">{second}</text>'
        for second in range(1, int(seconds) + 1)
    )
    scale = f'<text x="2" y="12" font-size="10">{high:.2f}</text>'
    return f'<svg width="{_WIDTH}" height="{_HEIGHT}">{"".join(lines)}{ticks}{scale}</svg>'
