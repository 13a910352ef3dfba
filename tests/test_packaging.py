"""What the repository promises about itself: files that must agree with each other, and limits on what it carries."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
BEYOND_TEST = ("librosa", "misaki", "onnxruntime", "pyworld", "safetensors", "scipy", "spandrel", "torch", "wordfreq")
"""What the extra ``test`` does not bring."""


def test_requirements_repeat_the_core_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == project["dependencies"]


def test_every_core_dependency_has_a_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    names = [re.split(r"[\[>=<]", dependency)[0] for dependency in project["dependencies"]]
    assert [name for name in names if name not in reasons] == []


def test_core_install_has_no_heavy_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = " ".join(project["dependencies"])
    assert not any(heavy in text for heavy in ("torch", "tensorflow", "mediapipe", "ray", "onnxruntime"))


def test_the_tests_can_be_collected_without_the_large_extras() -> None:
    """As `make test` runs them on a new machine; CI has the packages of the extra ``reference`` as well."""
    program = (
        "import sys, pytest\n"
        f"sys.modules.update(dict.fromkeys({BEYOND_TEST}))\n"
        "sys.exit(pytest.main(['--collect-only', '-q', '-p', 'no:cacheprovider', 'tests']))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_types_can_be_checked_without_the_large_extras() -> None:
    (override,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    imported = "\n".join(path.read_text() for path in [*ROOT.glob("training/*.py"), *ROOT.glob("tests/**/*.py")])
    needed = [name for name in BEYOND_TEST if re.search(rf"^\s*(import|from) {name}\b", imported, re.MULTILINE)]
    assert {"pyworld", "torch"} <= set(needed)
    assert [name for name in needed if f"{name}.*" not in override["module"]] == []


def test_dockerfile_is_clean() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint, "hadolint comes with the test extra"
    result = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_dockerfile_runs_the_steps_of_make_setup() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for step in ("lipstream models pull", "lipstream serve"):
        assert step in dockerfile
        assert step in makefile
    assert re.search(r"^USER \d+$", dockerfile, re.MULTILINE), "the container must not run as root"


def test_dockerfile_copies_only_what_is_there_and_not_ignored() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    names = {name.removeprefix("./") for line in copied for name in line.split()}
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert names == let_in
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_dockerfile_has_what_the_package_and_the_documented_commands_need() -> None:
    """The build reads the readme and the licence; ``uvicorn app.main:app`` works in the container as well."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    for name in ("pyproject.toml", project["readme"], *project["license-files"], "src", "app"):
        assert re.search(rf"^COPY .*\b{re.escape(name)}\b", dockerfile, re.MULTILINE), name
    assert "--host" in dockerfile
    assert "0.0.0.0" in dockerfile
    assert "EXPOSE 8000" in dockerfile
    assert dockerfile.count("\nFROM ") + dockerfile.startswith("FROM ") == 2, "build tools stay in the first stage"


@pytest.mark.parametrize("folder", ["src", "app"])
def test_no_module_is_a_grab_bag(folder: str) -> None:
    names = {path.stem for path in (ROOT / folder).rglob("*.py")}
    assert not names & {"utils", "helpers", "util", "helper", "manager", "common", "misc"}


def test_weights_are_small() -> None:
    weights = ROOT / "src" / "lipstream" / "engines" / "portrait" / "weights"
    sizes = {path.name: path.stat().st_size for path in weights.iterdir()}
    assert sizes
    assert sum(sizes.values()) <= 3 * 2**20, sizes
