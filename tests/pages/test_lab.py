"""The page 'Your lab', driven as a visitor would: pictures, scale, questions, profiles."""

import subprocess
import sys

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.adaptation import profile as profiles
from core.adaptation.active import NOT_A_CELL
from core.adaptation.profile import find_profile, predictor_for
from core.formatting import percent
from core.images.cell_check import CellCheck
from core.inference.predictor import Predictor
from tests.pages.driving import PAGES, TIMEOUT, drop, opened, png, texts

pytestmark = pytest.mark.usefixtures("any_picture_is_a_cell")

RED, GREEN, BLUE = (255, 60, 60), (60, 255, 60), (60, 60, 255)  # BA, EO and ERB to the stub model
TRUTH = ("LY", "NE", "EO")  # what the person says they are
CODES = ("BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT")
NAMES = {"LY": "LY  lymphocyte", "NE": "NE  neutrophil", "EO": "EO  eosinophil"}


def cell(i):
    """A red, a green and a blue one in turn, each in a shade of its own."""
    return f"{i:03d}.png", png(tuple(c - 2 * (i % 20) for c in (RED, GREEN, BLUE)[i % 3]), i)


def batch(count=30):
    return [cell(i) for i in range(count)]


@pytest.fixture(autouse=True)
def cells_by_colour(monkeypatch, any_picture_is_a_cell):
    """Coloured squares stand for cells, but black ones are fields."""

    def check(pictures, crops, spec):
        return [CellCheck("cell" if picture.pixels[-1, -1].any() else "field", 1.0) for picture in pictures]

    monkeypatch.setattr("core.adaptation.head.check_pictures", check)


@pytest.fixture
def page(run):
    return opened("lab")


def button(page, label):
    return next(b for b in page.button if b.label == label)


def click(page, label):
    button(page, label).click().run()
    assert not page.exception
    return page


def lab(page):
    return page.session_state["labs"]["bloodmnist"]


def go(page, step):
    lab(page).step = step
    page.run()
    assert not page.exception
    return page


def truth(page):
    """What the person says of the cell in focus."""
    here = lab(page)
    return TRUTH[int(here.session.cells[here.ids[here.focused()]].name[:3]) % 3]


def teach(page, count):
    for _ in range(count):
        click(page, NAMES[truth(page)])
    return page


@pytest.fixture
def taught(page):
    drop(page, *batch())
    here = lab(page)
    while here.asked < 25:
        here.answer(here.focused(), CODES.index(truth(page)))
    return go(page, "teach")


def test_before_anything_there_are_the_promise_a_drop_zone_and_no_laboratory(page):
    assert not page.exception
    said = texts(page)
    assert "Drop 50 or more of your cells" in said
    assert "never leave this computer" in said
    assert "None yet" in said
    assert "Try it with 100 drawn cells" in [b.label for b in page.button]


def test_pictures_lead_to_the_scale(page):
    drop(page, *batch())
    said = texts(page)
    assert "**30 cells**" in said
    assert "With 50 or more it learns better" in said
    assert "framed as they were" in said
    assert lab(page).step == "scale"


def test_bad_files_are_listed_and_the_others_read(page):
    drop(page, *batch(12), ("notes.png", b"a text " * 50), ("cut.png", png(RED)[:300]))
    assert "**12 cells**" in texts(page)
    assert page.dataframe[0].value["File"].tolist() == ["notes.png", "cut.png"]


def test_only_bad_files_leave_the_samples_in_reach(page):
    drop(page, *[("notes.png", b"a text " * 50)])
    assert "None of the files could be used" in texts(page)
    assert button(page, "Try it with 100 drawn cells")


def test_a_square_by_hand_is_tried_then_used(page):
    drop(page, *batch(12))
    before = lab(page).learner
    page.number_input(key="lab_side").set_value(120).run()
    assert lab(page).learner is before  # only shown so far
    page.number_input(key="lab_um").set_value(0.2).run()
    assert page.number_input(key="lab_side").value == 100
    assert lab(page).learner is before
    page.number_input(key="lab_side").set_value(120).run()
    assert page.number_input(key="lab_um").value == pytest.approx(1 / 6)
    click(page, "Use this square")
    assert lab(page).learner.cells.scale.side == 120
    assert "120 px of each picture" in texts(page)
    click(page, "As measured")
    assert lab(page).learner.cells.scale.side is None


def test_classes_that_cannot_occur_are_hardly_named(page, run):
    drop(page, *batch(12))
    assert lab(page).learner.present_classes.all()
    page.get("button_group")[1].set_value(["EO", "LY", "NE"]).run()
    assert not page.exception
    assert [code for code, there in zip(run.codes, lab(page).learner.present_classes, strict=True) if there] == [
        "EO",
        "LY",
        "NE",
    ]
    assert page.get("button_group")[1].value == ["EO", "LY", "NE"]


def test_the_specimen_stands_beside_counts_and_another_reads_no_picture_again(page, monkeypatch):
    assert page.selectbox(key="lab_specimen").value == "blood"
    drop(page, *batch(12))
    click(page, "Next: adapt")
    before = lab(page).probabilities
    assert "Weighed as blood of an adult." in texts(page)
    monkeypatch.setattr("dashboard.lab.encode_pictures", None)  # which would fail if it were asked
    page.selectbox(key="lab_specimen").set_value("any").run()
    assert not page.exception
    assert lab(page).learner.specimen.key == "any"
    assert not np.allclose(lab(page).probabilities, before)
    assert "Weighed as" not in texts(page)


def test_a_link_says_the_specimen_once(run):
    page = opened("lab", specimen="newborn")
    assert page.selectbox(key="lab_specimen").value == "newborn"
    page.selectbox(key="lab_specimen").set_value("any").run()
    assert page.selectbox(key="lab_specimen").value == "any"
    page = opened("lab", specimen="rubbish")
    assert page.selectbox(key="lab_specimen").value == "blood"
    assert "specimen that isn't here: 'rubbish'" in texts(page)


def test_a_profile_keeps_the_specimen(taught):
    taught.selectbox(key="lab_specimen").set_value("child").run()
    assert "Weighed as blood of a child." in texts(taught) + taught.get("progress")[0].proto.text
    go(taught, "use")
    click(taught, "Keep this laboratory")
    assert find_profile("My laboratory").specimen == "child"
    assert "30 cells, blood of a child" in texts(taught)


def test_before_teaching_counts_map_and_doubt_are_shown(page):
    drop(page, *batch(12))
    click(page, "Next: adapt")
    assert len(page.get("plotly_chart")) == 2
    assert "Most in doubt" in texts(page)
    click(page, "Next: teach")
    assert lab(page).step == "teach"


def test_ten_questions_stand_on_the_first_screen_with_the_models_guess(page):
    drop(page, *batch())
    go(page, "teach")
    here = lab(page)
    assert len(here.round().cells) == 10
    assert "The model says **" in texts(page)
    guess = here.round().probabilities[here.focused()].argmax()
    assert guess in (0, 1, 2)
    shortcuts = [b for b in page.button if b.key and b.key.startswith("lab_answer_")]
    assert len(shortcuts) == 10


def test_answers_go_on_to_the_next_cell_and_are_counted(page):
    drop(page, *batch())
    go(page, "teach")
    first = lab(page).focused()
    teach(page, 3)
    assert lab(page).focused() != first
    assert lab(page).asked == 3
    assert page.get("progress")[0].proto.text.startswith("**3 of 25 answers.**")
    given = list(lab(page).answers.values())
    assert f"**LY** lymphocytes {given.count(4)} of 5" in texts(page)


def test_a_guess_is_confirmed_by_one_click_and_an_answer_can_be_changed(page):
    drop(page, *batch())
    go(page, "teach")
    last = lab(page).round().cells[-1]
    next(b for b in page.button if b.key == f"lab_confirm_{last}").click().run()
    guess = int(lab(page).round().probabilities[last].argmax())
    assert lab(page).answers == {last: guess}
    next(b for b in page.button if b.key == f"lab_open_{last}").click().run()
    assert lab(page).focused() == last
    click(page, "Not a cell")
    assert lab(page).answers == {last: NOT_A_CELL}
    assert not len(lab(page).learner.labelled[0])
    assert lab(page).asked == 1


def test_undo_asks_again_also_over_the_end_of_a_screen(page):
    drop(page, *batch())
    go(page, "teach")
    teach(page, 10)
    assert len(lab(page).rounds) == 2
    last = lab(page).ids.index(lab(page).answered_by_hand[-1])
    click(page, "Undo")
    assert lab(page).asked == 9
    assert lab(page).focused() == last
    assert len(lab(page).rounds) == 1
    for _ in range(9):
        click(page, "Undo")
    assert lab(page).answers == {}
    assert button(page, "Undo").disabled


def test_25_answers_teach_what_the_model_did_not_know(taught):
    here = lab(taught)
    assert here.asked == 25
    assert "25 answers given: it is yours" in texts(taught)
    said = [CODES[k] for k in here.learner.posterior.argmax(1)]
    names = [int(here.session.cells[i].name[:3]) for i in here.ids]
    assert said == [TRUTH[n % 3] for n in names]
    assert here.estimate.after > here.estimate.before + 0.5
    click(taught, "Answer five more")
    assert len(lab(taught).round().cells) == 5


def test_what_was_taught_is_shown_kept_and_listed(taught):
    click(taught, "See what they changed")
    said = texts(taught)
    assert "answers changed" in said
    assert [m.label for m in taught.metric] == ["Right before", "Right now"]
    taught.text_input[0].set_value("Ward 5").run()
    click(taught, "Keep this laboratory")
    kept = profiles.find_profile("Ward 5")
    assert sum(kept.labelled.values()) == 25
    assert kept.cells == 30
    assert "**Ward 5** · 25 named by you; of the other 5 about" in texts(taught)
    assert lab(taught).saved_profile.name == "Ward 5"


def test_a_name_that_cannot_be_is_told(taught):
    click(taught, "See what they changed")
    taught.text_input[0].set_value("../x").run()
    click(taught, "Keep this laboratory")
    assert "can't be called" in texts(taught)
    assert not profiles.list_profiles()


def test_another_laboratorys_name_is_not_taken_from_it(taught, run):
    lab(taught).save_profile("My laboratory", run)
    lab(taught).saved_profile = None  # as another visitor, or after beginning anew
    assert lab(taught).free_name() == "My laboratory 2"
    go(taught, "use")
    taught.text_input[0].set_value("My laboratory").run()
    click(taught, "Keep this laboratory")
    assert "called 'My laboratory' already" in texts(taught)
    taught.text_input[0].set_value("").run()
    click(taught, "Keep this laboratory")
    assert {p.name for p in profiles.list_profiles()} == {"My laboratory", "My laboratory 2"}
    click(taught, "Keep this laboratory")  # the same one again, after more answers
    assert len(profiles.list_profiles()) == 2


def test_a_laboratory_is_deleted_after_a_second_question(taught, run):
    lab(taught).save_profile("Ward 5", run)
    go(taught, "use")
    click(taught, "Delete")
    click(taught, "Keep it")
    assert profiles.list_profiles()
    click(taught, "Delete")
    click(taught, "Yes, delete it")
    assert not profiles.list_profiles()
    assert "None yet" in texts(taught)


def test_a_laboratory_comes_from_another_computer(taught, run, tmp_path):
    lab(taught).save_profile("Ward 5", run)
    data = profiles.profile_path("Ward 5").read_bytes()
    profiles.delete_profile("Ward 5")
    page = opened("lab")
    page.file_uploader[-1].upload("ward.safetensors", data)
    page.run()
    assert not page.exception
    assert "Ward 5 is here now" in texts(page)
    assert [p.name for p in profiles.list_profiles()] == ["Ward 5"]
    page.file_uploader[-1].upload("ward.safetensors", b"nothing of the kind")
    page.run()
    assert "ward.safetensors is no profile" in texts(page)


def test_labels_in_a_table_are_answers(page):
    files = batch()
    table = "file,label,slide\n" + "".join(
        f"images/{n},{TRUTH[int(n[:3]) % 3].lower()},{n[2]}\n" for n, _ in files[:20]
    )
    drop(page, *files, ("labels.csv", (table + "none.png,blast,1\n").encode()))
    said = texts(page)
    assert "names the class of 20 pictures" in said
    assert "No class is called 'blast'" in said
    assert "20 are labelled already" in said
    here = lab(page)
    assert len(here.learner.labelled[0]) == 20
    assert here.learner.cells.groups is not None
    assert here.asked == 0
    go(page, "use")
    assert [m.label for m in page.metric] == ["Right before", "Right now"]


def test_everything_stays_when_one_comes_back(taught):
    before = lab(taught).learner
    taught.run()
    assert lab(taught).learner is before
    assert lab(taught).step == "teach"


def test_more_pictures_keep_the_answers(taught):
    said = {lab(taught).ids[cell]: answer for cell, answer in lab(taught).answers.items()}
    drop(taught, *(cell(i) for i in range(30, 40)))
    here = lab(taught)
    assert len(here.learner.cells) == 40
    assert {here.ids[cell]: answer for cell, answer in here.answers.items()} == said
    assert here.asked == 25


def test_one_can_begin_anew(taught):
    click(taught, "Yes, begin anew")
    assert "Drop 50 or more" in texts(taught)
    assert not taught.metric
    assert button(taught, "Try it with 100 drawn cells")


def test_no_network_yet(tmp_path, monkeypatch):
    for name in ("HEMALENS_PRETRAINED", "HEMALENS_CACHE", "HEMALENS_DATA"):
        monkeypatch.setenv(name, str(tmp_path / name))
    page = opened("lab")
    assert not page.exception
    assert "no network is installed" in texts(page)


def test_a_kept_laboratory_answers_on_classify_until_none_does(taught, run):
    lab(taught).save_profile("Ward 5", run)
    page = AppTest.from_file(str(PAGES / "classify.py"), default_timeout=TIMEOUT)
    page.query_params["profile"] = "Ward 5"
    page.run()
    assert not page.exception
    assert "Answers as taught by your laboratory **Ward 5**: 25 named by you; of the other 5 about" in texts(page)
    drop(page, *batch(3))
    assert "taught by Ward 5" in page.header[0].help
    assert set(page.dataframe[1].value["Class"].str[:2]) == set(TRUTH)
    click(page, "Back to none")
    assert "Ward 5" not in texts(page)
    assert "profile" not in page.query_params
    assert set(page.dataframe[1].value["Class"].str[:3].str.strip()) == {"BA", "EO", "ERB"}


def test_a_link_to_a_laboratory_that_is_gone_is_told(taught, run):
    lab(taught).save_profile("Ward 5", run)
    page = AppTest.from_file(str(PAGES / "classify.py"), default_timeout=TIMEOUT)
    page.query_params["profile"] = "Ward 6"
    page.run()
    assert not page.exception
    assert "'Ward 6'" in texts(page)


def test_the_page_does_not_import_torch(run):
    script = (
        "import sys; from streamlit.testing.v1 import AppTest;"
        f"page = AppTest.from_file({str(PAGES / 'lab.py')!r}, default_timeout={TIMEOUT}).run();"
        "assert not page.exception and page.title;"
        "print([m for m in ('torch', 'torchvision', 'captum', 'medmnist') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=TIMEOUT, cwd=PAGES.parent
    )
    assert found.stdout.strip() == "[]", found.stdout + found.stderr


def test_explain_answers_as_classify_does_with_a_taught_profile(taught, run, monkeypatch):
    lab(taught).save_profile("Ward 5", run)
    classify = opened("classify", profile="Ward 5")
    drop(classify, cell(1))
    session = classify.session_state["classify_trays"]["bloodmnist"]
    there = session.results([predictor_for(find_profile("Ward 5"))])[0].lead
    click(classify, "Explain this cell")
    state = {key: classify.session_state[key] for key in ("_handed_image", "classify_trays", "_kept")}
    monkeypatch.setattr("dashboard.explain.stage_gates", lambda _explanation: [])  # this run has no layers to read
    explain = opened("explain", state | {"map": "Covering"})
    (here,) = (kept for key, kept in explain.session_state["_explain_maps"].items() if key[0] == "answer")
    assert here.window == there.window
    assert (here.evidence.probabilities == there.evidence.probabilities).all()
    code = CODES[there.predicted]
    assert classify.subheader[0].value.startswith(f"{code}  ")
    said = texts(explain)
    assert f"**Stub, 64 px, as taught by Ward 5**: {code}, {percent(there.confidence)}, {there.verdict.word}" in said
    assert "Answers as taught by your laboratory **Ward 5**" in said
    assert "Grad-CAM and gates are those of the model beneath" in said
    plain = Predictor(run).predict_crops(there.crop.pixels[None]).probabilities[0]
    assert plain.argmax() != there.predicted  # the model as it is says something else


def fields(count):
    return [(f"field {i}.png", png((0, 0, 0), 100 + i)) for i in range(count)]


def test_what_is_no_cell_is_left_out_and_named(page):
    drop(page, *batch(6), *fields(2))
    assert [w.value for w in page.warning] == ["2 of 8 pictures are no cells: left out."]
    assert "field 1.png**: This is a whole microscope field" in texts(page).replace("\\", "")
    assert len(lab(page).learner.cells) == len(lab(page).ids) == 6


def test_fields_alone_are_not_taught(page):
    drop(page, *fields(3))
    assert "nothing to teach" in page.error[0].value
    assert not lab(page).can_learn
    click(page, "Yes, begin anew")
    assert not page.error
