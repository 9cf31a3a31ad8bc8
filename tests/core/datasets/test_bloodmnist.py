"""BloodMNIST's files: which one is taken, what it is called, and what is refused."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.datasets import DatasetUnavailable, bloodmnist, get_dataset

ROOT = Path(__file__).resolve().parents[3]


def arrays(size=28, n=16, seed=0, **changes):
    rng = np.random.default_rng(seed)
    out = {}
    for split in ("train", "val", "test"):
        out[f"{split}_images"] = rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
        out[f"{split}_labels"] = (np.arange(n) % 8).astype(np.uint8)[:, None]
    return out | changes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def make_official(monkeypatch, path):
    """Let the file at ``path`` count as the published one."""
    monkeypatch.setattr(bloodmnist, "official_md5", lambda size: hashlib.md5(path.read_bytes()).hexdigest())


def test_official_file_is_known_by_its_md5(folder, monkeypatch):
    np.savez(folder / "bloodmnist.npz", **arrays())
    make_official(monkeypatch, folder / "bloodmnist.npz")
    loaded = get_dataset("bloodmnist").load(28)
    assert loaded.provenance.kind == "official"
    assert loaded.provenance.label == "official BloodMNIST (MedMNIST v2 split)"
    assert loaded["val"].ids[12] == "val-00012"
    assert loaded["val"].labels.shape == (16,)


def test_another_build_is_named_by_its_md5(folder):
    np.savez(folder / "bloodmnist_64.npz", **arrays(64))
    md5 = hashlib.md5((folder / "bloodmnist_64.npz").read_bytes()).hexdigest()
    provenance = get_dataset("bloodmnist").load(64).provenance
    assert provenance.kind == "other"
    assert md5[:8] in provenance.label


def test_rebuilt_file_keeps_its_ids(folder):
    ids = {f"{s}_ids": np.array([f"{s}{i}" for i in range(16)]) for s in ("train", "val", "test")}
    np.savez(folder / "rebuilt_bloodmnist.npz", **arrays(), **ids)
    loaded = get_dataset("bloodmnist").load(28)
    assert loaded.provenance.kind == "rebuilt"
    assert loaded.provenance.label == "rebuilt BloodMNIST (own split)"
    assert loaded["test"].ids[3] == "test3"


def test_official_wins_and_a_content_chooses_another(folder, monkeypatch):
    np.savez(folder / "bloodmnist.npz", **arrays(seed=1))
    np.savez(folder / "rebuilt_bloodmnist.npz", **arrays(seed=2))
    spec = get_dataset("bloodmnist")
    other_first = spec.load(28)
    assert other_first.provenance.kind == "rebuilt"  # an unknown build comes last
    make_official(monkeypatch, folder / "bloodmnist.npz")
    official = spec.load(28)
    assert official.provenance.kind == "official"
    wanted = other_first.provenance.content_hash
    assert spec.load(28, content_hash=wanted).provenance.kind == "rebuilt"
    with pytest.raises(DatasetUnavailable, match="official BloodMNIST"):
        spec.load(28, content_hash="000000000000")


def test_broken_official_name_falls_back_to_a_good_rebuilt_file(folder, monkeypatch):
    (folder / "bloodmnist.npz").write_bytes(b"PK nonsense")
    make_official(monkeypatch, folder / "bloodmnist.npz")
    np.savez(folder / "rebuilt_bloodmnist.npz", **arrays())
    assert get_dataset("bloodmnist").load(28).provenance.kind == "rebuilt"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"train_images": np.zeros((16, 32, 32, 3), np.uint8)}, "train_images"),
        ({"val_images": np.zeros((16, 28, 28, 3), np.float32)}, "float32"),
        ({"val_labels": np.zeros((15, 1), np.uint8)}, "15 labels"),
        ({"test_labels": np.full((16, 1), 8, np.uint8)}, "from 8 to 8"),
        ({"test_labels": np.zeros((16, 1), np.float64)}, "float64"),
        ({"test_ids": np.array(["a"])}, "1 ids"),
        ({"test_labels": np.array([object()] * 16)}, "allow_pickle"),
    ],
)
def test_wrong_arrays_are_refused_with_the_reason(folder, changes, reason):
    np.savez(folder / "rebuilt_bloodmnist.npz", **arrays(**changes))
    with pytest.raises(DatasetUnavailable, match=reason):
        get_dataset("bloodmnist").load(28)


@pytest.mark.parametrize("content", [b"", b"not a zip at all", "truncated", "without test"])
def test_broken_files_are_refused_plainly(folder, content):
    path = folder / "rebuilt_bloodmnist.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "truncated":
        np.savez(path, **arrays())
        path.write_bytes(path.read_bytes()[:5000])
    else:
        np.savez(path, **{k: v for k, v in arrays().items() if not k.startswith("test")})
    with pytest.raises(DatasetUnavailable, match="can't be read as BloodMNIST at 28 px"):
        get_dataset("bloodmnist").load(28)


def test_md5_is_computed_once_and_anew_when_the_file_changes(folder, monkeypatch):
    path = folder / "bloodmnist.npz"
    path.write_bytes(b"one")
    calls = []
    real = hashlib.file_digest
    monkeypatch.setattr(bloodmnist.hashlib, "file_digest", lambda *a: calls.append(1) or real(*a))
    assert bloodmnist.md5_of(path) == bloodmnist.md5_of(path) == hashlib.md5(b"one").hexdigest()
    assert len(calls) == 1
    path.write_bytes(b"another")
    assert bloodmnist.md5_of(path) == hashlib.md5(b"another").hexdigest()
    assert len(calls) == 2


def test_broken_memory_of_md5s_is_no_harm(folder, tmp_path):
    path = folder / "x"
    path.write_bytes(b"x")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "md5.json").write_text("[1, 2")
    assert bloodmnist.md5_of(path) == hashlib.md5(b"x").hexdigest()


def test_published_facts_come_without_torch(tmp_path):
    script = (
        "import sys; from core.datasets import bloodmnist as b, get_dataset; get_dataset('bloodmnist');"
        "print(b.official_md5(28), b.download_url(64), 'torch' in sys.modules, 'medmnist' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    md5, url, torch, medmnist = out.stdout.split()
    assert md5 == "7053d0359d879ad8a5505303e11de1dc"
    assert url.startswith("https://zenodo.org/") and "bloodmnist_64.npz" in url  # noqa: PT018
    assert (torch, medmnist) == ("False", "False")


@pytest.mark.parametrize("size", bloodmnist.SIZES)
def test_every_size_has_a_name_an_address_and_an_md5(size, monkeypatch):
    monkeypatch.delenv("HEMALENS_BLOODMNIST_URL", raising=False)
    assert bloodmnist.file_name(size) in bloodmnist.download_url(size)
    assert len(bloodmnist.official_md5(size)) == 32


@pytest.mark.realdata
def test_the_file_on_this_computer():
    spec = get_dataset("bloodmnist")
    sizes = [s for s in spec.sizes if spec.available(s)]
    if not sizes:
        pytest.skip("no BloodMNIST file in the data root")
    loaded = spec.load(sizes[0])
    counts = {name: len(split) for name, split in loaded.splits.items()}
    if loaded.provenance.kind in ("official", "rebuilt"):
        assert counts == bloodmnist.medmnist_info()["n_samples"]
