"""Files written whole or not at all: JSON, tensors (safetensors, readable by all), arrays and text, each through a
temporary file beside the target.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file


def save_tensors(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    save_file(dict(arrays), path)
    path.chmod(0o644)  # safetensors leaves the file readable by its owner alone


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one, whoever else writes it."""
    temporary = path.with_suffix(f"{path.suffix}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)
