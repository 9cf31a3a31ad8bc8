"""What a user installs is pinned, with hashes, down to the last package."""

import re

from dashboard.app import ROOT

PIN = re.compile(r"^([a-z0-9._-]+)(?:\[.*?\])?==([^\s;\\]+)", re.IGNORECASE | re.MULTILINE)


def pins(name: str) -> set[tuple[str, str]]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return {(re.sub(r"[-_.]+", "-", package).lower(), version) for package, version in PIN.findall(text)}


def test_the_lock_holds_every_requirement_at_its_version():
    wanted = pins("requirements.txt")
    assert len(wanted) > 20
    assert wanted - pins("requirements.lock") == set(), "requirements.txt was changed: run make lock"


def test_every_package_of_the_lock_has_hashes():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.IGNORECASE | re.MULTILINE)[1:]
    assert len(entries) >= len(pins("requirements.txt"))
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
