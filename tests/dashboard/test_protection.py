"""Who gets in: by name, by token, and what pages may fetch; nothing is served to others by mistake."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from dashboard import protection
from dashboard.protection import POLICY, Protection, is_local, is_open

TOKEN = "right-token"


async def _page(request):
    return PlainTextResponse("inside")


async def _socket(websocket):
    await websocket.accept()
    await websocket.close()


PAGES = Starlette(
    routes=[Route("/{path:path}", _page, methods=["GET", "POST"]), WebSocketRoute("/_stcore/stream", _socket)]
)


def ask(guard, path="/", *, kind="http", query="", host: str | None = "localhost:8501", cookie="", hosts=()):
    """All messages that the guarded server sends."""
    headers = [(b"host", name.encode("latin-1")) for name in ([host] if host is not None else []) + list(hosts)]
    headers += [(b"cookie", cookie.encode())] if cookie else []
    scope = {
        "type": kind,
        "method": "GET",
        "scheme": "http",
        "path": path,
        "root_path": "",
        "query_string": query.encode(),
        "headers": headers,
        "server": ("127.0.0.1", 8501),
        "subprotocols": [],
    }
    sent = []

    async def receive():
        return {"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    with ThreadPoolExecutor(1) as thread:  # a browser of other tests may have left its event loop in this one
        thread.submit(asyncio.run, guard(scope, receive, send)).result()
    return sent


def status(guard, *path, **asked):
    return ask(guard, *path, **asked)[0]["status"]


def headers(sent):
    return {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize("host", ["localhost", "localhost:8501", "127.0.0.1:1", "[::1]:8501", "LOCALHOST.", "lab.org"])
def test_names_of_this_server_are_answered(host):
    guard = Protection(PAGES, "127.0.0.1", ["lab.org"])
    assert status(guard, host=host) == 200
    assert ask(guard, "/_stcore/stream", kind="websocket", host=host)[0]["type"] == "websocket.accept"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.example:8501",
        "localhost:x",
        "a@localhost",
        "localhost/x",
        "",
        None,
    ]
    + ["127.0.0.1.nip.io", "localhost?x", "[::1", "lab.org#"],
)
def test_other_names_are_refused_so_that_no_foreign_page_gets_in(host):
    guard = Protection(PAGES, "127.0.0.1", ["lab.org"])
    assert status(guard, host=host) == 421
    assert ask(guard, "/_stcore/stream", kind="websocket", host=host) == [{"type": "websocket.close", "code": 1008}]
    assert status(guard, hosts=["evil.example"]) == 421  # two names in one request


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "", None])
def test_a_server_for_all_addresses_is_open_to_those_with_the_token_alone(address):
    guard = Protection(PAGES, address, [], TOKEN)
    for path in ("/", "/classify", "/media/x", "/_stcore/upload_file/1/2"):
        sent = ask(guard, path, host="10.0.0.7:8501")
        assert sent[0]["status"] == 401
        assert b"inside" not in b"".join(message.get("body", b"") for message in sent)
    for cookie in ("", "hemalens_token=", "hemalens_token=wrong", "other=right-token"):
        refused = ask(guard, "/_stcore/stream", kind="websocket", cookie=cookie)
        assert refused == [{"type": "websocket.close", "code": 1008}]
    assert status(guard, query="token=wrong") == 401
    assert status(guard, "/_stcore/health") == 200
    cookie = f"hemalens_token={TOKEN}"
    assert status(guard, "/classify", cookie=cookie) == 200
    assert ask(guard, "/_stcore/stream", kind="websocket", cookie=cookie)[0]["type"] == "websocket.accept"


def test_the_token_in_an_address_becomes_a_cookie_that_scripts_can_not_read():
    guard = Protection(PAGES, "0.0.0.0", [], TOKEN)
    sent = ask(guard, "/classify", query=f"dataset=bloodmnist&token={TOKEN}&view=wall")
    told = headers(sent)
    assert (sent[0]["status"], told["location"]) == (303, "/classify?dataset=bloodmnist&view=wall")
    assert TOKEN in told["set-cookie"]
    assert "httponly" in told["set-cookie"].lower()
    assert headers(ask(guard, "//evil.example/x", query=f"token={TOKEN}"))["location"] == "/evil.example/x"


def test_pages_may_fetch_from_their_own_server_alone():
    told = headers(ask(Protection(PAGES, "127.0.0.1")))
    assert told["content-security-policy"] == POLICY
    assert told["x-content-type-options"] == "nosniff"
    sources = [source for part in POLICY.split("; ") for source in part.split()[1:]]
    assert set(sources) <= {"'self'", "'unsafe-inline'", "'wasm-unsafe-eval'", "'none'", "data:", "blob:"}


def test_what_is_this_computers_alone():
    assert all(map(is_local, ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "LOCALHOST."]))
    assert not any(map(is_local, ["0.0.0.0", "::", "192.168.1.5", "lab.org", "localhost.evil", "", None]))
    assert not is_open("127.0.0.1", [])
    assert not is_open("127.0.0.1", ["localhost"])
    assert is_open("127.0.0.1", ["lab.org"])  # a proxy brings others in


def test_beyond_this_computer_a_token_is_made_and_told(monkeypatch, capsys):
    for name in (protection.TOKEN, protection.HOSTS, "HEMALENS_GUARDED"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(protection, "signs_in", lambda: False)
    assert protection.protection("127.0.0.1", 8501).kwargs["token"] == ""
    assert capsys.readouterr().out == ""
    made = protection.protection("0.0.0.0", 8501).kwargs["token"]
    assert len(made) > 16
    assert made in capsys.readouterr().out
    monkeypatch.setenv(protection.TOKEN, "given")
    assert protection.protection("0.0.0.0", 8501).kwargs["token"] == "given"


def test_where_people_sign_in_no_token_is_needed_and_pages_ask_for_the_sign_in(monkeypatch):
    for name in (protection.TOKEN, protection.HOSTS, "HEMALENS_GUARDED"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(protection, "signs_in", lambda: True)
    assert protection.protection("0.0.0.0", 8501).kwargs["token"] == ""

    def page():
        import streamlit as st

        from dashboard.protection import let_in

        if let_in():
            st.write("inside")

    from streamlit.testing.v1 import AppTest

    shown = AppTest.from_function(page).run()
    assert [button.label for button in shown.button] == ["Sign in"]
    assert not [text for text in shown.markdown if text.value == "inside"]
