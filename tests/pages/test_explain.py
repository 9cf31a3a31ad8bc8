"""The Explain page, driven as a visitor would: links, classes, cells, drawing options, what is missing."""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from core.formatting import markdown_text
from core.images.framing import CropWindow
from core.runs import list_runs
from dashboard.explain.maps import labelled
from dashboard.pictures import as_png
from dashboard.url_state import HandedImage
from tests.fake_runs import combined
from tests.pages.driving import ROOT, opened, texts, visited


def maps(page):
    """The lines under the maps."""
    lines = [c.value.replace("\N{NO-BREAK SPACE}", " ") for c in page.caption]
    return [line for line in lines if line.startswith(("Grad-CAM for", "Covering, for"))]


def address(page, key):
    """What the address bar holds for ``key``."""
    value = page.query_params.get(key)
    return value[0] if isinstance(value, list) else value


def name_of(runs, model):
    return next(run.name for run in runs if run.model == model)


@pytest.fixture
def untrained(tiny_runs, tmp_path, monkeypatch):
    """A function (model, **arguments) that writes an untrained run beside copies of the two tiny runs."""
    from core.models import build, get_model
    from core.models.export import export_graph, round_to_stored, stored_tensors
    from core.runs import write_run

    root = tmp_path / "pretrained"
    shutil.copytree(tiny_runs[0].path.parent, root / "synthetic")
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(root))
    like = tiny_runs[0]

    def make(model, **arguments):
        network = build(model, 8, 28, **arguments).eval()
        round_to_stored(network)
        config = {
            **like.config,
            "name": f"{model}-28-000000",
            "train": {**like.config["train"], "model": model, "model_arguments": arguments},
            "model": {**like.config["model"], "name": model, "title": get_model(model).title},
        }
        return write_run(
            root,
            f"{model}-28-000000",
            config=config,
            metrics=like.metrics,
            history=[{"epoch": 1}],
            predictions={split: like.predictions(split) for split in ("val", "test")},
            weights=stored_tensors(network),
            gate_means={},
            export=lambda graph, weights: export_graph(network, 28, graph, weights),
        )

    return make


@pytest.fixture
def plain_run(untrained):
    """A CNN without attention and untrained, beside copies of the two tiny runs."""
    return untrained("cnn_2", width=4)


def test_first_view_shows_a_cell_and_both_models(tiny_runs):
    page = opened("explain", dataset="synthetic")
    said = texts(page)
    assert "drawn, not real" in said
    assert len(maps(page)) == 2
    assert all("7 x 7 map, enlarged" in line for line in maps(page))
    assert "It can't tell whether the answer is right" in said
    assert "has no attention" not in said
    assert len(page.get("plotly_chart")) == 2
    # Only CBAM has spatial maps: five stages, each with its true resolution.
    assert [said.count(f"stage {i} · ") for i in range(1, 6)] == [1] * 5
    assert "stage 1 · 28 x 28 map, enlarged" in said
    # The address opens this very view.
    assert address(page, "class") == "answer"
    assert address(page, "cell") == "BA drawn 1"
    assert set(address(page, "models").split(",")) == {run.name for run in tiny_runs}
    assert address(page, "dataset") == "synthetic"


def test_runner_up_and_any_class_in_one_click(tiny_runs):
    page = opened("explain", dataset="synthetic")
    first = maps(page)
    page.button_group(key="class").set_value("runner-up").run()
    second = maps(page)
    assert [a.split(",")[0] != b.split(",")[0] for a, b in zip(first, second, strict=True)] == [True, True]
    page.button_group(key="class").set_value("PLT").run()
    assert all(line.startswith("Grad-CAM for PLT, platelet") for line in maps(page))
    assert address(page, "class") == "PLT"
    assert "against PLT" in texts(page)


def test_a_link_opens_its_view(tiny_runs):
    cbam = name_of(tiny_runs, "cnn_cbam")
    page = opened("explain", dataset="synthetic", models=cbam, cell="EO drawn 3", **{"class": "LY"})
    assert any(c.value.startswith("EO drawn 3 ·") for c in page.caption)
    assert len(maps(page)) == 1
    assert maps(page)[0].startswith("Grad-CAM for LY")
    assert not page.info


def test_a_link_to_what_is_not_there_says_so_and_shows_the_nearest(tiny_runs):
    page = opened("explain", dataset="synthetic", models="cnn_sea-28-zzzzzz", cell="EO drawn 77", **{"class": "EOS"})
    told = "\n".join(i.value for i in page.info)
    assert told.count("This link asks for a") == 3
    for wanted in ("cnn_sea-28-zzzzzz", "EO drawn 77", "EOS"):
        assert f"'{markdown_text(wanted)}'" in told
    assert address(page, "models") == name_of(tiny_runs, "cnn_se")
    assert len(maps(page)) == 1


def test_drawing_options_compute_nothing_anew(tiny_runs, monkeypatch):
    page = opened("explain", dataset="synthetic")

    def fail(*_args, **_options):
        raise AssertionError("computed again")

    monkeypatch.setattr("core.explain.gradcam.grad_cam", fail)
    monkeypatch.setattr("core.explain.gates.image_gates", fail)
    before = [i.value for i in page.get("image")]
    page.number_input(key="opacity").set_value(20)
    page.selectbox(key="colours").set_value("magma")
    page.button_group(key="enlarge").set_value("True resolution")
    page.run()
    assert not page.exception
    after = [i.value for i in page.get("image")]
    assert len(after) == len(before)
    assert after[0] == before[0]  # the cell itself
    assert all(a != b for a, b in zip(after[1:], before[1:], strict=True))


def test_an_earlier_map_is_finer_and_says_so(tiny_runs):
    page = opened("explain", dataset="synthetic")
    page.button_group(key="detail").set_value("One stage earlier").run()
    assert all("14 x 14 map, enlarged · an earlier, finer stage" in line for line in maps(page))


def test_next_steps_through_the_samples(tiny_runs):
    page = opened("explain", dataset="synthetic")
    page.button(key="explain_next").click().run()
    assert address(page, "cell") == "BA drawn 2"
    assert "BA drawn 2" in texts(page)


def test_a_cell_from_classify_is_shown_and_left_again(tiny_runs):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 44, 3), dtype=np.uint8)
    page = opened("explain", {"_handed_image": HandedImage("my *cell*.png", pixels)}, dataset="synthetic")
    assert r"my \*cell\*\.png" in texts(page)
    assert "central square of 40 px" in texts(page)
    assert "cell" not in page.query_params
    page.button_group(key="class").set_value("MO").run()
    assert r"my \*cell\*\.png" in texts(page)  # it stays while one looks at it
    page.button(key="explain_next").click().run()
    assert address(page, "cell") == "BA drawn 1"


def test_a_cell_from_classify_is_seen_as_it_was_framed_there(tiny_runs):
    pixels = np.random.default_rng(0).integers(0, 256, (200, 220, 3), dtype=np.uint8)
    page = opened(
        "explain",
        {"_handed_image": HandedImage("far.png", pixels, None, CropWindow(side=90, searched=True))},
        dataset="synthetic",
    )
    assert "No white cell was found here. 90 x 90 px in the middle were used." in texts(page)


def test_own_picture_and_one_that_cannot_be_read(tiny_runs):
    page = opened("explain", {"explain_choose": True}, dataset="synthetic")  # the popover stands open
    assert {b.label for b in page.button} >= {"BA", "PLT"}
    buffer = io.BytesIO()
    Image.new("RGB", (50, 50), (180, 120, 200)).save(buffer, "PNG")
    page.file_uploader[0].upload("mine.png", buffer.getvalue()).run()
    assert not page.exception
    assert r"mine\.png · your picture" in texts(page)
    assert "cell" not in page.query_params
    page.file_uploader[0].upload("notes.png", b"hello, I am text").run()
    assert not page.exception
    assert any("text" in e.value for e in page.error)
    assert r"mine\.png" in texts(page)  # the last good picture stays


def test_a_model_without_attention_says_so_plainly(plain_run):
    page = opened("explain", dataset="synthetic", models=plain_run.name)
    assert "CNN, 2 layers, 28 px has no attention blocks: no gates to show." in texts(page)
    assert not page.get("plotly_chart")
    assert len(maps(page)) == 1


def test_three_models_of_two_kinds_side_by_side(plain_run):
    page = opened("explain", dataset="synthetic")
    assert len(maps(page)) == 3
    assert len(page.get("plotly_chart")) == 2


def test_a_network_that_sees_no_places_is_covered(untrained):
    page = opened("explain", dataset="synthetic", models=untrained("fcnn", width=16).name)
    (line,) = maps(page)
    assert line.startswith("Covering, for")
    assert "10 x 10 map, enlarged" in line
    assert "It reads all pixels at once" in line
    assert "Covering shows without which place" in texts(page)
    assert "Grad-CAM shows where" not in texts(page)


def test_a_network_that_reads_rows_shows_bands(untrained):
    page = opened("explain", dataset="synthetic", models=untrained("lstm", width=8).name)
    (line,) = maps(page)
    assert line.startswith("Grad-CAM for")
    assert "28 x 1 map" in line
    assert "nothing in this" in line or "a band for each step of reading" in line


def test_covering_can_be_asked_of_every_model_and_computes_once(tiny_runs, monkeypatch):
    page = opened("explain", dataset="synthetic")
    page.button_group(key="map").set_value("Covering").run()
    assert not page.exception
    assert [line.startswith("Covering, for") for line in maps(page)] == [True, True]
    assert "there is no map inside it" not in texts(page)

    def fail(*_args, **_options):
        raise AssertionError("computed again")

    monkeypatch.setattr("dashboard.explain.occlusion", fail)
    page.number_input(key="opacity").set_value(20).run()
    assert not page.exception
    assert len(maps(page)) == 2


def test_trees_show_places_and_what_they_rest_on(plain_run):
    config = json.loads((plain_run.path / "config.json").read_text())
    (plain_run.path / "config.json").write_text(json.dumps(config | {"kind": "classical"}))
    found = {"features": ["mean red", "contrast"], "groups": ["Colour", "Texture"], "importance": [0.2, 0.1]}
    found |= {"group_importance": {"Colour": 0.3, "Texture": 0.1}, "split": "val", "images": 320}
    (plain_run.path / "importances.json").write_text(json.dumps(found))
    page = opened("explain", dataset="synthetic", models=plain_run.name)
    (line,) = maps(page)
    assert "It decides by features of the whole picture" in line
    said = texts(page)
    assert "Features: what CNN, 2 layers, 28 px rests on" in said
    assert "Measured over 320 cells of val" in said
    assert "Channel gates" not in said
    assert len(page.get("plotly_chart")) == 1


def test_a_combination_offers_its_members_and_is_covered_when_asked(plain_run, tiny_runs):
    run = combined(plain_run, [r for r in list_runs() if r.name != plain_run.name], views=8)
    page = opened("explain", dataset="synthetic", models=run.name)
    assert not maps(page)
    assert "It averages the answers of 2 models to 8 views and has no map of its own." in texts(page)
    page.button(key=f"cover-{run.name}").click().run()
    assert not page.exception
    assert maps(page)[0].startswith("Covering, for")
    page.button(key=f"members-{run.name}").click().run()
    assert not page.exception
    assert set(address(page, "models").split(",")) == {r.name for r in tiny_runs}
    assert all(line.startswith("Grad-CAM for") for line in maps(page))


def test_damaged_weights_are_told_and_the_others_still_drawn(plain_run):
    (plain_run.path / "weights.safetensors").write_bytes((plain_run.path.parent / "x").name.encode())
    page = visited("explain", dataset="synthetic")
    assert len(maps(page)) == 2
    assert page.warning or page.error


def test_no_model_chosen_and_no_model_installed(tiny_runs, tmp_path, monkeypatch):
    page = opened("explain", dataset="synthetic")
    page.multiselect(key="models").set_value([]).run()
    assert "Choose a model above" in page.info[0].value
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path / "empty"))
    page = opened("explain", dataset="synthetic")
    assert "No model for" in page.info[0].value
    assert "python -m core train --dataset synthetic" in page.info[0].value


def test_every_map_can_be_kept_as_a_png(tiny_runs):
    page = opened("explain", dataset="synthetic")
    buttons = page.get("download_button")
    assert len(buttons) == 2 + 5
    kept = as_png(labelled(np.zeros((64, 64, 3), np.uint8), ["CNN + SE, 28 px: BA", "8 x 8 map"]))
    picture = Image.open(io.BytesIO(kept))
    assert picture.format == "PNG"
    assert picture.height > picture.width == 640


def test_the_frame_of_the_page_needs_no_torch():
    code = (
        "import sys, dashboard.explain, dashboard.explain.gates, dashboard.explain.selected_cell\n"
        "sys.exit('torch' in sys.modules or 'captum' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
