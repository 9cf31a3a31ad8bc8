"""Where things lie on disk: data sets, a user's own runs, the shipped runs."""

import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """HemaLens's folder in the platform's cache (``HEMALENS_CACHE`` overrides it)."""
    return Path(os.environ.get("HEMALENS_CACHE") or platformdirs.user_cache_dir("hemalens"))


def data_root() -> Path:
    """Folder that holds the data sets' files: ``HEMALENS_DATA``, else the cache's ``data``."""
    return Path(os.environ.get("HEMALENS_DATA") or cache_root() / "data")


def user_runs_root() -> Path:
    """Folder of the runs this user trained: ``<root>/<dataset>/<run>``."""
    return cache_root() / "runs"


def shipped_runs_root() -> Path:
    """Folder of the runs that ship with HemaLens (``HEMALENS_PRETRAINED`` overrides it, for tests)."""
    override = os.environ.get("HEMALENS_PRETRAINED")
    return Path(override) if override else Path(__file__).resolve().parent.parent / "pretrained"


def checkpoints_root() -> Path:
    """Folder of trainings that are under way or were interrupted."""
    return cache_root() / "checkpoints"


def cases_root() -> Path:
    """Folder of the cases' database and pictures, in the user's data (``HEMALENS_CASES`` overrides it)."""
    override = os.environ.get("HEMALENS_CASES")
    return Path(override) if override else Path(platformdirs.user_data_dir("hemalens")) / "cases"
