"""What the phones add to the network's mouth: contact, rounding, and nothing where nobody speaks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.engines.portrait.gates import (
    LOGITS,
    OPEN_OPENS,
    ROUNDED_CLOSES,
    ROUNDED_NARROWS,
    SHOWN,
    SILENT,
    SPEAKING_WIDTH,
    Gates,
    opening_of,
)
from lipstream.engines.portrait.motion import DEFAULT_WEIGHTS
from lipstream.engines.portrait.visemes import EASED, Told
from training.prepare import width_map

PROBABILITY = st.floats(0, 1, width=32)


@pytest.fixture(scope="module")
def arrays() -> dict[str, NDArray[np.float32]]:
    with np.load(DEFAULT_WEIGHTS) as stored:
        return {name: stored[name] for name in ("basis.points", "basis.vectors", "closing", "spreading")}


@pytest.fixture(scope="module")
def gates(arrays: dict[str, NDArray[np.float32]]) -> Gates:
    opening = opening_of(arrays["basis.points"].astype(np.int64), arrays["basis.vectors"])
    return Gates(opening, arrays["closing"], arrays["spreading"])


def mouth(
    gates: Gates, opening: float = 0.1, speech: float = 1.0, closed: float = 0.0, quiet: int = 0, **heard: float
) -> NDArray[np.float32]:
    """The row for a network that opens the mouth so far, while these visemes are heard."""
    out = np.zeros(len(gates.opening) + len(LOGITS), np.float32)
    out[: len(gates.opening)] = -gates.closing * np.float32(opening)
    out[len(gates.opening) :] = closed, speech
    lips, nasal, rounded, low = (heard.get(name, 0.0) for name in ("lips", "nasal", "rounded", "open"))
    told = Told(lips, nasal, np.full((EASED, 3), heard.get("articulated", 0.0), np.float32), rounded, low, quiet)
    return gates(out, told, np.float32(1.0))


def gap(gates: Gates, row: NDArray[np.float32]) -> float:
    return float(gates.opening @ row[: len(gates.opening)])


def test_rounded_lips_are_closer_and_narrower(gates: Gates, arrays: dict[str, NDArray[np.float32]]) -> None:
    wider = arrays["basis.vectors"].reshape(len(gates.opening), -1) @ width_map()
    usual, rounded = mouth(gates), mouth(gates, rounded=1.0)
    assert gap(gates, rounded) == pytest.approx((1 - ROUNDED_CLOSES) * gap(gates, usual), rel=0.05)
    closer = gates.closing * np.float32(gap(gates, usual) - gap(gates, rounded))
    narrower = float(wider @ (usual + np.append(closer, np.zeros(len(SHOWN))) - rounded)[: len(wider)])
    assert narrower == pytest.approx(ROUNDED_NARROWS, rel=0.1)


def test_a_sure_n_parts_lips_that_an_m_might_close(gates: Gates) -> None:
    assert gap(gates, mouth(gates, lips=0.3, closed=0.5)) < 0.05
    assert gap(gates, mouth(gates, lips=0.3, closed=0.5, nasal=0.5)) < 0.05, "one thing as likely as the other"
    assert gap(gates, mouth(gates, lips=0.3, closed=0.5, nasal=0.8)) > 0.09


def test_a_low_jaw_opens_further(gates: Gates) -> None:
    assert gap(gates, mouth(gates, open=1.0)) == pytest.approx((1 + OPEN_OPENS) * gap(gates, mouth(gates)), rel=0.02)
    assert gap(gates, mouth(gates, open=1.0, lips=1.0)) == pytest.approx(0.0, abs=5e-3), "not where lips touch"


def test_a_speaking_mouth_is_a_little_wider_than_one_at_rest(
    gates: Gates, arrays: dict[str, NDArray[np.float32]]
) -> None:
    wider = arrays["basis.vectors"].reshape(len(gates.opening), -1) @ width_map()
    row = mouth(gates, opening=0.0)
    assert float(wider @ row[: len(wider)]) == pytest.approx(SPEAKING_WIDTH, rel=0.02)
    assert gap(gates, row) == pytest.approx(0.0, abs=1e-3)


@given(rounded=PROBABILITY, lips=PROBABILITY, closed=PROBABILITY)
def test_nobody_speaking_is_rest(gates: Gates, rounded: float, lips: float, closed: float) -> None:
    for row in (
        mouth(gates, speech=0.0, closed=closed, rounded=rounded, lips=lips, articulated=1.0),
        mouth(gates, quiet=SILENT[1], closed=closed, rounded=rounded, lips=lips, articulated=1.0),
    ):
        assert not row[: len(gates.opening)].any()
        assert not row[len(gates.opening) + SHOWN.index("lip_bite") :].any()


@given(lips=PROBABILITY, more=PROBABILITY, closed=PROBABILITY)
def test_more_evidence_of_contact_never_opens_the_lips(gates: Gates, lips: float, more: float, closed: float) -> None:
    less, more = sorted((lips, more))
    assert (
        gap(gates, mouth(gates, lips=more, closed=closed)) <= gap(gates, mouth(gates, lips=less, closed=closed)) + 1e-6
    )
    assert gap(gates, mouth(gates, lips=1.0, closed=closed)) == pytest.approx(0.0, abs=5e-3)
