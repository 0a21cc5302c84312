"""How a visitor is told that something did not work: in one line, never with a traceback."""

from __future__ import annotations

import functools
import html
import sys
import traceback
from collections.abc import Callable
from typing import Any

import gradio as gr

from ganzoo.errors import GanzooError


def told(handler: Callable[..., Any]) -> Callable[..., Any]:
    """A handler whose errors the visitor is told of in one line, with all as it was."""

    @functools.wraps(handler)
    def run(*arguments: Any) -> Any:
        try:
            return handler(*arguments)
        except GanzooError as error:
            gr.Warning(html.escape(str(error)), title="Not like this")
        except Exception:
            sys.stderr.write(f"a fault of the app:\n{traceback.format_exc()}")
            gr.Warning("This did not work; the terminal says why.", title="A fault")
        return gr.skip()

    return run
