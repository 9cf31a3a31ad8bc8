"""Who reaches the server, and what its pages may fetch.

Names of this computer alone are answered, so that no foreign page gets in under a name of its own (DNS rebinding);
beyond this computer a visitor signs in at the laboratory's provider, or brings the token that the server made when it
started. A content security policy keeps every page from foreign addresses, whatever a file's name, a link or a profile
says.
"""

import hmac
import html
import ipaddress
import os
import secrets
import socket
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.errors import StreamlitSecretNotFoundError

HOSTS = "HEMALENS_HOSTS"  # further names that the server answers to, parted by commas
# The token that visitors from elsewhere bring.
TOKEN = "HEMALENS_TOKEN"  # nosec B105
_GUARDED = "HEMALENS_GUARDED"  # set in this process where `Protection` stands before the pages
_COOKIE = "hemalens_token"
_HEALTH = "/_stcore/health"  # what the launcher, a proxy or a container asks
_LOCAL = ("localhost", "127.0.0.1", "::1")

# Streamlit writes styles and its start into the page itself, makes modules and workers from blobs, and WebAssembly.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "frame-src 'self' blob: data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)


def is_local(address: str | None) -> bool:
    """Whether a server that listens at ``address`` (a name, an IP address, None for all) is this computer's alone."""
    if not address:
        return False
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return address.lower().rstrip(".") == "localhost"


def is_named(address: str | None) -> bool:
    """Whether it is one address, not all that the computer has."""
    return address not in (None, "", "0.0.0.0", "::")  # nosec B104


def signs_in() -> bool:
    """Whether visitors sign in through a provider: `.streamlit/secrets.toml` has a part [auth]."""
    try:
        return "auth" in st.secrets
    except StreamlitSecretNotFoundError:
        return False


class Protection:
    """ASGI middleware before all that the server answers. ``address``: where it listens; ``hosts``: further names that
    it answers to; ``token``: what visitors bring, None where none is asked for.
    """

    def __init__(self, app: ASGIApp, address: str | None, hosts: Sequence[str] = (), token: str | None = None):
        self._app, self._token = app, token or ""
        # A server for every address can't know its names: the token keeps foreign pages out there.
        own = {*hosts, *([address] if is_named(address) else [])}
        self._names = {_plain(str(name)) for name in own | {*_LOCAL}} if own else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse or pass on one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif refusal := self._refusal(HTTPConnection(scope)):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await refusal(scope, receive, _with_headers(send))
        else:
            await self._app(scope, receive, _with_headers(send) if scope["type"] == "http" else send)

    def _refusal(self, asked: HTTPConnection) -> Response | None:
        if self._names is not None and _host(asked.headers) not in self._names:
            return PlainTextResponse(
                "HemaLens doesn't answer to this name. Open it under the address that it printed when it started, or "
                "start it with --allow-host NAME.\n",
                421,
            )
        if not self._token or asked.url.path.endswith(_HEALTH):
            return None
        if _equal(asked.cookies.get(_COOKIE, ""), self._token):
            return None
        if _equal(asked.query_params.get("token", ""), self._token):
            rest = [pair for pair in parse_qsl(asked.url.query, keep_blank_values=True) if pair[0] != "token"]
            # A path that begins with two slashes would lead to another server.
            path = "/" + asked.url.path.lstrip("/\\")
            response = RedirectResponse(f"{path}?{urlencode(rest)}" if rest else path, 303)
            is_secure = asked.headers.get("x-forwarded-proto", asked.url.scheme) in ("https", "wss")
            response.set_cookie(_COOKIE, self._token, httponly=True, samesite="lax", secure=is_secure)
            return response
        return HTMLResponse(_entrance("token" in asked.query_params), 401)


def protection(address: str | None, port: int) -> Middleware:
    """What stands before a server that listens at ``address`` and ``port``, by the environment (`HOSTS`, `TOKEN`).

    Beyond this computer there is a token, made and printed here where the environment has none and nobody signs in.
    """
    hosts = [name for name in os.environ.get(HOSTS, "").split(",") if name]
    token = os.environ.get(TOKEN, "")
    if is_open(address, hosts) and not token and not signs_in():
        token = os.environ[TOKEN] = new_token()
        name = next(iter(hosts), address if is_named(address) else socket.gethostname())
        print(f"Visitors from elsewhere need a token, made anew at each start: http://{name}:{port}/?token={token}")
    os.environ[_GUARDED] = "open" if is_open(address, hosts) else "local"
    return Middleware(Protection, address=address, hosts=hosts, token=token)


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(16)


def is_open(address: str | None, hosts: Iterable[str] = ()) -> bool:
    """Whether others than this computer's users may get in: by the ``address``, or through a proxy as one of
    ``hosts``.
    """
    return not is_local(address) or not all(map(is_local, hosts))


def let_in() -> bool:
    """Whether the visitor of this session may see a page; else it is said why not, with the way to sign in."""
    guarded = os.environ.get(_GUARDED)
    if guarded is None and not is_local(st.get_option("server.address") or "127.0.0.1"):
        st.error("Served beyond this computer without sign-in. Start it with: python -m dashboard --host ADDRESS")
        return False
    if guarded != "open" or os.environ.get(TOKEN) or not signs_in() or st.user.get("is_logged_in"):
        return True
    st.title("HemaLens", anchor=False)
    st.markdown("This server is your laboratory's. Sign in to go on.")
    st.button("Sign in", icon=":material/login:", type="primary", on_click=st.login)
    return False


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["content-security-policy"] = POLICY
            headers["x-content-type-options"] = "nosniff"
            headers["referrer-policy"] = "same-origin"
        await send(message)

    return wrapped


def _host(headers: Headers) -> str | None:
    """The name that the browser asked for; None for one that is none."""
    hosts = headers.getlist("host")
    if len(hosts) != 1:
        return None
    try:
        parsed = urlsplit(f"//{hosts[0]}")
        _ = parsed.port  # ValueError for one that is no number
    except ValueError:
        return None
    is_plain = parsed.netloc == hosts[0] and "@" not in hosts[0]
    return _plain(parsed.hostname) if is_plain and parsed.hostname else None


def _plain(host: str) -> str:
    return host.strip("[]").lower().rstrip(".")


def _equal(told: str, token: str) -> bool:
    return hmac.compare_digest(told.encode("utf-8", "replace"), token.encode())


def _entrance(was_wrong: bool) -> str:
    said = "That is not the token. " if was_wrong else ""
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>HemaLens</title>
<meta name="viewport" content="width=device-width">
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 30rem; margin: 15vh auto; padding: 0 1rem }}
input, button {{ font: inherit; padding: .4rem .7rem }} @media (prefers-color-scheme: dark)
{{ body {{ background: #15131d; color: #edeaf5 }} }}</style>
<main><h1>HemaLens</h1><p>{html.escape(said)}This server asks for its token: whoever started it was told.</p>
<form><label>Token <input name="token" type="password" autocomplete="off" autofocus required></label>
<button>Open</button></form></main></html>"""
