"""Readers who sign in through their laboratory's provider (OpenID Connect), here a made-up one, are called verified."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import pytest

from benchmarks.first_answer import dashboard
from core.cases.case import Reader
from core.cases.store import CaseStore
from tests.browser.conftest import Visitor
from tests.dashboard.cases.made_case import made_case

pytest.importorskip("authlib", reason="authlib is not installed (requirements.txt)")


class Provider:
    """A provider on this computer that lets one reader in without asking."""

    def __init__(self):
        from joserfc import jwk, jwt

        key = jwk.RSAKey.generate_key(2048, {"kid": "one"})
        nonces = {}
        provider = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self):
                path, asked = urlparse(self.path).path, parse_qs(urlparse(self.path).query)
                if path == "/.well-known/openid-configuration":
                    places = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
                    about = {name: f"{provider.address}/{place}" for name, place in places.items()}
                    about |= {"issuer": provider.address, "id_token_signing_alg_values_supported": ["RS256"]}
                    about |= {"response_types_supported": ["code"], "subject_types_supported": ["public"]}
                    self.tell(about)
                elif path == "/keys":
                    self.tell({"keys": [key.as_dict(private=False)]})
                elif path == "/authorize":
                    nonces["code"] = asked.get("nonce", [""])[0]
                    self.send_response(302)
                    self.send_header("Location", f"{asked['redirect_uri'][0]}?code=code&state={asked['state'][0]}")
                    self.end_headers()

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                now = int(time.time())
                who = {"iss": provider.address, "aud": "hemalens", "sub": "reader-7", "name": "Dr. Verified"}
                who |= {"iat": now, "exp": now + 600, "nonce": nonces["code"], "email": "v@example.org"}
                token = jwt.encode({"alg": "RS256", "kid": "one"}, who, key)
                self.tell({"access_token": "a", "token_type": "Bearer", "expires_in": 600, "id_token": token})

            def tell(self, content):
                body = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def test_who_signs_in_reads_under_a_verified_name(chromium, tmp_path, monkeypatch):
    provider = Provider()
    secrets = tmp_path / "secrets.toml"
    monkeypatch.setenv("STREAMLIT_SECRETS_FILES", str(secrets))
    (tmp_path / "cases").mkdir()
    store = CaseStore(f"sqlite:///{tmp_path / 'cases' / 'cases.sqlite3'}", tmp_path / "cases")
    case_id = made_case(store)
    secrets.write_text("")
    with dashboard(tmp_path) as address:
        secrets.write_text(
            f'[auth]\nredirect_uri = "{address}/oauth2callback"\ncookie_secret = "{"x" * 40}"\n'
            f'client_id = "hemalens"\nclient_secret = "secret"\n'
            f'server_metadata_url = "{provider.address}/.well-known/openid-configuration"\n'
        )
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        visitor = Visitor(context.new_page(), address)
        visitor.open(f"/cases?case={case_id}")
        assert visitor.page.get_by_placeholder("Who reads? Your name").count() == 0
        visitor.page.get_by_role("button", name="Sign in").click()
        visitor.page.wait_for_url(f"{address}/")  # where Streamlit leads after each sign-in
        visitor.open(f"/cases?case={case_id}")
        visitor.page.get_by_role("button", name="Dr. Verified").wait_for()
        visitor.page.locator(".review[data-state=ready]").wait_for()
        visitor.page.keyboard.press("9")
        visitor.page.locator(".saved.saved").wait_for()
        context.close()
    provider.server.shutdown()
    (decision,) = store.decisions(case_id, 1)
    assert decision.reader == Reader("Dr. Verified", verified=True, subject="reader-7")
