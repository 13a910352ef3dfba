"""What the commands share: exit codes, errors as sentences, plain output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from lipstream.errors import EngineError, LipstreamError, ModelError

BAD_INPUT = 3
NOT_AVAILABLE = 4


@contextmanager
def plain_errors() -> Iterator[None]:
    """Expected errors become one sentence on stderr and an exit code, not a traceback."""
    console = Console(stderr=True)
    try:
        yield
    except LipstreamError as error:
        console.print(f"[bold red]{error.code}[/]: {escape(error.message)}", highlight=False, soft_wrap=True)
        missing = isinstance(error, (ModelError, EngineError))
        raise typer.Exit(NOT_AVAILABLE if missing else BAD_INPUT) from None
    except KeyboardInterrupt:
        console.print("Stopped.")
        raise typer.Exit(130) from None


def say(sentence: str) -> None:
    """Print a sentence on standard output, as it is."""
    Console().print(sentence, markup=False, highlight=False, soft_wrap=True)
