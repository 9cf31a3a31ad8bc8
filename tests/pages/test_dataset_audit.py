"""The Audit view of the Dataset page: what was planted is shown, what is kept is not computed again."""

from functools import partial

import pytest
from streamlit.testing.v1 import AppTest

from core.datasets.quality import audit as audits
from dashboard import cache, dataset
from tests.core.datasets.planted import planted
from tests.pages.driving import opened, texts


@pytest.fixture(scope="module")
def loaded():
    return planted()


@pytest.fixture(scope="module")
def found(loaded, tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("HEMALENS_CACHE", str(tmp_path_factory.mktemp("once")))
    yield audits.audit(loaded)
    patch.undo()


@pytest.fixture
def page(root, loaded, monkeypatch):
    monkeypatch.setattr(dataset, "load_images", lambda *_: (loaded, None))
    monkeypatch.setattr(cache, "summary", lambda *_: None)
    monkeypatch.setattr(dataset, "statistics", lambda *_: (None, None))

    return partial(opened, "dataset", dataset="synthetic", size="28", view="audit")


def button(page: AppTest):
    return next(b for b in page.button if b.label.startswith("Run the audit"))


def test_the_button_runs_it_and_shows_what_was_planted(page, found, monkeypatch):
    # The search itself is tested with the core; here it hands over what it found for these pictures.
    def compute(loaded, report):
        report(audits.Progress(50, 100, "Comparing pictures", "%"))
        return found

    monkeypatch.setattr(audits, "_compute", compute)
    shown = page()
    assert not shown.exception
    assert not shown.metric
    button(shown).click().run()
    assert not shown.exception
    assert not shown.error
    values = {m.label: m.value for m in shown.metric}
    assert values["Identical"] == "3"
    assert values["Nearly identical"] == str(len(found.groups(identical=False)))
    assert values["Test with a copy in train"] == "3.75 %"
    said = texts(shown)
    assert "**3 of 80** test pictures" in said
    assert "**different labels**" in said
    assert "train-030" in said
    assert "test-030" in said
    first = found.label_issues[0]
    assert first.member.id in said
    assert f"looks like **{found.codes[first.suggested]}**" in said
    assert "bottom right corner" in said
    assert len(shown.get("plotly_chart")) == 2
    assert button(shown).label == "Run the audit again"


def test_what_is_kept_is_shown_at_once(page, loaded, found, monkeypatch):
    monkeypatch.setattr(audits, "_compute", lambda *_: found)
    audits.audit(loaded)
    monkeypatch.setattr(audits, "_compute", lambda *_: pytest.fail("computed though it is kept"))
    shown = page()
    assert not shown.exception
    assert shown.metric
    assert "train-030" in texts(shown)


def test_a_failure_is_told_without_a_traceback(page, monkeypatch):
    def broken(*_):
        raise ValueError("no")

    monkeypatch.setattr(audits, "_compute", broken)
    shown = page()
    button(shown).click().run()
    assert not shown.exception
    assert "reference" in shown.error[0].value


def test_without_images_it_says_how_to_get_them(root):
    page = opened("dataset", view="audit", size="28")
    assert any("looks at the pictures themselves" in info.value for info in page.info)
    assert any(b.label == "Download them" for b in page.button)
