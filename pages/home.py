"""Home: what HemaLens is, the three ways in, and what is installed."""

from core.datasets import get_dataset
from dashboard import home
from dashboard.page import header
from dashboard.url_state import DEFAULT_DATASET

PAGE = {"title": "Home", "icon": ":material/home:", "path": "home", "order": 10}

header("HemaLens", "Look at blood cells, compare the models that name them, and see what they say of yours and why.")
spec = get_dataset(DEFAULT_DATASET)
home.doors(spec)
home.on_this_computer(spec)
