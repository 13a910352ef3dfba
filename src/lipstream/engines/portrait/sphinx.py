"""The file formats of the Sphinx speech recognisers' acoustic models.

Sources: parameter files as ``bio.c`` and ``ms_gauden.c`` of sphinxbase and PocketSphinx read them; mixture weight
dumps as ``ptm_mgau.c`` reads them.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipstream.errors import ModelError


def read_gaussians(path: Path) -> NDArray[np.float32]:
    """A Sphinx-3 ``means`` or ``variances`` file → (codebooks, streams, densities, dimensions).

    Text header up to ``endhdr``, a byte-order mark, then int32 counts, the stream widths, the number of floats, the
    floats. All streams must be equally wide. Raises :class:`ModelError`.
    """
    data = _read(path)
    head = data.find(b"endhdr\n") + len(b"endhdr\n")
    if not data.startswith(b"s3\n") or head < len(b"endhdr\n") or len(data) < head + 16:
        raise _damaged(path, "it does not begin with a Sphinx-3 header")
    order = "<" if data[head : head + 4] == b"\x44\x33\x22\x11" else ">"
    magic, codebooks, streams, densities = struct.unpack_from(f"{order}4i", data, head)
    if magic != 0x11223344 or not (0 < codebooks <= 1000 and 0 < streams <= 16 and 0 < densities <= 4096):
        raise _damaged(path, "its counts make no sense")
    body = head + 16 + 4 * streams + 4
    if len(data) < body:
        raise _damaged(path, "it is too short")
    *widths, floats = struct.unpack_from(f"{order}{streams + 1}i", data, head + 16)
    width = widths[0]
    if set(widths) != {width} or floats != codebooks * densities * sum(widths):
        raise _damaged(path, "its streams are not equally wide")
    if len(data) < body + 4 * floats:
        raise _damaged(path, "it is too short")
    values = np.frombuffer(data, f"{order}f4", floats, body).astype(np.float32)
    return values.reshape(codebooks, streams, densities, width)


def read_mixture_weights(path: Path, streams: int, densities: int, wanted: int) -> NDArray[np.float32]:
    """A ``sendump`` file → (streams, densities, wanted) weights of its first states, the context-independent ones.

    Strings with their lengths, closed by a length of zero; then int32 densities and states; then one byte per stream,
    density and state: ``-log(weight) / 1024`` to the base 1.0001. Raises :class:`ModelError`.
    """
    data = _read(path)
    offset, length = 0, -1
    while length != 0:
        if offset + 4 > len(data):
            raise _damaged(path, "its header does not end")
        (length,) = struct.unpack_from("<i", data, offset)
        offset += 4 + length
        if length < 0:
            raise _damaged(path, "its header does not end")
    if offset + 8 > len(data):
        raise _damaged(path, "it is too short")
    rows, states = struct.unpack_from("<2i", data, offset)
    if rows != densities or states < wanted or len(data) != offset + 8 + streams * densities * states:
        raise _damaged(path, "its counts make no sense")
    quantised = np.frombuffer(data, np.uint8, offset=offset + 8).reshape(streams, densities, states)
    levels = quantised[:, :, :wanted].astype(np.float64) * 1024.0
    return np.asarray(np.exp(-levels * np.log(1.0001)), np.float32)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            "model_missing",
            f"The acoustic model file {path} cannot be read ({error.strerror}). Fetch it with: lipstream models pull",
        ) from error


def _damaged(path: Path, reason: str) -> ModelError:
    return ModelError(
        "model_damaged",
        f"The acoustic model file {path} is damaged: {reason}. Fetch it again with: lipstream models pull",
    )


def quadratic_form(mean: NDArray[np.float32], variance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Diagonal Gaussians as a linear map of [x², x, 1]: (streams, 27, codebooks × densities)."""
    precision = 1.0 / variance.astype(np.float64)
    centre = mean.astype(np.float64)
    constant = -0.5 * (np.log(2.0 * np.pi / precision) + centre**2 * precision).sum(axis=-1, keepdims=True)
    rows = np.concatenate([-0.5 * precision, precision * centre, constant], axis=-1)
    codebooks, streams, densities, width = rows.shape
    form = rows.transpose(1, 3, 0, 2).reshape(streams, width, codebooks * densities)
    return np.ascontiguousarray(form, np.float32)
