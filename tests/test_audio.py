"""Recordings of every kind, good and bad, through :mod:`lipstream.media.audio`."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from lipstream.errors import AudioError
from lipstream.media.audio import Recording, open_recording
from tests.sounds import caf, chirp, encoded, pcm16, wav

LIMIT = 60.0


def opened(data: bytes, max_seconds: float = LIMIT) -> Recording:
    return open_recording(data, max_seconds=max_seconds)


def refused(data: bytes, max_seconds: float = LIMIT) -> AudioError:
    with pytest.raises(AudioError) as caught:
        open_recording(data, max_seconds=max_seconds)
    return caught.value


def heard(recording: Recording) -> NDArray[np.float32]:
    """Everything the recording gives; checks on the way what blocks() promises."""
    blocks = list(recording.blocks())
    assert all(0 < len(block) <= 8_192 and block.shape[1] == recording.channels for block in blocks)
    whole = np.concatenate(blocks)
    assert whole.dtype == np.float32
    assert whole.shape == (recording.samples, recording.channels)
    assert np.isfinite(whole).all()
    assert np.abs(whole).max() <= 1.0
    return whole


def lag(sound: NDArray[np.float32], reference: NDArray[np.float32]) -> int:
    """By how many samples ``sound`` comes later than ``reference``; both (n,)."""
    size = len(sound) + len(reference)
    cross = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(reference, size)), size)
    best = int(np.argmax(cross))
    return best if best < len(sound) else best - size


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_of_any_rate_comes_out_as_it_went_in(rate: int, channels: int) -> None:
    pcm = chirp(5_000, rate, channels)
    recording = opened(wav(pcm16(pcm), rate, channels))
    assert (recording.sample_rate, recording.channels, recording.samples) == (rate, channels, 5_000)
    np.testing.assert_allclose(heard(recording), pcm, atol=1e-4)


@pytest.mark.parametrize(
    ("codec", "precision"),
    [
        ("pcm_u8", 1e-2),
        ("pcm_s16le", 1e-4),
        ("pcm_s24le", 1e-6),
        ("pcm_s32le", 1e-6),
        ("pcm_s64le", 1e-6),
        ("pcm_f32le", 0),
        ("pcm_f64le", 0),
        ("pcm_alaw", 2e-2),
        ("pcm_mulaw", 2e-2),
    ],
)
def test_wav_of_any_depth(codec: str, precision: float) -> None:
    pcm = chirp(4_000, 16_000, 2)
    recording = opened(encoded(pcm, 16_000, "wav", codec))
    np.testing.assert_allclose(heard(recording), pcm, atol=precision)


@pytest.mark.parametrize(
    ("claimed", "riff"),
    [(0, 0), (0, None), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFFFFF, None), (10_000_000, None), (None, 50), (None, 0)],
)
def test_wrong_lengths_in_wav(claimed: int | None, riff: int | None) -> None:
    pcm = chirp(4_000, 16_000)
    recording = opened(wav(pcm16(pcm), 16_000, claimed=claimed, riff=riff))
    np.testing.assert_allclose(heard(recording), pcm, atol=1e-4)


def test_what_follows_the_claimed_length_of_a_wav_is_not_sound() -> None:
    assert opened(wav(pcm16(chirp(4_000, 16_000)), 16_000, claimed=1_000)).samples == 500


@pytest.mark.parametrize("extra", [1, 2, 3])
def test_odd_bytes_at_the_end_of_a_wav(extra: int) -> None:
    assert opened(wav(pcm16(chirp(4_000, 16_000, 2)) + b"x" * extra, 16_000, 2)).samples == 4_000


@pytest.mark.parametrize("samples", [1, 2, 44, 45, 1_023])
@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_very_short(samples: int, rate: int) -> None:
    assert len(heard(opened(wav(pcm16(chirp(samples, rate)), rate)))) == samples


@pytest.mark.parametrize(
    ("container", "codec", "rate", "channels"),
    [
        ("mp3", "libmp3lame", 44_100, 1),
        ("mp3", "libmp3lame", 22_050, 2),
        ("mp4", "aac", 44_100, 1),
        ("ipod", "aac", 48_000, 2),
        ("ogg", "libopus", 48_000, 1),
        ("webm", "libopus", 48_000, 2),
        ("flac", "flac", 44_100, 2),
        ("matroska", "pcm_s16le", 44_100, 1),
        ("mov", "pcm_s16le", 44_100, 2),
        ("aiff", "pcm_s16be", 44_100, 1),
        ("au", "pcm_mulaw", 8_000, 1),
    ],
)
def test_formats_begin_at_once_and_have_exactly_what_went_in(
    container: str, codec: str, rate: int, channels: int
) -> None:
    """Encoder delay and padding, in MP3, AAC and Opus, are not part of the recording."""
    pcm = chirp(rate + 123, rate, channels)
    recording = opened(encoded(pcm, rate, container, codec))
    assert (recording.sample_rate, recording.channels, recording.samples) == (rate, channels, rate + 123)
    sound = heard(recording)
    for channel in range(channels):
        assert lag(sound[:, channel], pcm[:, channel]) == 0
    assert recording.duration * rate == rate + 123


def test_webm_of_a_browser_has_no_duration() -> None:
    pcm = chirp(48_000, 48_000)
    data = encoded(pcm, 48_000, "webm", "libopus", live=True)
    with av.open(io.BytesIO(data)) as file:
        assert file.duration is None
    recording = opened(data)
    assert abs(recording.samples - 48_000) < 960  # without an end, the last Opus frame stays whole
    assert lag(heard(recording)[:, 0], pcm[:, 0]) == 0


def with_picture(sound: bool) -> bytes:
    """A video file, with or without sound."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        video = out.add_stream("libx264", rate=25)
        assert isinstance(video, av.VideoStream)
        video.width = video.height = 64
        audio = out.add_stream("aac", rate=44_100, layout="mono") if sound else None
        for _ in range(25):
            out.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
        out.mux(video.encode(None))
        if isinstance(audio, av.AudioStream):
            frame = av.AudioFrame.from_ndarray(chirp(44_100, 44_100).T.copy(), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 44_100, 0, Fraction(1, 44_100)
            out.mux([*audio.encode(frame), *audio.encode(None)])
    return file.getvalue()


def test_sound_of_a_video() -> None:
    recording = opened(with_picture(sound=True))
    assert (recording.samples, recording.sample_rate, recording.channels) == (44_100, 44_100, 1)
    assert lag(heard(recording)[:, 0], chirp(44_100, 44_100)[:, 0]) == 0


class TestManyChannels:
    def surround(self, speaker: int) -> NDArray[np.float32]:
        """5.1 with sound from one loudspeaker: front left, right, centre, sub-woofer, back left, right."""
        pcm = np.zeros((4_000, 6), np.float32)
        pcm[:, speaker] = chirp(4_000, 48_000)[:, 0]
        return pcm

    @pytest.mark.parametrize(
        ("speaker", "left", "right"),
        [(0, 1, 0), (1, 0, 1), (2, 0.7071, 0.7071), (3, 0, 0), (4, 0.7071, 0), (5, 0, 0.7071)],
    )
    @pytest.mark.parametrize("masked", [True, False])
    def test_surround_becomes_stereo(self, speaker: int, left: float, right: float, masked: bool) -> None:
        pcm = self.surround(speaker)
        data = encoded(pcm, 48_000, "wav", "pcm_s16le") if masked else wav(pcm16(pcm), 48_000, 6)
        expected = pcm[:, speaker, None] * np.array([left, right])
        np.testing.assert_allclose(heard(opened(data)), expected, atol=1e-4)

    @pytest.mark.parametrize("channels", [3, 4, 5, 7, 8, 13, 64])
    def test_any_number_without_a_mask(self, channels: int) -> None:
        pcm = np.repeat(chirp(2_000, 48_000) * 0.3, channels, axis=1)
        sound = heard(opened(wav(pcm16(pcm), 48_000, channels)))
        assert sound.shape == (2_000, 2)
        for side in sound.T:
            assert np.corrcoef(side, pcm[:, 0])[0, 1] > 0.999
            assert 0.1 < np.abs(side).max() <= 1

    @pytest.mark.parametrize(
        ("labels", "gains"),
        [
            ([1, 2], [(1, 0), (0, 1)]),
            ([2, 1], [(0, 1), (1, 0)]),
            ([3, 1, 2], [(0.7071, 0.7071), (1, 0), (0, 1)]),
            ([1, 1], [(1, 0), (0, 1)]),
            ([42, 42], [(1, 0), (0, 1)]),
            ([6, 5, 4, 3, 2, 1], [(0, 0.7071), (0.7071, 0), (0, 0), (0.7071, 0.7071), (0, 1), (1, 0)]),
        ],
    )
    def test_channels_in_an_order_of_their_own(self, labels: list[int], gains: list[tuple[float, float]]) -> None:
        """Such files made the decoder's Python binding free memory twice and took the process with them."""
        pcm = chirp(3_000, 16_000, len(labels)) * 0.3
        for _ in range(3):
            recording = opened(caf(pcm16(pcm), 16_000, labels))
            np.testing.assert_allclose(heard(recording), pcm @ np.array(gains), atol=1e-3)

    def test_loud_everywhere_is_clipped(self) -> None:
        pcm = np.full((1_000, 6), 0.9, np.float32)
        assert (heard(opened(encoded(pcm, 48_000, "wav", "pcm_f32le"))) == 1.0).all()


class TestParametersThatChange:
    def test_rate_and_channels(self) -> None:
        """Two MP3s one after the other: the longer one says the rate, any of them that there are two channels."""
        first, second = chirp(88_200, 44_100, 2), chirp(22_050, 22_050, 1)
        data = encoded(first, 44_100, "mp3", "libmp3lame") + encoded(second, 22_050, "mp3", "libmp3lame")
        recording = opened(data)
        assert (recording.sample_rate, recording.channels) == (44_100, 2)
        assert recording.samples == pytest.approx(88_200 + 44_100, abs=6_000)
        sound = heard(recording)
        tail = sound[-30_000:-6_000]
        np.testing.assert_array_equal(tail[:, 0], tail[:, 1])
        assert np.abs(tail).max() > 0.3

    def test_rate_of_raw_aac(self) -> None:
        data = encoded(chirp(44_100, 44_100, 1), 44_100, "adts", "aac") + encoded(
            chirp(32_000, 32_000, 2), 32_000, "adts", "aac"
        )
        recording = opened(data)
        assert recording.samples == pytest.approx(2 * 44_100, abs=6_000)
        heard(recording)


def test_not_a_number_is_silence_and_infinity_is_loud() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 0.5, 3.0, -7.0], "<f4")
    sound = heard(opened(wav(values.tobytes(), 16_000, bits=32, tag=3)))
    assert sound[:, 0].tolist() == [0.0, 1.0, -1.0, 0.5, 1.0, -1.0]


def test_doubles_beyond_any_float_are_loud() -> None:
    values = np.array([1e300, -1e300, 0.25, 1e-310, np.nan], "<f8")
    sound = heard(opened(wav(values.tobytes(), 16_000, bits=64, tag=3)))
    assert sound[:, 0].tolist() == [1.0, -1.0, 0.25, 0.0, 0.0]


def test_silence_is_a_recording() -> None:
    assert opened(wav(bytes(32_000), 16_000)).samples == 16_000


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("flac", "flac"),
        ("ogg", "libopus"),
        ("webm", "libopus"),
        ("mp3", "libmp3lame"),
        ("adts", "aac"),
        ("wav", "pcm_s16le"),
    ],
)
def test_of_a_damaged_tail_the_rest_is_kept(container: str, codec: str) -> None:
    pcm = chirp(3 * 48_000, 48_000)
    data = encoded(pcm, 48_000, container, codec)
    cut = opened(data[: len(data) // 2])
    assert 0.7 < cut.duration < 2.5
    sound = heard(cut)[:, 0]
    assert abs(lag(sound, pcm[: len(sound), 0])) <= (1_024 if container == "adts" else 0)
    rubbish = np.random.default_rng(0).bytes(len(data) // 2)
    assert opened(data[: len(data) // 2] + rubbish).duration > 0.7


@pytest.mark.parametrize(
    "data",
    [b"", b"RIFF", b"hello, I am a text\n" * 50, bytes(50_000), b"\0", np.random.default_rng(5).bytes(50_000),
     wav(bytes(100), 0), wav(bytes(10_000), 2**30), b"ID3\x04\0\0\0\0\0\0" + bytes(5_000)],
)  # fmt: skip
def test_not_audio(data: bytes) -> None:
    error = refused(data)
    assert error.code == "not_audio"


def test_not_audio_says_what_works() -> None:
    assert "MP3" in refused(b"nothing").message


@pytest.mark.parametrize("channels", [0, 65_535])
def test_impossible_channels(channels: int) -> None:
    assert refused(wav(bytes(10_000), 16_000, channels)).code in ("not_audio", "no_audio_stream")


@pytest.mark.parametrize(
    "list_of_files",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://%s\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '%s'\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=%s\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    ],
)
def test_files_that_name_other_files_are_not_followed(
    list_of_files: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("secret") / "speech.wav"
    secret.write_bytes(wav(pcm16(chirp(16_000, 16_000)), 16_000))
    assert refused(list_of_files % str(secret).encode()).code == "not_audio"


def test_video_without_sound() -> None:
    assert refused(with_picture(sound=False)).code == "no_audio_stream"


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF"])
def test_a_picture_has_no_sound(file_format: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, file_format)
    assert refused(file.getvalue()).code == "no_audio_stream"


@pytest.mark.parametrize("data", [wav(b"", 16_000), wav(b"", 44_100, 2, 24)])
def test_no_samples(data: bytes) -> None:
    assert refused(data).code == "audio_empty"


class TestTooLong:
    def test_exactly_the_limit_is_fine(self) -> None:
        assert opened(wav(pcm16(chirp(16_000, 16_000)), 16_000), max_seconds=1.0).duration == 1

    def test_a_sample_more_is_not(self) -> None:
        error = refused(wav(pcm16(chirp(16_001, 16_000)), 16_000), max_seconds=1.0)
        assert error.code == "audio_too_long"
        assert "1 second" in error.message


def test_mp4_with_a_wrong_duration_is_measured() -> None:
    """Header and edit list say ten times the length, or a tenth."""
    pcm = chirp(44_100, 44_100)
    data = encoded(pcm, 44_100, "mp4", "aac")
    for factor in (0.1, 10.0):
        changed = bytearray(data)
        for box, offset in ((b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16), (b"elst", 8)):
            at = data.index(box) + 4 + offset
            (value,) = struct.unpack(">I", data[at : at + 4])
            changed[at : at + 4] = struct.pack(">I", int(value * factor))
        recording = opened(bytes(changed))
        heard(recording)
        assert recording.samples >= 4_000


def test_recordings_can_be_read_again() -> None:
    recording = opened(encoded(chirp(10_000, 44_100), 44_100, "mp3", "libmp3lame"))
    np.testing.assert_array_equal(heard(recording), heard(recording))


def decodes_or_refuses(data: bytes) -> None:
    try:
        recording = open_recording(data, max_seconds=20)
    except AudioError:
        return
    total = 0
    for block in recording.blocks():
        assert np.isfinite(block).all()
        total += len(block)
    assert total == recording.samples


KINDS: dict[str, Callable[[], bytes]] = {
    "wav": lambda: wav(pcm16(chirp(1_500, 16_000, 2)), 16_000, 2),
    "float": lambda: encoded(chirp(1_000, 16_000, 6), 16_000, "wav", "pcm_f32le"),
    "mp3": lambda: encoded(chirp(6_000, 44_100), 44_100, "mp3", "libmp3lame"),
    "mp4": lambda: encoded(chirp(6_000, 44_100), 44_100, "mp4", "aac"),
    "webm": lambda: encoded(chirp(6_000, 48_000), 48_000, "webm", "libopus"),
    "ogg": lambda: encoded(chirp(6_000, 48_000), 48_000, "ogg", "libopus"),
    "flac": lambda: encoded(chirp(3_000, 44_100), 44_100, "flac", "flac"),
    "aac": lambda: encoded(chirp(6_000, 44_100), 44_100, "adts", "aac"),
    "caf": lambda: caf(pcm16(chirp(1_000, 16_000, 3)), 16_000, [3, 1, 2]),
}
SAMPLES = {name: make() for name, make in KINDS.items()}


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes(data: bytes) -> None:
    decodes_or_refuses(data)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(damage=st.data())
def test_any_damage(kind: str, damage: st.DataObject) -> None:
    data = bytearray(SAMPLES[kind])
    reach = damage.draw(st.sampled_from([64, 1_000, len(data)]))
    for _ in range(damage.draw(st.integers(1, 8))):
        data[damage.draw(st.integers(0, min(reach, len(data)) - 1))] = damage.draw(st.integers(0, 255))
    cut = damage.draw(st.integers(0, len(data)))
    decodes_or_refuses(bytes(data[: cut if damage.draw(st.booleans()) else None]))


class TestBombs:
    """A few kilobytes that would make FFmpeg take gigabytes: refused before it sees them."""

    def test_samples_without_bytes_in_mp4(self) -> None:
        data = bytearray(SAMPLES["mp4"])
        at = data.index(b"stsz") + 8
        data[at : at + 8] = struct.pack(">II", 10, 170_000_000)
        runs = data.index(b"stsc") + 8
        data[runs + 8 : runs + 12] = struct.pack(">I", 170_000_000)
        assert refused(bytes(data)).code == "not_audio"
        hidden = struct.pack(">I4s", 16, b"abcd") + bytes(8) + bytes(data)
        assert refused(hidden).code == "not_audio"

    def test_samples_without_bytes_in_a_fragment(self) -> None:
        run = struct.pack(">I4sII", 16, b"trun", 0, 170_000_000)
        header = struct.pack(">I4sII", 16, b"tfhd", 0x020000, 1)
        traf = struct.pack(">I4s", 8 + len(header) + len(run), b"traf") + header + run
        moof = struct.pack(">I4s", 8 + len(traf), b"moof") + traf
        assert refused(SAMPLES["mp4"] + moof).code == "not_audio"

    def test_compressed_index(self) -> None:
        data = SAMPLES["mp4"]
        cmov = struct.pack(">I4sI4s", 16, b"moov", 8, b"cmov")
        assert refused(data[: data.index(b"mdat") - 4] + cmov).code == "not_audio"

    @pytest.mark.parametrize("behind", [False, True])
    def test_list_of_names_in_wav(self, behind: bool) -> None:
        names = b"LIST" + struct.pack("<I", 0xC0000000) + b"INFOISFT" + struct.pack("<I", 0x60000000) + b"Lavf"
        plain = wav(pcm16(chirp(500, 16_000)), 16_000)
        data = plain + names if behind else plain[:36] + names + plain[36:]
        assert refused(data).code == "not_audio"

    def test_honest_lists_are_read(self) -> None:
        plain = wav(pcm16(chirp(500, 16_000)), 16_000)
        names = b"LIST" + struct.pack("<I", 16) + b"INFOISFT" + struct.pack("<I", 4) + b"Lavf"
        assert opened(plain[:36] + names + plain[36:]).samples == 500

    def test_words_in_the_sound_itself_are_no_claims(self) -> None:
        noise = b"stsz" + b"\xff" * 400 + b"trun" + b"\xff" * 400 + b"cmov"
        recording = opened(
            encoded(np.frombuffer(noise * 4, "<i2")[:, None] / np.float32(32_768), 16_000, "mov", "pcm_s16le")
        )
        assert recording.samples == len(noise) * 2
