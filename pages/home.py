"""Home: what HemaLens is, the doors of three people, and what is installed."""

from core.datasets import get_dataset
from dashboard import home
from dashboard.page import header
from dashboard.url_state import DEFAULT_DATASET

PAGE = {"title": "Home", "icon": ":material/home:", "path": "home", "order": 10}

header(
    "HemaLens",
    "Blood cells from pictures: named with how sure that is, counted and signed, learnt, and their models compared.",
)
spec = get_dataset(DEFAULT_DATASET)
home.doors(spec)
home.on_this_computer(spec)
