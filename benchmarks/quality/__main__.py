"""How good a talking picture is: ``python -m benchmarks.quality --data DIR [--json]``.

``DIR`` holds folders of filmed clips in the format of training/README.md (``grid_s1``, ``grid_others`` and any others).
``docs/benchmarks.md`` tells what each figure means.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.quality.motion import NOISE_DB, load_corpora, noisy
from lipstream.engines.portrait.motion import MotionModel
from lipstream.models.store import ModelStore
from lipstream.threads import one_thread_per_library
from training.evaluate import PER_FRAME, acoustic_model, displacements, flat_basis
from training.measures import measure


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of folders with filmed clips")
    parser.add_argument(
        "--weights", type=Path, help="motion weights of the engine portrait (default: the committed ones)"
    )
    parser.add_argument("--quick", action="store_true", help="fewer clips: tells large differences only")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    one_thread_per_library()
    store = ModelStore()
    acoustic = acoustic_model(store)
    model = MotionModel.load(acoustic, options.weights)
    show, basis = partial(displacements, model), flat_basis(model)
    results: dict[str, Any] = {"engine": "portrait"}
    for name, clips in load_corpora(options.data).items():
        chosen = clips[:20] if options.quick else clips
        results[name] = asdict(measure(show, chosen, per_frame=PER_FRAME, basis=basis, acoustic=acoustic))
        results[name]["noisy_opening_r"] = measure(show, noisy(chosen), per_frame=PER_FRAME).opening_r
    names = [name for name in results if name != "engine"]
    table = Table("", *names, title=f"Motion (noise at {NOISE_DB:.0f} dB)")
    for figure in results[names[0]]:
        table.add_row(figure, *(str(results[name][figure])[:28] for name in names))
    Console().print(table)
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
