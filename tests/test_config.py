"""Settings: where they come from, what is refused, and that the documentation lists them all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from lipstream.config import MIB, PREFIX, Settings, available_cores

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty working directory, and none of our names in the environment."""
    monkeypatch.chdir(tmp_path)
    for name, field in Settings.model_fields.items():
        monkeypatch.delenv(variable(name, field), raising=False)
        monkeypatch.delenv(variable(name, field).upper(), raising=False)


def variable(name: str, field: FieldInfo) -> str:
    """The setting's name in the environment."""
    return str(field.validation_alias or PREFIX + name.upper())


def test_documented_names_and_defaults() -> None:
    settings = Settings()
    assert settings.wav2lip_path == Path("checkpoints/wav2lip_gan.pth")
    assert settings.segmentation_path == Path("checkpoints/79999_iter.pth")
    assert settings.sr_path == Path("checkpoints/esrgan_yunying.pth")
    assert settings.device == "cpu"
    assert settings.workers == available_cores() >= 1


@pytest.mark.parametrize("name", ["wav2lip_path", "WAV2LIP_PATH", "Wav2Lip_Path"])
def test_documented_names_have_no_prefix_and_no_case(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "/models/mine.pth")
    assert Settings().wav2lip_path == Path("/models/mine.pth")


def test_other_names_have_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1111")
    monkeypatch.setenv("LIPSTREAM_CRF", "30")
    settings = Settings()
    assert (settings.port, settings.crf) == (8000, 30)


def test_dotenv_with_names_of_other_programs(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DEVICE=cuda\nLIPSTREAM_WORKERS=3\nDATABASE_URL=x\nLIPSTREAM_NO_SUCH_THING=1\n")
    settings = Settings()
    assert (settings.device, settings.workers) == ("cuda", 3)


def test_the_environment_is_stronger_than_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("LIPSTREAM_WORKERS=3\n")
    monkeypatch.setenv("LIPSTREAM_WORKERS", "5")
    assert Settings().workers == 5
    assert Settings(workers=7).workers == 7


def test_an_empty_value_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTREAM_WORKERS", "")
    assert Settings().workers == available_cores()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device", "tpu"),
        ("LIPSTREAM_PORT", "65536"),
        ("LIPSTREAM_WORKERS", "0"),
        ("LIPSTREAM_CRF", "52"),
        ("LIPSTREAM_PRESET", "quick"),
        ("LIPSTREAM_LOG_LEVEL", "loud"),
        ("LIPSTREAM_MAX_AUDIO_SECONDS", "-1"),
        ("LIPSTREAM_MAX_AUDIO_SECONDS", "nan"),
        ("LIPSTREAM_CONNECTION_IDLE_SECONDS", "inf"),
        ("LIPSTREAM_LIVE_IDLE_SECONDS", "inf"),
        ("LIPSTREAM_LIVE_SESSION_SECONDS", "inf"),
    ],
)
def test_values_that_make_no_sense_are_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=re.escape(name.removeprefix(PREFIX).lower())):
        Settings()


@pytest.mark.parametrize("name", ["cache_dir", "checkpoints_dir", "avatar_dir"])
def test_a_file_where_a_folder_should_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", str(tmp_path / "file"))
    with pytest.raises(ValidationError, match=f"(?s){name}.*must be a folder"):
        Settings()
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", str(tmp_path / "not" / "yet" / "there"))
    assert getattr(Settings(), name) == tmp_path / "not" / "yet" / "there"


def shown_default(field: FieldInfo) -> str:
    """A default as the table shows it."""
    if field.default_factory is not None:
        return "the number of cores"
    if field.default is None:
        return "unset"
    if isinstance(field.default, int) and field.default >= MIB and field.default % MIB == 0:
        return f"`{field.default}` ({field.default // MIB} MiB)"
    return f"`{field.default}`"


def test_the_documentation_has_every_setting() -> None:
    rows = [
        f"| `{variable(name, field)}` | {shown_default(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    table = [line for line in (ROOT / "docs" / "settings.md").read_text().splitlines() if line.startswith("| `")]
    assert table == rows, "docs/settings.md should have:\n" + "\n".join(rows)
