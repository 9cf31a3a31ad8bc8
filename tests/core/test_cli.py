"""The command line as a whole: what it took in former versions it takes still, without showing it."""

import pytest

from core.cli import build_parser, main


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["train", "--start", "a-run"], "warm_start", "a-run"),
        (["train", "--teacher", "a,b", "--teaching", "0.5"], "distill_alpha", 0.5),
        (["train", "--beside", "bone_marrow"], "auxiliary", "bone_marrow"),
        (["train", "--beside", "bone_marrow", "--beside-share", "0.1"], "auxiliary_fraction", 0.1),
        (["train"], "warm_start", None),
        (["combine", "a", "--views", "1"], "tta", 1),
        (["combine", "a"], "tta", 8),
        (["combine", "--best", "3"], "select", 3),
    ],
)
def test_former_options_mean_what_they_meant(words: list[str], name: str, value: object) -> None:
    assert getattr(build_parser().parse_args(words), name) == value


@pytest.mark.parametrize("words", [["guard", "no-such-run"], ["lab", "anchors", "no-such-run"]])
def test_former_commands_run_the_current_ones(words: list[str], capsys) -> None:
    assert main(words) == 1
    assert "no run is called 'no-such-run'" in capsys.readouterr().err


def test_help_shows_current_names_only(capsys) -> None:
    for words in (["--help"], ["train", "--help"], ["combine", "--help"], ["lab", "--help"]):
        with pytest.raises(SystemExit):
            main(words)
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("ood", "--warm-start", "--auxiliary-fraction", "--tta", "exemplars"))
    assert not any(word in shown for word in ("guard", "--start", "--teacher", "--beside", "--views", "anchors"))


def test_a_folder_that_can_not_be_made_is_one_line(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("HEMALENS_CASES", str(tmp_path / "file" / "cases"))
    (tmp_path / "file").write_text("")
    assert main(["cases", "list"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert str(tmp_path / "file") in err
    assert len(err.splitlines()) == 1
