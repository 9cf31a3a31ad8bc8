"""What the review screen fetches and sends: passes, pictures, decisions that are stored once, what is hidden."""

import asyncio
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from PIL import Image
from starlette.applications import Starlette

from core.cases.case import NewDecision, Reader, StoreUnavailable
from core.cases.store import open_store
from dashboard.cases.served import Pass, routes
from tests.dashboard.cases.made_case import CODES, made_case

ANN, BOB = Reader("Ann"), Reader("Bob")


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_CASES", str(tmp_path / "cases"))
    monkeypatch.delenv("HEMALENS_DATABASE", raising=False)
    return open_store()


@pytest.fixture
def case_id(store):
    return made_case(store)


def ask(address: str, path: str, content: object = None, length: bool = True) -> tuple[int, bytes]:
    """Status and body of what the routes answer; ``content`` is sent as JSON, with its ``length`` or without."""
    body = b"" if content is None else content if isinstance(content, bytes) else json.dumps(content).encode()
    path, _, query = f"{address}/{path}".partition("?")
    scope = {
        "type": "http",
        "method": "GET" if content is None else "POST",
        "path": path,
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"content-length", str(len(body)).encode())] if length else [],
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(message):
        sent.append(message)

    # In a thread of its own: a browser of other tests may have left its event loop running in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, Starlette(routes=routes())(scope, receive, send)).result()
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def told(address: str, path: str, content: object = None) -> dict:
    status, body = ask(address, path, content)
    assert status == 200, body
    return json.loads(body)


def decision(cell: int, new: str, client: str, **more: object) -> dict:
    return {"client": client, "action": "assign", "cell": cell, "new": new, "reason": "", "text": "", **more}


def test_a_pass_that_this_server_did_not_write_opens_nothing(case_id):
    address = Pass(case_id, "Ann").address
    assert ask(address, "cells")[0] == 200
    assert ask(address[:-1] + ("0" if address[-1] != "0" else "1"), "cells")[0] == 404
    content, _, signature = address.rpartition("/")[2].partition(".")
    other = Pass(case_id, "Bob").address.rpartition("/")[2].partition(".")[0]
    assert other != content
    assert ask(f"/case-data/{other}.{signature}", "cells")[0] == 404
    assert ask("/case-data/nothing", "cells")[0] == 404


def test_cells_come_with_their_answers_and_places(case_id):
    table = told(Pass(case_id, "Ann").address, "cells")
    assert table["number"] == [1, 2, 3, 4]
    assert [table["codes"][code] for code in table["code"]] == ["NE", "NE", "LY", "PLT"]
    assert table["alarm"] == [False, False, True, False]
    assert table["look"] == [False, True, True, False]
    assert table["slot"] == [0, 1, 2, 3]
    assert [table["codes"][code] for code in table["second"]] == ["PLT", "PLT", "MO", "BA"]
    assert table["codes"] == [*CODES, "BLA"]


def test_pictures_are_those_of_the_case(case_id):
    address = Pass(case_id, "Ann").address
    for path, size in (("sheet/0", (960, 96)), ("crop/2", (96, 96)), ("picture/2", (96, 96))):
        status, body = ask(address, path)
        assert status == 200
        assert Image.open(io.BytesIO(body)).size == size
    for path in ("sheet/7", "crop/99", "picture/99"):
        assert ask(address, path)[0] == 409


def test_decisions_are_stored_once_however_often_they_are_sent(store, case_id):
    address = Pass(case_id, "Ann").address
    sent = {"after": 1, "decisions": [decision(2, "LY", "a"), decision(3, "BLA", "b", reason="nucleus", text="big")]}
    first = told(address, "decisions", sent)
    again = told(address, "decisions", sent)
    assert first["stored"] == again["stored"] == ["a", "b"]
    assert first["refused"] == []
    assert [reading[:4] for reading in again["readings"]] == [
        [2, "LY", "reviewed", "Ann"],
        [3, "BLA", "reviewed", "Ann"],
    ]
    written = store.decisions(case_id, 1)
    assert [(d.cell, d.new, d.reader) for d in written] == [(2, "LY", ANN), (3, "BLA", ANN)]
    assert (written[1].reason, written[1].text) == ("nucleus", "big")


def test_what_can_not_be_stored_stops_nothing_else(store, case_id):
    address = Pass(case_id, "Ann").address
    sent = [decision(1, "LY", "a"), decision(99, "LY", "b"), decision(2, "XX", "c"), {"client": "d"}, "nonsense"]
    sent += [decision(4, "NE", "e") | {"action": "sign"}, decision(4, "NE", "f") | {"text": 7}, decision(4, "PLT", "g")]
    answer = told(address, "decisions", {"after": 0, "decisions": sent})
    assert answer["stored"] == ["a", "g"]
    assert {client for client, _ in answer["refused"]} == {"b", "c", "d", "e", "f"}
    assert len(store.decisions(case_id, 1)) == 2


def test_an_undo_may_name_a_decision_by_the_id_that_the_browser_gave_it(store, case_id):
    address = Pass(case_id, "Ann").address
    undo = {"client": "u", "action": "undo", "cell": 2, "undoes_client": "a"}
    answer = told(address, "decisions", {"after": 1, "decisions": [decision(2, "LY", "a"), undo]})
    assert answer["stored"] == ["a", "u"]
    assert answer["readings"][0][:3] == [2, "NE", "unidentified"]
    assert told(address, "readings?after=0")["undoable"] == []


def test_two_readers_see_each_others_decisions_and_none_is_lost(store, case_id):
    ann, bob = Pass(case_id, "Ann").address, Pass(case_id, "Bob").address
    seen = told(bob, "readings?after=0")["seq"]
    told(ann, "decisions", {"after": seen, "decisions": [decision(2, "LY", "a", seen=seen)]})
    late = told(
        bob, "decisions", {"after": seen, "decisions": [decision(2, "MO", "b", seen=seen), decision(1, "NE", "c")]}
    )
    assert late["stored"] == ["c"]
    assert "Ann" in late["refused"][0][1]
    assert {reading[0]: reading[1] for reading in late["readings"]} == {2: "LY", 1: "NE"}
    assert {reading[0]: reading[3] for reading in told(ann, f"readings?after={seen}")["readings"]} == {
        2: "Ann",
        1: "Bob",
    }


def test_a_blinded_reader_is_told_neither_the_others_nor_the_models_answers(store, case_id):
    store.decide(case_id, ANN, [NewDecision("assign", 2, "LY")])
    blind = replace(Pass(case_id, "Bob"), hides_readers=True)
    assert told(blind.address, "readings?after=0")["readings"] == []
    assert told(blind.address, "cells")["code"][1] >= 0
    blinder = replace(blind, hides_model=True)
    table = told(blinder.address, "cells")
    assert set(table["code"]) == {-1}
    for column in ("alarm", "look", "text", "notes", "set", "confidence", "score"):
        assert not any(table[column])
    told(blinder.address, "decisions", {"after": 0, "decisions": [decision(2, "MO", "x")]})
    assert [reading[:4] for reading in told(blinder.address, "readings?after=0")["readings"]] == [
        [2, "MO", "reviewed", "Bob"]
    ]


def test_a_signed_case_takes_no_decision(store, case_id):
    store.decide(case_id, ANN, [NewDecision("assign", 2, "NE"), NewDecision("assign", 3, "LY")])
    store.sign(case_id, ANN)
    answer = told(Pass(case_id, "Bob").address, "decisions", {"after": 0, "decisions": [decision(1, "MO", "a")]})
    assert answer["stored"] == []
    assert "signed" in answer["refused"][0][1]
    assert answer["state"] == "signed"


def test_what_can_not_be_read_is_told_so(case_id):
    address = Pass(case_id, "Ann").address
    assert ask(address, "decisions", b"no json")[0] == 400
    assert ask(address, "decisions", b"[1]")[0] == 400
    assert told(address, "decisions", {"decisions": 5})["stored"] == []
    assert told(address, "readings?after=-3&")["seq"] == 1
    assert ask(Pass("f" * 32, "Ann").address, "cells")[0] == 409


def test_what_is_too_large_or_nonsense_is_refused_in_words(case_id):
    address = Pass(case_id, "Ann").address
    assert ask(address, "decisions", b" " * 1_000_001, length=False)[0] == 413  # sent in parts, its length unsaid
    assert ask(address, "decisions", b"[" * 200_000)[0] == 400
    assert ask(address, f"sheet/{10**30}")[0] == 409
    assert ask(address + "\u00e9", "cells")[0] == 404
    assert told(address, "readings?after=1e999")["seq"] == 1
    half_a_letter = json.dumps({"decisions": [decision(1, "MO", "a", text="\ud800")]}).encode()
    assert told(address, "decisions", half_a_letter)["refused"] == [["a", "A decision can't be read."]]


def test_while_nothing_can_be_stored_nothing_is_refused(store, case_id, monkeypatch):
    def full(*_):
        raise StoreUnavailable("The database of cases can't be used (disk is full).")

    monkeypatch.setattr(type(store), "decide", full)
    status, body = ask(Pass(case_id, "Ann").address, "decisions", {"decisions": [decision(1, "MO", "a")]})
    assert status == 503
    assert "disk is full" in json.loads(body)["error"]


def test_a_reader_of_the_same_name_who_signed_in_is_another(store, case_id):
    store.decide(case_id, Reader("Ann", True, "sub-1"), [NewDecision("assign", 1, "EO")])
    typed = told(Pass(case_id, "Ann", hides_readers=True).address, "readings?after=0")
    assert typed["undoable"] == []
    assert [1, "EO"] not in [reading[:2] for reading in typed["readings"]]


def test_a_cell_is_added_only_in_a_field(case_id):
    status, body = ask(Pass(case_id, "Ann").address, "add", {"picture": 1, "x": 4, "y": 4, "client": "n"})
    assert status == 409
    assert json.loads(body)["error"]
