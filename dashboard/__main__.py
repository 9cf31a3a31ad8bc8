"""``python -m dashboard``: start the dashboard on this computer and print its address."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCATIONS = ("HEMALENS_DATA", "HEMALENS_CACHE", "HEMALENS_CASES", "HEMALENS_PRETRAINED")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until it ends or Ctrl-C; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m dashboard", description="Open the HemaLens dashboard.")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: this computer only); for others than this computer's users a sign-in is "
        "needed, or the token that is printed",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name that it answers to, as behind a proxy (may be repeated)",
    )
    parser.add_argument("--port", type=_port, default=8501, help="port to listen on (default: 8501)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address, open no browser")
    parser.add_argument("--dev", action="store_true", help="reload when a source file changes")
    options = parser.parse_args(arguments)

    problem = why_not(options.host, options.port)
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    address = f"http://{_browsable(options.host)}:{options.port}"
    server = subprocess.Popen(
        command(options.host, options.port, options.dev), cwd=ROOT, env=environment(options.allow_host)
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if wait_until_up(address, server):
            print(f"HemaLens is open at {address} (Ctrl-C stops it)", flush=True)
            if not options.no_browser and _has_display():
                webbrowser.open(address)
        return server.wait()
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 0
    finally:
        _stop(server)


def command(host: str, port: int, dev: bool = False) -> list[str]:
    """The server's command line. Headless, because Streamlit otherwise asks for an e-mail address first."""
    settings = {
        "server.address": host,
        "server.port": port,
        "server.headless": "true",
        "server.fileWatcherType": "auto" if dev else "none",
        "logger.hideWelcomeMessage": "true",
    }
    flags = [f"--{name}={value}" for name, value in settings.items()]
    return [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "server.py"), *flags]


def environment(hosts: Sequence[str] = ()) -> dict[str, str]:
    """The server's environment: it works in the project's folder, so relative locations are made absolute. ``hosts``:
    further names that it answers to.
    """
    env = dict(os.environ) | ({"HEMALENS_HOSTS": ",".join(hosts)} if hosts else {})
    env.update({name: str(Path(env[name]).absolute()) for name in LOCATIONS if env.get(name)})
    return env


def why_not(host: str, port: int) -> str | None:
    """Why the dashboard can't listen there, with what to do; None where it can."""
    try:
        _try_to_listen(host, port)
    except socket.gaierror:
        return f"the address {host!r} is not known here; try --host 127.0.0.1"
    except PermissionError:
        return f"port {port} is reserved for the system; try --port 8501"
    except OSError as reason:
        free = next((p for p in range(port + 1, min(port + 50, 65536)) if _is_free(host, p)), None)
        advice = f"try: python -m dashboard --port {free}" if free else "try --host 127.0.0.1"
        return f"port {port} of {host} can't be used ({(reason.strerror or str(reason)).lower()}); {advice}"
    return None


def wait_until_up(address: str, server: subprocess.Popen, seconds: float = 60) -> bool:
    """Wait for the server to answer; False where it ended or took too long."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with opener.open(f"{address}/_stcore/health", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            time.sleep(0.2)
    return False


def _try_to_listen(host: str, port: int) -> None:
    family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        if os.name != "nt":  # elsewhere a port in TIME_WAIT would look busy for a minute after Ctrl-C
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(target)
        probe.listen(1)


def _is_free(host: str, port: int) -> bool:
    try:
        _try_to_listen(host, port)
    except OSError:
        return False
    return True


def _stop(server: subprocess.Popen) -> None:
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(timeout=5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return port


def _browsable(host: str) -> str:
    """An address that a browser on this computer can open for a server that listens on ``host``."""
    if host in ("0.0.0.0", "::", ""):  # nosec B104
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _has_display() -> bool:
    """Without a display `webbrowser` would start a text browser in this terminal."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


if __name__ == "__main__":
    sys.exit(main())
