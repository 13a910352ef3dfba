"""The messages of ``/ws/stream``, one class for each ``type``. ``docs/asyncapi.json`` describes them for programs."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from lipstream.errors import LipstreamError, RequestError
from lipstream.live import AudioFormat, Event, SpeechEnded, SpeechStarted
from lipstream.media.clock import MAX_FPS, MIN_FPS
from lipstream.media.opus import OPUS_RATE, OpusReader
from lipstream.media.pcm import PcmEncoding, PcmReader
from lipstream.server.messages import MAX_FACE_INDEX, MAX_ID_LENGTH, read_json, unknown_field
from lipstream.studio import EngineName

VERSION: Literal[1] = 1
"""Version of the protocol. It stays the same if fields are added to messages from the server."""

MIN_RATE, MAX_RATE = 8_000, 48_000  # Hz
MIN_WIDTH, MAX_WIDTH = 64, 4_096  # pixels

Container = Literal["fmp4", "mjpeg"]
PingId: TypeAlias = Annotated[str, Field(max_length=MAX_ID_LENGTH)] | int | None


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AudioWish(_Message):
    """The sound that the client will send."""

    encoding: Literal[PcmEncoding, "opus"] = Field(
        default="pcm_s16le",
        description="PCM, interleaved and little-endian, in chunks of any size; or one Opus packet per message.",
    )
    sample_rate: int = Field(
        default=16_000, ge=MIN_RATE, le=MAX_RATE, description="Hz. Ignored for Opus, which is decoded at 48000."
    )
    channels: Literal[1, 2] = Field(default=1, description="1 or 2.")

    @property
    def format(self) -> AudioFormat:
        """Format of the decoded samples."""
        return AudioFormat(OPUS_RATE if self.encoding == "opus" else self.sample_rate, self.channels)

    def reader(self) -> PcmReader | OpusReader:
        """A reader that turns it into samples."""
        if self.encoding == "opus":
            return OpusReader(self.channels)
        return PcmReader(self.encoding, self.channels)


class VideoWish(_Message):
    """What the client wants to receive."""

    container: Container = Field(default="fmp4", description="H.264 and AAC in fragmented MP4, or JPEG with PCM.")
    fps: float = Field(default=25.0, ge=MIN_FPS, le=MAX_FPS, allow_inf_nan=False, description="Frames per second.")
    width: int | None = Field(
        default=None, ge=MIN_WIDTH, le=MAX_WIDTH, description="Wider pictures are reduced to this width; pixels."
    )


class SessionStart(_Message):
    """The first message."""

    type: Literal["session.start"]
    version: Literal[1] = Field(default=VERSION, description="Version of the protocol.")
    avatar: str | None = Field(
        default=None, max_length=64, description="Id of an uploaded picture or clip; or `image`."
    )
    image: str | None = Field(default=None, repr=False, description="A picture's bytes, base64-encoded; or `avatar`.")
    face_index: int | None = Field(
        default=None, ge=0, le=MAX_FACE_INDEX, description="Which face, from left to right; the largest if left out."
    )
    engine: EngineName = Field(default="auto", description="`auto` is wav2lip if its checkpoint is present.")
    idle: Literal["natural", "still"] = Field(
        default="natural", description="Whether the face blinks, breathes and sways a little, or only the mouth moves."
    )
    seed: int = Field(
        default=0, ge=0, le=2**32 - 1, description="Sessions with the same seed have the same idle motion."
    )
    audio: AudioWish = AudioWish()
    video: VideoWish = VideoWish()


class AudioChunk(_Message):
    """Speech of the current utterance, for clients that cannot send binary messages."""

    type: Literal["audio"]
    audio: str = Field(repr=False, description="PCM or an Opus packet, base64-encoded.")


class AudioEnd(_Message):
    """The utterance is over. Speech that follows begins another."""

    type: Literal["audio.end"]


class Interrupt(_Message):
    """Discard all speech that was sent and has not been played."""

    type: Literal["interrupt"]


class Ping(_Message):
    """Answered with `pong`."""

    type: Literal["ping"]
    id: PingId = Field(default=None, description="Echoed.")


class SessionStop(_Message):
    """End the session."""

    type: Literal["session.stop"]


ClientMessage = SessionStart | AudioChunk | AudioEnd | Interrupt | Ping | SessionStop


class SessionReady(_Message):
    """Media follows."""

    type: Literal["session.ready"] = "session.ready"
    version: Literal[1] = VERSION
    session: str = Field(description="Name of the session in the server's log.")
    container: Container
    mime: str = Field(description="MIME type with RFC 6381 codecs, for players.")
    fps: float
    fps_exact: str = Field(description="The same as a fraction, such as 30000/1001.")
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")
    audio_rate: int = Field(description="Sample rate of the sound in the media, Hz.")
    audio_channels: int
    engine: str = Field(description="The engine that was chosen.")
    lookahead_ms: float = Field(description="How much speech after a frame must be known before it can be drawn.")
    lead_ms: float = Field(description="How far the media runs ahead of real time, at most.")
    buffer_ms: float = Field(description="How much speech the server holds before it stops reading.")
    warnings: list[str] = Field(description="Sentences about the picture.")


class SpeechStartedMessage(_Message):
    """The next media message is the utterance's first frame."""

    type: Literal["speech.started"] = "speech.started"
    utterance: int = Field(description="Counts from 1.")
    at_ms: float = Field(description="Time of the stream.")


class SpeechEndedMessage(_Message):
    """The media before this message was the utterance's last frame."""

    type: Literal["speech.ended"] = "speech.ended"
    utterance: int = Field(description="Counts from 1.")
    at_ms: float = Field(description="Time of the stream.")
    duration_ms: float = Field(description="Length of the speech.")


class SpeechInterruptedMessage(_Message):
    """The media after this message is idle and silent."""

    type: Literal["speech.interrupted"] = "speech.interrupted"
    utterance: int | None = Field(description="The one that was being spoken; null if nothing was.")
    at_ms: float = Field(description="Time of the stream.")
    played_ms: float = Field(description="How much of the utterance has left the server.")
    dropped_ms: float = Field(description="How much speech was discarded.")


class Stats(_Message):
    """Once a second."""

    type: Literal["stats"] = "stats"
    at_ms: float = Field(description="Time of the stream.")
    lag_ms: float = Field(description="How late the newest frame was.")
    buffered_ms: float = Field(description="Speech that waits to be spoken.")
    dropped: int = Field(description="Frames that were not sent because the receiver was slow, so far.")
    starved: int = Field(description="Frames within utterances that were idle because the sender was slow, so far.")


class Pong(_Message):
    """The answer to a ping."""

    type: Literal["pong"] = "pong"
    id: PingId = None


class ErrorMessage(_Message):
    """What is wrong and what to do."""

    type: Literal["error"] = "error"
    code: str = Field(description="Stable, unlike the message.")
    message: str
    fatal: bool = Field(description="Whether the session ends.")


ServerMessage = (
    SessionReady | SpeechStartedMessage | SpeechEndedMessage | SpeechInterruptedMessage | Stats | Pong | ErrorMessage
)

_TYPES: dict[str, type[ClientMessage]] = {
    get_args(message.model_fields["type"].annotation)[0]: message for message in get_args(ClientMessage)
}
_READER: TypeAdapter[ClientMessage] = TypeAdapter(Annotated[ClientMessage, Field(discriminator="type")])


def read_message(text: str) -> ClientMessage:
    """Read a client's text message.

    Raises :class:`RequestError`: ``bad_json``, ``missing_field``, ``unknown_field``, ``bad_field``.
    """
    fields = read_json(text)
    if "type" not in fields:
        raise RequestError("missing_field", f'The field "type" is missing; it must be one of {", ".join(_TYPES)}.')
    try:
        return _READER.validate_python(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise _in_words(first["type"], first["msg"], [str(part) for part in first["loc"]]) from None


def _in_words(kind: str, complaint: str, place: list[str]) -> RequestError:
    """pydantic's error about the field at ``place``, whose first part is the type of the message."""
    if kind == "union_tag_invalid":
        return RequestError("bad_field", f'The field "type" must be one of {", ".join(_TYPES)}.')
    model: type[BaseModel] = _TYPES[place[0]]
    path: list[str] = []
    for part in place[1:]:
        path.append(part)
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    name = ".".join(path)
    if kind == "extra_forbidden":
        return unknown_field(name, list(model.model_fields))
    if kind == "missing":
        return RequestError("missing_field", f'The field "{name}" is missing.')
    if not path:
        return RequestError("bad_field", "The name of a field is not valid Unicode: it contains a lone surrogate.")
    need = complaint.partition(" should ")[2]
    if kind == "model_type":
        need = f"be an object with any of the fields {', '.join(model.model_fields)}"
    elif 1 + len(path) < len(place):  # for a field with several types, pydantic adds the type to the place
        need = f"be text of at most {MAX_ID_LENGTH} characters, or a whole number"
    return RequestError("bad_field", f'The field "{name}" must {need}.')


def event_message(event: Event) -> ServerMessage:
    """The message about an event."""
    at = milliseconds(event.time)
    if isinstance(event, SpeechStarted):
        return SpeechStartedMessage(utterance=event.utterance, at_ms=at)
    if isinstance(event, SpeechEnded):
        return SpeechEndedMessage(utterance=event.utterance, at_ms=at, duration_ms=milliseconds(event.duration))
    return SpeechInterruptedMessage(
        utterance=event.utterance,
        at_ms=at,
        played_ms=milliseconds(event.played),
        dropped_ms=milliseconds(event.dropped),
    )


def error_message(error: LipstreamError, *, fatal: bool) -> ErrorMessage:
    """The message about an error."""
    return ErrorMessage(code=error.code, message=error.message, fatal=fatal)


def milliseconds(seconds: float | Fraction) -> float:
    """Seconds → milliseconds, rounded to three decimals."""
    return round(float(seconds) * 1000, 3)
