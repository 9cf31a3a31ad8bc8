"""The address bar and the session agree, whoever changed last."""

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.url_state import nearest, not_there


def page() -> None:
    import streamlit as st

    from dashboard.url_state import prepare, share

    notice = prepare("size", ["28", "64"], "64", what="image size")
    if notice:
        st.info(notice)
    st.selectbox("Size", ["28", "64"], key="size")
    share("size")
    notice = prepare("runs", ["a", "b", "c"], ["a"], what="run", many=True, most=2)
    if notice:
        st.warning(notice)
    st.multiselect("Runs", ["a", "b", "c"], key="runs")
    share("runs")


@pytest.fixture
def app() -> AppTest:
    return AppTest.from_function(page, default_timeout=60)


def test_without_a_link_the_default_shows_and_is_shared(app):
    app.run()
    assert app.selectbox[0].value == "64"
    assert app.query_params["size"] == "64"
    assert app.query_params["runs"] == "a"
    assert not app.info
    assert not app.warning


def test_a_link_opens_its_view(app):
    app.query_params["size"] = "28"
    app.query_params["runs"] = "c,b"
    app.run()
    assert app.selectbox[0].value == "28"
    assert app.multiselect[0].value == ["c", "b"]
    assert not app.info


def test_a_link_to_more_than_may_be_chosen_opens_the_first(app):
    app.query_params["runs"] = "c,b,c,a,x"
    app.run()
    assert app.multiselect[0].value == ["c", "b"]
    assert "first 2 of the runs" in app.warning[0].value
    assert app.query_params["runs"] == "c,b"


def test_a_change_goes_into_the_address(app):
    app.run()
    app.selectbox[0].set_value("28").run()
    app.multiselect[0].set_value(["a", "c"]).run()
    assert app.query_params["size"] == "28"
    assert app.query_params["runs"] == "a,c"
    app.multiselect[0].set_value([]).run()
    assert "runs" not in app.query_params
    assert app.multiselect[0].value == []


def test_a_link_to_what_is_not_there_says_so_and_shows_the_nearest(app):
    app.query_params["size"] = "66"
    app.query_params["runs"] = "b,zz"
    app.run()
    assert app.selectbox[0].value == "64"
    assert "'66'" in app.info[0].value
    assert "64" in app.info[0].value
    assert app.multiselect[0].value[0] == "b"
    assert "'zz'" in app.warning[0].value
    app.run()
    assert not app.info, "told once: the address is right now"


def test_a_new_link_in_the_same_session_decides(app):
    app.run()
    app.selectbox[0].set_value("28").run()
    app.query_params["size"] = "64"
    app.run()
    assert app.selectbox[0].value == "64"


def test_nearest():
    assert nearest("cnn_se-64-aaa", ["resnet-64-bbb", "cnn_se-64-bbb"]) == "cnn_se-64-bbb"
    assert nearest("?", ["a"]) == "a"
    assert nearest("a", []) is None


def test_the_sentence_survives_odd_links():
    assert "none to show" in not_there("run", ["x"], None)
    assert len(not_there("run", ["x" * 5000], "a")) < 200
    assert len(not_there("run", ["x" * 50] * 5000, "a")) < 500
    assert "\\[x\\]\\(http" in not_there("run", ["![x](http://foreign.example/a.png)"], "a")
