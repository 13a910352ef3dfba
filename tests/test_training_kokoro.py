"""The neural voices that the mouth learns from: what they are told to say and when they say it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the train or reference extra")
pytest.importorskip("torch", reason="needs the train or reference extra")
pytest.importorskip("onnxruntime", reason="needs the train or reference extra")

import onnxruntime
from onnx import TensorProto, helper

from lipstream.engines.portrait.phones import N_STATES, PHONES, STATES_PER_PHONE
from training.kokoro import LATE, Said, timed, with_durations
from training.phonetics import NEAR, PRONUNCIATIONS, a_grid_sentence, align_near


def said(*symbols: tuple[str, float]) -> list[Said]:
    return [Said(symbol, seconds) for symbol, seconds in symbols]


def test_phones_last_as_long_as_their_symbols() -> None:
    line = said(
        ("", 0.3), ("m", 0.1), ("ˈ", 0.05), ("A", 0.2), (" ", 0.1), ("b", 0.1), ("i", 0.1), ("ː", 0.1), (".", 0.2)
    )
    expected = [
        ("SIL", 0, 0.3),
        ("M", 0.3, 0.4),
        ("EY", 0.4, 0.7),
        ("B", 0.7, 0.85),
        ("IY", 0.85, 1.05),
        ("SIL", 1.05, 1.25),
    ]
    assert [name for name, _, _ in timed(line)] == [name for name, _, _ in expected]
    for (_, start, end), (_, first, last) in zip(timed(line), expected, strict=True):
        assert start == pytest.approx(max(0.0, first - LATE))
        assert end == pytest.approx(last - LATE)


def test_all_of_english_is_known() -> None:
    for symbols in ("AIOWYTQᵊʤʧʔ", "bdfhjklmnpstvwz", "ɡŋɹɾʃʒðθ", "iuɑɒæɔəɛɜɪʊʌ"):
        for symbol in symbols:
            ((name, _, _),) = timed(said((symbol, 0.1)))
            assert name in PHONES
            assert name != "SIL", symbol


def test_durations_are_among_what_the_graph_gives() -> None:
    nodes = [
        helper.make_node("Round", ["tokens"], ["rounded"]),
        helper.make_node("Clip", ["rounded", "least"], ["lasting"]),
        helper.make_node("Neg", ["lasting"], ["audio"]),
    ]
    one = helper.make_tensor("least", TensorProto.FLOAT, [], [1.0])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in ("tokens", "audio")]
    graph = helper.make_graph(nodes, "durations", values[:1], values[1:], [one])
    plain = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model, name = with_durations(plain)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (lasting,) = session.run([name], {"tokens": np.array([0.2, 1.6, 3.2], np.float32)})
    np.testing.assert_array_equal(lasting, [1, 2, 3])


def test_phones_are_found_near_where_they_were_expected() -> None:
    truth = ["SIL"] * 20 + ["M"] * 12 + ["AA"] * 18 + ["B"] * 9 + ["IY"] * 15 + ["SIL"] * 10
    posteriors = np.full((len(truth), N_STATES), -6.0, np.float32)
    for hop, name in enumerate(truth):
        first = PHONES.index(name) * STATES_PER_PHONE
        posteriors[hop, first : first + STATES_PER_PHONE] = -1.0
    late = 0.06
    assert late < NEAR
    rough = tuple(
        (name, start + late, end + late)
        for name, start, end in (
            *(("SIL", 0, 0.2), ("M", 0.2, 0.32), ("AA", 0.32, 0.5)),
            *(("B", 0.5, 0.59), ("IY", 0.59, 0.74), ("SIL", 0.74, 0.84)),
        )
    )
    found = align_near(posteriors, rough)
    assert [name for name, start, end in found for _ in range(round((end - start) * 100))] == truth


def test_commands_are_made_of_words_that_can_be_spoken() -> None:
    words = a_grid_sentence(np.random.default_rng(0))
    assert len(words) == 6
    assert set(words) <= set(PRONUNCIATIONS)
