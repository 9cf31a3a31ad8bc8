"""Compare: all runs in one honest table, and any two of them side by side."""

from dashboard.widgets.page import header

PAGE = {"title": "Compare", "icon": ":material/leaderboard:", "path": "compare", "order": 30}

header("Compare", "Every trained model, scored on the same cells.")
