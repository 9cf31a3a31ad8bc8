"""Serving starts in a fraction of a second: it never imports torch, nor anything that does."""

import subprocess
import sys

HEAVY = ("torch", "torchvision", "captum", "medmnist", "streamlit")


def test_serving_and_its_command_do_not_import_torch():
    script = (
        "import sys, core.images.decode, core.images.crop, core.inference.engine, core.inference.predictor;"
        "import core.commands.predict, core.datasets;"
        "core.datasets.get_dataset('bloodmnist');"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "[]", found.stdout + found.stderr
