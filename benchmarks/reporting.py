"""What every benchmark does with its figures."""

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from core.formatting import text_table
from core.training.optim import device_name

RESULTS = Path(__file__).parent / "results"


def publish(name: str, rows: list[dict[str, Any]], **facts: Any) -> Path:
    """Print ``rows`` as a table and write them with ``facts`` and the machine to ``results/<name>.json``."""
    columns = list(rows[0])
    print(text_table([columns, *([_shown(row[c]) for c in columns] for row in rows)]))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    content = {
        "benchmark": name,
        "machine": device_name(device),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
        "rows": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return path


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
    return "–" if value is None else str(value)
