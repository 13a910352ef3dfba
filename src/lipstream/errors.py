"""Every error lipstream raises on purpose.

    LipstreamError
    ├── RequestError      the request itself: not JSON, a field missing, unknown, of the wrong type or out of range
    ├── ImageError        the picture cannot be read or is too large
    ├── VideoError        the video cannot be read, is too large or too long
    ├── FaceError         there is no face to animate, or it is turned too far
    ├── AudioError        the recording cannot be read, is empty or too long
    ├── ModelError        a model file is missing, damaged or cannot be fetched
    ├── EngineError       the engine asked for cannot run here
    ├── SessionError      a live session cannot begin or go on
    ├── BusyError         no room for more work right now; worth trying again
    └── CancelledError    the caller has left; nobody is waiting for the result

Each carries a stable ``code`` that programs can match and a ``message`` for people: what is wrong and what to do. The
codes are listed in ``docs/protocol.md``.
"""

from __future__ import annotations


class LipstreamError(Exception):
    """Root of all expected errors.

    ``code`` is stable across releases, lower case with underscores; ``message`` is one or two sentences for a person.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def fresh(self) -> LipstreamError:
        """A copy, for code that keeps an error and raises it several times: raising the same object again keeps the
        frames of every earlier time, with everything they hold."""
        copy = type(self).__new__(type(self), *self.args)
        copy.__dict__.update(self.__dict__)
        return copy


class RequestError(LipstreamError):
    """The request is malformed.

    Codes: ``bad_json``, ``missing_field``, ``unknown_field``, ``bad_field``, ``fps_out_of_range``, ``negative_pads``,
    ``bad_base64``, ``message_too_large``; over HTTP also ``bad_form``, ``not_a_form``,
    ``upload_stalled``, ``not_found``, ``method_not_allowed``.
    """


class ImageError(LipstreamError):
    """The picture cannot be used.

    Codes: ``not_an_image``, ``image_truncated``, ``image_too_large``, ``image_too_small``.
    """


class VideoError(LipstreamError):
    """The video cannot be used.

    Codes: ``not_a_video``, ``video_too_large``, ``video_too_small``, ``video_too_long``.
    """


class FaceError(LipstreamError):
    """The picture has no usable face. Codes: ``no_face``, ``face_turned``, ``face_cut_off``,
    ``face_index_out_of_range``.
    """


class AudioError(LipstreamError):
    """The sound cannot be used.

    Codes: ``not_audio``, ``no_audio_stream``, ``audio_empty``, ``audio_too_long``; in live streams ``not_opus``.
    """


class ModelError(LipstreamError):
    """A model is not there or not right. Codes: ``model_missing``, ``model_damaged``, ``model_download_failed``."""


class EngineError(LipstreamError):
    """The engine cannot run. Codes: ``engine_unknown``, ``engine_unavailable``."""


class SessionError(LipstreamError):
    """A live session cannot begin or go on.

    Codes: ``not_started``, ``already_started``, ``avatar_unknown``, ``session_idle``, ``session_too_long``,
    ``receiver_too_slow``.
    """


class BusyError(LipstreamError):
    """No room for more work right now. Codes: ``server_busy``, ``not_ready``."""


class CancelledError(LipstreamError):
    """The work was stopped before its end. Code: ``cancelled``."""

    def __init__(self) -> None:
        super().__init__(
            "cancelled", "The work was stopped, because the server is shutting down or the result is no longer wanted."
        )
