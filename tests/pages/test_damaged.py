"""Whatever lies damaged on the disk, every page still works, and the foot of each lists it with its reason."""

from streamlit.testing.v1 import AppTest

from core.paths import user_runs_root
from tests.fake_runs import fake_run
from tests.pages.driving import TIMEOUT, opened, texts
from tests.tampered import RUNS, tampered_run


def foot() -> None:
    from dashboard.damaged import show_damaged

    show_damaged()


def test_pages_work_beside_damaged_runs_which_are_listed_and_deleted(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path / "none"))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    sound = fake_run(user_runs_root(), "sound-28-000000").path
    for number, tamper in enumerate(RUNS.values()):
        tampered_run(sound, sound.with_name(f"bad{number:02d}-28-000000"), tamper)
    (tmp_path / "cache" / "labs").mkdir()
    (tmp_path / "cache" / "labs" / "bad.safetensors").write_bytes(b"none")
    for page in ("home", "compare"):
        opened(page)
    page = AppTest.from_function(foot, default_timeout=TIMEOUT).run()
    assert not page.exception
    assert page.expander[0].label == f"{len(RUNS) + 1} things here can't be used"
    assert len(page.button) == 20
    page.button[0].click().run()
    assert page.expander[0].label == f"{len(RUNS)} things here can't be used"
    assert "bad00" not in texts(page)
