"""Dataset: how many cells of each class there are, what they look like, what tells them apart, and a test of it."""

from dashboard.widgets.choice import choice
from dashboard.widgets.dataset.cells import cells
from dashboard.widgets.dataset.controls import cautions, controls
from dashboard.widgets.dataset.learn import learn
from dashboard.widgets.page import guarded, header

PAGE = {"title": "Dataset", "icon": ":material/grid_view:", "path": "dataset", "order": 20}

# Only the chosen one is computed.
VIEWS = {
    "cells": (":material/grid_view: Pictures", cells),
    "learn": (":material/school: Learn", learn),
}
CONTROLS = {"cells": ("class", "split"), "learn": ("split",)}  # beside data set and size


def main() -> None:
    header("Dataset", "See many cells of a kind, and what tells one kind from another.")
    titles = {key: title for key, (title, _) in VIEWS.items()}
    chosen = choice("view", "View", titles, "cells", "view", hidden=True)
    view = controls(CONTROLS.get(chosen, ()))
    cautions(view)
    with guarded():
        VIEWS[chosen][1](view)


main()
