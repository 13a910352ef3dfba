"""What the commands share: settings, exit codes, errors as sentences, plain output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from lipstream.config import PREFIX, Settings
from lipstream.errors import EngineError, LipstreamError, ModelError

FAILED = 1
BAD_INPUT = 3
NOT_AVAILABLE = 4


def read_settings() -> Settings:
    """The settings. An invalid one is reported as wrong usage (:class:`typer.BadParameter`), by the name the user
    set."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        own = name in Settings.model_fields and not Settings.model_fields[name].validation_alias
        raise typer.BadParameter(first["msg"], param_hint=PREFIX + name.upper() if own else name) from None
    except UnicodeDecodeError:
        raise typer.BadParameter("The file is not UTF-8 text. Save it as UTF-8.", param_hint=".env") from None


@contextmanager
def plain_errors() -> Iterator[None]:
    """Expected errors become one sentence on stderr and an exit code, not a traceback."""
    try:
        yield
    except LipstreamError as error:
        complain(error.message, error.code)
        missing = isinstance(error, (ModelError, EngineError))
        raise typer.Exit(NOT_AVAILABLE if missing else BAD_INPUT) from None
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped.")
        raise typer.Exit(130) from None


def complain(sentence: str, code: str = "failed") -> None:
    """Print what went wrong on standard error."""
    Console(stderr=True).print(f"[bold red]{code}[/]: {escape(sentence)}", highlight=False, soft_wrap=True)


def say(sentence: str) -> None:
    """Print a sentence on standard output, as it is."""
    Console().print(sentence, markup=False, highlight=False, soft_wrap=True)
