"""Base64 in all its usual variants, processed in pieces so that a large message does not hold the GIL for long.

RFC 4648 sections 4 and 5; data URLs are RFC 2397.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterator

from lipstream.errors import RequestError

PIECE = 3 * 2**18
"""Bytes processed at a time: a multiple of three, about a millisecond's work. Other threads can run in between."""

_WHITESPACE = " \t\r\n\v\f"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_DATA_URL_HEAD = 256  # characters in which the comma of a data URL is looked for


def decoded_size(text: str) -> int:
    """How many bytes ``text`` decodes to if it is base64. Cheap, because it only counts characters."""
    head = text.find(",", 0, _DATA_URL_HEAD) + 1
    ignored = sum(text.count(space, head) for space in _WHITESPACE) + text.count("=", head)
    return (len(text) - head - ignored) * 3 // 4


def decode(text: str, field: str) -> bytes:
    """Decode ``text``. ``field`` is its name, for error messages.

    A data URL's head, the URL-safe alphabet, line breaks and missing padding are accepted.
    Raises :class:`RequestError` (``bad_base64``, or ``bad_field`` if it is empty).
    """
    start = _after_data_url_head(text, field)
    end = _before_padding(text)
    decoded = io.BytesIO()  # gives its buffer without the copy that bytes(bytearray) makes
    carry = b""
    for position in range(start, end, PIECE):
        try:
            raw = text[position : min(position + PIECE, end)].encode("ascii")
        except UnicodeEncodeError:
            raise _not_base64(field) from None
        digits = carry + raw.translate(_URL_SAFE, _WHITESPACE.encode())
        if digits.translate(None, _ALPHABET):
            raise _not_base64(field)
        whole = len(digits) - len(digits) % 4
        decoded.write(binascii.a2b_base64(digits[:whole]))
        carry = digits[whole:]
    if len(carry) == 1:  # six bits are not a byte: something was cut off
        raise _not_base64(field)
    decoded.write(binascii.a2b_base64(carry + b"=" * (-len(carry) % 4)))
    if not decoded.tell():
        raise RequestError(
            "bad_field", f'The field "{field}" is empty. It must hold the file\'s bytes, base64-encoded.'
        )
    return decoded.getvalue()


def encode(data: bytes) -> Iterator[str]:
    """``data`` in the standard alphabet with padding, on one line, in pieces that are to be joined."""
    view = memoryview(data)
    for start in range(0, len(view), PIECE):
        yield base64.b64encode(view[start : start + PIECE]).decode("ascii")


def _after_data_url_head(text: str, field: str) -> int:
    if text[:5].lower() != "data:":
        return 0
    comma = text.find(",", 0, _DATA_URL_HEAD)
    if comma < 0 or not text[:comma].lower().endswith(";base64"):
        raise RequestError(
            "bad_base64",
            f'The field "{field}" is a data URL without base64. Send one like data:...;base64,... or plain base64.',
        )
    return comma + 1


def _before_padding(text: str) -> int:
    end = len(text)
    while end and (text[end - 1] == "=" or text[end - 1] in _WHITESPACE):
        end -= 1
    return end


def _not_base64(field: str) -> RequestError:
    return RequestError(
        "bad_base64", f'The field "{field}" is not base64. Encode the file\'s bytes with base64 and send them as text.'
    )
