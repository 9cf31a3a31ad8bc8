"""Links that somebody else made: whatever stands in the address bar, nothing foreign is fetched, nothing runs, no page
breaks.
"""

import os
from urllib.parse import urlencode

import pytest

from dashboard.app import ROOT, find_pages
from tests.browser.conftest import Visitor
from tests.browser.test_accessibility import addresses

FOREIGN = "foreign.example"
HOSTILE = [
    f"![x](http://{FOREIGN}/a.png)",
    f"[x](http://{FOREIGN}/b)",
    f"<img src=http://{FOREIGN}/c.png onerror=alert(1)>",
    f"<script src=//{FOREIGN}/d.js></script>",
    f"![x][y]\n\n[y]: http://{FOREIGN}/e.png",
    f"http://{FOREIGN}/f.png",
    f"' ![x](//{FOREIGN}/g.png) `",
    f":material/{FOREIGN}: :red[x] $\\href{{http://{FOREIGN}}}{{x}}$",
    f"$\\includegraphics{{http://{FOREIGN}/h.png}}$",
    f"javascript:fetch('http://{FOREIGN}')",
    "../../../etc/passwd",
    "a\x00b",
    "%00%2e%2e%2f",
    "\u202e\u0000\ud7ff" + "x" * 3000,
    ",".join(f"cnn_se-{k}" for k in range(40)),
    ",".join(["cnn_se-64-ca0bf2", "cnn_se-28-2d0a80", "light-64-dbc553", "vgg16-64-ed2036", "ensemble-64-09b93e"] * 2),
    "-1",
    "9" * 400,
    "nan",
    "[object Object]",
]
PARAMETERS = (
    *("dataset", "model", "models", "runs", "run", "cell", "class", "size", "view", "find", "page", "split", "variant"),
    *("profile", "among", "family", "order", "measure", "feature", "first", "second", "case", "blind", "study", "map"),
    *("show", "truth", "called", "pair", "target", "method", "seed", "specimen", "labels", "across", "up", "token"),
)
# So many links to each page and view, each parameter with another hostile value in each.
ROTATIONS = int(os.environ.get("HEMALENS_HOSTILE_LINKS", "1"))


def links() -> list[str]:
    places = [place for _, facts in find_pages(ROOT / "pages") for place in addresses(facts["path"])]
    made = []
    for number, place in enumerate(places):
        path, _, query = place.partition("?")
        for rotation in range(ROTATIONS):
            chosen = {name: HOSTILE[(k + 7 * number + rotation) % len(HOSTILE)] for k, name in enumerate(PARAMETERS)}
            if query and rotation % 2 == 0:  # with its own view, else with a hostile one
                chosen["view"] = query.partition("=")[2]
            made.append(f"{path}?{urlencode(chosen, errors='surrogatepass')}")
    return made


@pytest.fixture(scope="module")
def visitor(chromium, address):
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    yield Visitor(context.new_page(), address)
    context.close()


@pytest.mark.parametrize("link", links(), ids=lambda link: link.partition("?")[0].strip("/"))
def test_a_hostile_link_fetches_nothing_runs_nothing_and_breaks_nothing(visitor, link):
    asked, dialogs = [], []
    heard, opened = visitor.page, visitor.page.context
    heard.on("request", lambda request: asked.append(request.url))
    heard.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    visitor.open(link)
    foreign = [url for url in asked if not url.startswith((visitor.address, "data:", "blob:"))]
    assert foreign == []
    assert dialogs == []
    assert len(opened.pages) == 1
    visitor.complaints.clear()  # a policy that stopped something says so in the console
    visitor.check()
