"""The documents name files, headings, models and endpoints that are there, and all of those that must be named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lipstream.config import Settings
from lipstream.models.assets import ASSETS, IndexPackage
from lipstream.models.checkpoints import CHECKPOINTS
from lipstream.server.app import create_app
from lipstream.server.serve import PONG_SECONDS

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "training" / "README.md"])
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """What can stand after the # of a link, as GitHub makes it of headings."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(document.read_text()))
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text()):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_sources_exist(document: Path) -> None:
    folders = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    sources = [*ROOT.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]
    every = [path.relative_to(ROOT).as_posix() for path in sources]
    named = re.findall(r"`([\w/]+\.py)`", document.read_text())
    assert [name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in every)] == []


def test_every_fetched_model_has_its_licence_documented() -> None:
    licences = (ROOT / "docs" / "licences.md").read_text()
    for asset in ASSETS:
        packages = [source.name for source in asset.sources if isinstance(source, IndexPackage)]
        assert any(f"`{package}`" in licences for package in packages), asset.name
        assert asset.licence.split(" (")[0] in licences, asset.name


def test_every_checkpoint_has_its_licence_documented() -> None:
    rows = (ROOT / "docs" / "checkpoints.md").read_text().splitlines()
    for checkpoint in CHECKPOINTS:
        (row,) = (row for row in rows if row.startswith(f"| `{checkpoint.name}` |"))
        assert f"`{checkpoint.file_name}`" in row
        assert ("non-commercial" in row) == (checkpoint.terms is not None), row
        assert row.endswith("| yes |") == (checkpoint.sha256 is not None), row


@pytest.mark.parametrize("document", ["README.md", "client.py", "docs/protocol.md"])
def test_clients_are_shown_to_be_as_patient_as_the_server(document: str) -> None:
    """Otherwise messages that take half a minute on a slow line are lost."""
    shown = re.findall(r"ping_timeout=(\d+)", (ROOT / document).read_text())
    assert [float(seconds) for seconds in shown] == [PONG_SECONDS]


def test_every_endpoint_is_documented() -> None:
    protocol = (ROOT / "docs" / "protocol.md").read_text() + (ROOT / "docs" / "streaming.md").read_text()
    described = create_app(Settings()).openapi()["paths"]
    assert {"/v1/lipsync", "/v1/avatars/{avatar}"} <= described.keys()
    paths = {path.replace("{avatar}", "{id}") for path in described} | {"/ws/lipsync", "/ws/lip-sync", "/ws/stream"}
    assert sorted(path for path in paths if f"{path}`" not in protocol) == []
