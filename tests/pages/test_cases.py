"""The Cases page, driven as a visitor would: a new case, the review screen's data, signing, a second reader."""

import pytest

from core.cases.case import NewDecision, Reader
from core.cases.store import open_store
from tests.dashboard.cases.made_case import made_case
from tests.pages.driving import drop, opened, png, shown, texts, visited

pytestmark = pytest.mark.usefixtures("any_picture_is_a_cell")

RED, GREEN = (255, 0, 0), (0, 255, 0)  # BA and EO to the stub model
ANN = Reader("Ann")


def button(page, label):
    return next(b for b in page.button if b.label == label)


def labels(page):
    return [b.label for b in page.button]


@pytest.fixture
def store(run, monkeypatch):
    monkeypatch.delenv("HEMALENS_DATABASE", raising=False)
    return open_store()


@pytest.fixture
def case_id(store):
    return made_case(store)


def reading(case_id, reader="Ann", **link):
    return opened("cases", {"cases_reader": reader}, case=case_id, **link)


def test_before_anything_there_is_one_button(store):
    page = opened("cases")
    assert labels(page) == ["New case"]
    assert "Your cases will stand here" in texts(page)
    assert not page.file_uploader


def test_without_a_model_it_says_what_to_do(root):
    page = opened("cases")
    assert "python -m core train" in texts(page)
    assert "New case" not in labels(page)


def test_dropped_files_become_a_case_that_opens_at_once(store):
    page = opened("cases", {"cases_reader": "Ann"})
    button(page, "New case").click().run()
    assert "An id, not a name" in page.text_input[1].proto.help
    page.text_input[1].set_value("S 17")
    drop(page, ("one.png", png(RED)), ("two.png", png(GREEN)), ("notes.txt", b"no picture"))
    button(page, "Read 3 files").click().run()
    shown(page)
    (summary,) = store.list()
    assert page.query_params["case"] in (summary.id, [summary.id])
    assert page.title[0].value == "S 17"
    case = store.case(summary.id)
    assert {cell.prediction.code for cell in case.cells} == {"BA", "EO"}
    assert case.decisions[0].reader == ANN
    assert "1 file not used" in [expander.label for expander in page.expander]


def test_no_case_is_made_without_a_sample_or_a_reader(store):
    page = opened("cases")
    button(page, "New case").click().run()
    drop(page, ("one.png", png(RED)))
    assert button(page, "Read 1 file").disabled
    assert "Type your name" in texts(page)
    page.text_input[0].set_value("Ann").run()
    assert not button(page, "Read 1 file").disabled
    page.text_input[1].set_value(" ").run()
    assert button(page, "Read 1 file").disabled


def test_the_list_tells_how_far_each_case_is_and_opens_it(store, case_id):
    page = opened("cases", {"cases_reader": "Ann"})
    said = texts(page)
    assert "1 alarm" in said
    assert "1 doubt" in said
    button(page, "S\\-1").click().run()
    shown(page)
    assert page.title[0].value == "S\\-1"
    button(page, "Cases").click().run()
    assert labels(page) == ["New case", "S\\-1"]


def test_an_address_of_a_case_that_is_not_there_is_told_in_a_sentence(store):
    page = visited("cases", case="f" * 32)
    assert "There is no case" in texts(page)
    button(page, "Cases").click().run()
    assert "New case" in labels(shown(page))


def test_nobody_reads_without_a_name(case_id):
    page = opened("cases", case=case_id)
    assert "Type your name" in texts(page)
    assert "Sign" not in labels(page)


def test_signing_is_refused_and_says_which_cells_stop_it_and_leads_to_them(store, case_id):
    page = reading(case_id)
    assert "2 cells must be looked at first: 1 unsure, 1 may be abnormal." in texts(page)
    button(page, "Sign").click().run()
    assert "can't be signed" in page.error[0].value
    assert store.case(case_id).state == "open"
    button(page, "Mark as reviewed").click().run()
    assert store.case(case_id).state == "open"
    button(page, "Show them").click().run()
    assert page.session_state["cases_go_to"] == ((2, 3), 1)


def test_a_reviewed_case_is_signed_reported_and_amended(store, case_id):
    store.decide(case_id, ANN, [NewDecision("assign", 2, "LY"), NewDecision("assign", 3, "BLA")])
    page = reading(case_id)
    table = page.dataframe[0].value
    assert dict(zip(table["Code"], table["Cells"], strict=True))["BLA"] == 1
    assert sum(table["Share"]) == pytest.approx(100)
    assert "1 platelet" in texts(page)
    button(page, "Mark as reviewed").click().run()
    assert store.case(case_id).state == "reviewed"
    button(page, "Sign").click().run()
    case = store.case(case_id)
    assert case.state == "signed"
    assert case.decisions[-1].reader == ANN
    page = reading(case_id)
    assert "Signed by **Ann \\(identity not verified\\)**" in texts(page)
    assert "Sign" not in labels(page)
    assert {b.label for b in page.get("download_button")} >= {"Report (HTML)", "Report (PDF)", "Cells (CSV)"}
    button(page, "Open version 2").click().run()
    assert "Say why" in page.error[0].value
    next(t for t in page.text_input if t.label == "Why").set_value("a second look")
    button(page, "Open version 2").click().run()
    assert (store.case(case_id).state, store.case(case_id).version) == ("open", 2)


def test_a_second_reader_may_be_kept_from_the_count(store, case_id):
    store.decide(case_id, ANN, [NewDecision("assign", 2, "LY")])
    page = reading(case_id, "Bob", blind="model")
    assert not page.dataframe
    assert "hidden while you read" in texts(page)
    assert "Read by Ann." in texts(page)
    page.radio[0].set_value("").run()
    assert len(page.dataframe) == 2
    assert "blind" not in page.query_params


def test_agreement_is_told_once_two_have_named_the_same_cells(store, case_id):
    store.decide(case_id, ANN, [NewDecision("assign", 2, "LY"), NewDecision("assign", 3, "LY")])
    store.decide(case_id, Reader("Bob"), [NewDecision("assign", 2, "NE"), NewDecision("assign", 3, "LY")])
    table = reading(case_id).dataframe[1].value
    rows = dict(zip(table["Who"], table["Alike"], strict=True))
    assert rows["Ann and Bob"] == pytest.approx(50)
    assert "model and readers" in rows


def test_the_record_is_checked_and_a_case_deleted_on_demand(store, case_id):
    page = reading(case_id)
    button(page, "Check the record").click().run()
    assert "as they were written down" in texts(page)
    assert button(page, "Delete for good").disabled
    page.checkbox[0].check().run()
    button(page, "Delete for good").click().run()
    assert store.list() == []
    assert "New case" in labels(page)


def test_what_classify_shows_can_be_kept_as_a_case(store):
    page = opened("classify")
    drop(page, ("one.png", png(RED)), ("two.png", png(GREEN)))
    assert "Keep and review" not in labels(page)
    page.session_state["classify_case"] = True
    page.session_state["cases_reader"] = "Ann"
    page.run()
    next(t for t in page.text_input if t.label == "Sample").set_value("S 3")
    button(page, "Keep and review").click().run()
    shown(page)
    (summary,) = store.list()
    assert (summary.sample, summary.cells) == ("S 3", 2)
    assert [picture.name for picture in store.case(summary.id).pictures] == ["one.png", "two.png"]


def test_an_exported_case_is_imported(store, case_id, tmp_path):
    store.decide(case_id, ANN, [NewDecision("assign", 2, "LY")])
    path = store.export(case_id, tmp_path / "case.zip")
    store.delete(case_id, ANN)
    page = opened("cases", {"cases_reader": "Bob", "cases_import": True})
    page.checkbox[0].check()
    drop(page, ("case.zip", path.read_bytes()))
    shown(page)
    assert page.title[0].value == "S\\-1"
    (summary,) = store.list()
    assert store.case(summary.id).readings[2].code == "LY"


def test_a_file_that_is_no_case_is_told_so(store):
    page = opened("cases", {"cases_reader": "Bob", "cases_import": True})
    drop(page, ("case.zip", b"no archive"))
    assert page.error
    assert store.list() == []
