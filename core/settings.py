"""Settings as they are typed on the command line: NAME=VALUE."""

import json
from collections.abc import Iterable
from typing import Any

from core.errors import HemaLensError


def parse_settings(texts: Iterable[str], option: str) -> dict[str, Any]:
    """``NAME=VALUE`` texts as a dictionary; values are JSON where they can be, else text.

    ``option`` is named in the message of the `HemaLensError` that a text without '=' raises.
    """
    chosen = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise HemaLensError(f"{option} takes NAME=VALUE, such as width=36, not {text!r}")
        try:
            chosen[name] = json.loads(value)
        except json.JSONDecodeError:
            chosen[name] = value
    return chosen
