"""What a file from disk may hold: JSON of known shape, and arrays of known shape, or a reason why not.

A file may have been damaged, written by another version, or made to do harm; whoever reads one checks it here first.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

MAX_BYTES = 8 * 2**20
MAX_SIDE = 2048  # px of the pictures that a run takes
MAX_CLASSES = 1000

# Parts of schemas. Text has no control characters; a name is one folder's or file's, never a way to another.
TEXT = {"type": "string", "maxLength": 2000, "pattern": r"^[^\x00-\x1f\x7f]*\Z"}
NAME = {"type": "string", "pattern": r"^(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}\Z"}
DATASET = {"type": "string", "pattern": r"^[a-z0-9][a-z0-9_]{0,39}\Z"}
CODES = {
    "type": "array",
    "items": TEXT | {"minLength": 1, "maxLength": 40},
    "minItems": 1,
    "maxItems": MAX_CLASSES,
    "uniqueItems": True,
}
SHARE = {"type": "number", "minimum": 0, "maximum": 1}
SHARE_OR_NONE = SHARE | {"type": ["number", "null"]}
COUNT = {"type": "integer", "minimum": 0, "maximum": 10**12}
SIDE = {"type": "integer", "minimum": 1, "maximum": MAX_SIDE}


def record(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None, *, closed: bool = False) -> dict:
    """The schema of an object with the ``required`` keys and perhaps the ``optional`` ones; no others if ``closed``."""
    properties = {**required, **(optional or {})}
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": list(required)}
    return schema | ({"additionalProperties": False} if closed else {})


def list_of(items: Mapping[str, Any], most: int, least: int = 0) -> dict:
    """The schema of a list of ``least`` to ``most`` ``items``."""
    return {"type": "array", "items": dict(items), "minItems": least, "maxItems": most}


def optional(schema: Mapping[str, Any]) -> dict:
    """``schema``, or null."""
    return {"anyOf": [{"type": "null"}, dict(schema)]}


def parse_json(text: str | bytes) -> Any:
    """What ``text`` says. ValueError where it is no JSON, nests too deeply, or holds a number that is none."""
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it nests too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("it is no text in UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError("it is no JSON, or only the beginning of some") from error


def _finite(text: str) -> float:
    number = float(text)
    return number if abs(number) < np.inf else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is no finite number")


class Schema:
    """A JSON Schema (draft 2020-12) whose integers are written without a point, and whose faults are told in words."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = dict(content)

    @cached_property
    def _validator(self) -> Any:  # jsonschema's Validator, imported where a file is checked, not by all that could
        from jsonschema import Draft202012Validator, validators

        integers = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
        return validators.extend(Draft202012Validator, type_checker=integers)(self.content)

    def check(self, content: Any) -> None:
        """Raises ValueError, which names the first thing in ``content`` that is wrong."""
        from jsonschema.exceptions import best_match

        if not self._validator.is_valid(content):
            raise ValueError(_fault(best_match(self._validator.iter_errors(content))))

    def read(self, path: Path, most: int = MAX_BYTES) -> Any:
        """What the JSON file ``path`` of at most ``most`` bytes holds. Raises OSError, ValueError."""
        content = parse_json(read_bytes(path, most))
        self.check(content)
        return content


def read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """The content of ``path``, at most ``most`` bytes. Raises OSError, ValueError."""
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most:,} bytes")
    return content


def _fault(error: Any) -> str:
    where = ".".join(str(key) for key in error.absolute_path) or "it"
    got = json.dumps(error.instance)
    got = got if len(got) <= 40 else f"{got[:37]}..."
    wanted = error.validator_value
    match error.validator:
        case "required":
            missing = [key for key in wanted if key not in error.instance]
            return f"{where} lacks {', '.join(map(repr, missing))}"
        case "type":
            kinds = {"object": "an object", "array": "a list", "string": "text", "integer": "a whole number"}
            kinds |= {"number": "a number", "boolean": "true or false", "null": "null"}
            names = [kinds[kind] for kind in ([wanted] if isinstance(wanted, str) else wanted)]
            return f"{where} is {got}, not {' or '.join(names)}"
        case "minimum" | "exclusiveMinimum":
            return f"{where} is {got}, below {wanted:g}"
        case "maximum" | "exclusiveMaximum":
            return f"{where} is {got}, above {wanted:g}"
        case "enum":
            return f"{where} is {got}, none of {', '.join(map(str, wanted))}"
        case "additionalProperties":
            return f"{where} holds what nobody knows: {got}"
        case "minItems" | "maxItems":
            return f"{where} has {len(error.instance)} entries, not {wanted}"
        case "pattern" | "minLength" | "maxLength":
            return f"{where} can't be {got}"
    return f"{where} is {got}, which can't be"


def check_numbers(arrays: Mapping[str, np.ndarray]) -> None:
    """Raises ValueError where one of ``arrays`` holds a number that is not finite, or no numbers."""
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{name} holds no numbers")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} holds a number that is not finite")


def check_shape(name: str, array: np.ndarray, *shape: int) -> None:
    """Raises ValueError where ``array``, called ``name``, is not of ``shape``."""
    if array.shape != shape:
        raise ValueError(f"{name} is of shape {array.shape}, not {shape}")
