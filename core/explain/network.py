"""Loaded networks for looking into: few at a time, shared between visitors, one user of gradients at a time."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from core.models import ImageClassifier, load
from core.runs import Run

MAX_NETWORKS = 8


@dataclass
class _Entry:
    lock: threading.RLock = field(default_factory=threading.RLock)
    network: ImageClassifier | None = None


_entries: "OrderedDict[tuple[str, int], _Entry]" = OrderedDict()
_lock = threading.Lock()


def network_of(run: Run) -> ImageClassifier:
    """The network of ``run``, in eval mode, parameters frozen; the same object for all who ask.

    For forward passes only, which may run in many threads at once. Whoever sets hooks or takes gradients
    uses `borrowed`. At most `MAX_NETWORKS` are kept, the least recently used one goes first. Raises
    `HemaLensError` where the stored weights do not fit.
    """
    return _opened(run).network


@contextmanager
def borrowed(run: Run) -> Iterator[ImageClassifier]:
    """The network of ``run`` for one user alone; modes and gradient flags are as before afterwards, come what may."""
    entry = _opened(run)
    with entry.lock, restored(entry.network):
        yield entry.network


@contextmanager
def restored(network: ImageClassifier) -> Iterator[None]:
    """Put back train/eval modes and gradient flags of ``network``, and drop gradients, at the end or on an error."""
    modes = [(module, module.training) for module in network.modules()]
    flags = [(p, p.requires_grad) for p in network.parameters()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
            parameter.grad = None


def forget() -> None:
    """Drop all kept networks."""
    with _lock:
        _entries.clear()


def _opened(run: Run) -> _Entry:
    # The graph is the last file that a run gets: a run trained anew under its name has another time.
    key = (str(run.path.resolve()), run.onnx_path.stat().st_mtime_ns if run.onnx_path.exists() else 0)
    with _lock:
        entry = _entries.setdefault(key, _Entry())
        _entries.move_to_end(key)
        while len(_entries) > MAX_NETWORKS:
            _entries.popitem(last=False)
    with entry.lock:  # two who ask for one run load it once; other runs do not wait
        if entry.network is None:
            entry.network = load(run).eval().requires_grad_(False)
    return entry
