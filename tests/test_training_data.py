"""What the mouth learns from besides the film: noises, rooms, and synthetic speech with the phones it consists of."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the train or reference extra")
pytest.importorskip("torch", reason="needs the train or reference extra")

from lipstream.engines.portrait.phones import PHONES
from training.espeak import arpabet
from training.festival import READERS, Reader, load_line
from training.mouth_of_phones import fit_phone_mouth, hops_of, imagined, steps_of
from training.noises import NOISES, Noise, at_level, coloured, in_a_room
from training.prepare import POINTS, opening_map
from training.speech import LEVEL, Spoken, pseudo_words


@pytest.mark.parametrize("noise", NOISES)
def test_noises_have_the_level_asked_for(noise: Noise) -> None:
    sound = at_level(noise(16_000, np.random.default_rng(0)), 0.05)
    assert sound.shape == (16_000,)
    assert np.sqrt((sound.astype(float) ** 2).mean()) == pytest.approx(0.05, rel=1e-3)


def test_no_samples_of_noise() -> None:
    assert len(at_level(coloured(0, np.random.default_rng(0)), 0.1)) == 0


def test_a_room_comes_after_the_sound_itself() -> None:
    click = np.zeros(8000, np.float32)
    click[1000] = 1.0
    heard = in_a_room(click, np.random.default_rng(1))
    assert len(heard) == len(click)
    assert np.abs(heard[:1000]).max() < 1e-6
    assert heard[1000] == pytest.approx(1.0, abs=1e-3)
    assert 0.2 < np.sqrt((heard[1001:].astype(float) ** 2).sum()) < 1.1


@pytest.mark.parametrize(
    ("ipa", "phones"), [("ˈaɪ", ["AY"]), ("uː", ["UW"]), ("m", ["M"]), ("_:", []), ("_", ["SIL"]), ("ɜː", ["ER"])]
)
def test_ipa_becomes_arpabet(ipa: str, phones: list[str]) -> None:
    assert arpabet(ipa) == phones
    assert set(phones) <= set(PHONES)


@pytest.mark.parametrize(
    ("voice", "name", "phone"),
    [
        *(
            ("ked_diphone", "ax", "AH"),
            ("ked_diphone", "dh", "DH"),
            ("lp_diphone", "a1", "AA"),
            ("lp_diphone", "tS", "CH"),
        ),
        *(("lp_diphone", "#", "SIL"), ("czech_ph", "e:", "EH"), ("czech_ph", "ch", "HH"), ("czech_ph", "c", "S")),
        *(("hy_fi_mv_diphone", "m:", "M"), ("msu_ru_nsh_clunits", "bb", "B"), ("msu_ru_nsh_clunits", "ay", "AH")),
        *(("hindi_NSK_diphone", "dh", "D"), ("upc_ca_ona_hts", "rr", "R"), ("upc_ca_ona_hts", "pau", "SIL")),
    ],
)
def test_phones_of_recorded_voices_become_arpabet(voice: str, name: str, phone: str) -> None:
    reader = next(reader for reader in READERS if reader.voice == voice)
    assert reader.arpabet(name) == phone


def test_a_phone_nobody_knows_is_not_passed_over() -> None:
    with pytest.raises(KeyError, match="q9q"):
        Reader("lp_diphone").arpabet("q9q")


def test_words_are_written_in_the_voices_script() -> None:
    readers = {reader.script: reader for reader in READERS}
    assert readers["latin"].write("mapo bi") == "mapo bi"
    assert readers["cyrillic"].write("mapo bi") == "мапо би"
    assert readers["devanagari"].write("mapo bi") == "मापो बि"


def test_a_line_is_loaded_with_its_phones(tmp_path: Path) -> None:
    tone = 8000 * np.sin(np.arange(32_000) / 10)
    with wave.open(str(tmp_path / "0.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(32_000)
        file.writeframes(tone.astype("<i2").tobytes())
    (tmp_path / "0.lab").write_text("#\n0.25 100 #\n0.5 100 b\n1.0 100 a1\n")
    line = load_line(Reader("lp_diphone"), tmp_path / "0.wav")
    assert line.phones == (("SIL", 0.0, 0.25), ("B", 0.25, 0.5), ("AA", 0.5, 1.0))
    assert line.audio.shape == (16_000,)
    assert np.sqrt((line.audio.astype(float) ** 2).mean()) == pytest.approx(LEVEL, rel=0.05)


def test_pseudo_words_are_made_of_what_is_given() -> None:
    line = pseudo_words(np.random.default_rng(0), ("b", "m"), ("a",), ("", "n"))
    assert 3 <= len(line.split()) <= 7
    assert set(line) <= set("bman ")
    assert all(word.replace("n", "").replace("ba", "").replace("ma", "") == "" for word in line.split())


def test_phones_are_laid_along_time() -> None:
    hops = hops_of((("B", 0.02, 0.05), ("OY", 0.05, 0.15), ("SIL", 0.15, 0.3)), 20)
    assert hops[:2] == ["SIL"] * 2
    assert hops[2:5] == ["B"] * 3
    assert hops[5:11] == ["AO"] * 6
    assert hops[11:15] == ["IH"] * 4
    assert hops[15:] == ["SIL"] * 5
    assert steps_of(hops)[1, PHONES.index("B")] == 1.0
    np.testing.assert_allclose(steps_of(hops).sum(axis=1), 1.0)


def test_imagined_mouths_close_where_lips_touch() -> None:
    opens = opening_map() / np.linalg.norm(opening_map())
    vectors = opens.reshape(1, len(POINTS), 3)
    spread = np.array([0.3])
    rng = np.random.default_rng(0)
    # A film in which the mouth is open for AA and closed for nothing else: M has never been seen.
    film = [["SIL"] * 40 + ["AA"] * int(n) + ["SIL"] * (400 - 40 - int(n)) for n in rng.integers(60, 300, 32)]
    phones = [steps_of(hops) for hops in film]
    moves = [np.float32(0.3) * shown[:, [PHONES.index("AA")]] for shown in phones]
    network = fit_phone_mouth(phones, moves, spread, seed=0)
    spoken = Spoken(np.zeros(32_000, np.float32), (("AA", 0.5, 0.8), ("M", 0.8, 0.9), ("AA", 0.9, 1.2)))
    sentence = imagined(spoken, network, spread, vectors)
    opening = sentence.coefficients[:, 0]
    assert len(opening) == 100
    assert opening[30:38].mean() > 0.15
    assert opening[42:44].max() < 0.02
    assert np.abs(opening[:8]).max() == 0.0
    assert sentence.words == ((25, 60),)
