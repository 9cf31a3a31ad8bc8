"""Cases: take in a slide's pictures, review them by keyboard, count, sign, report."""

from core.cases.store import open_store
from dashboard import url_state
from dashboard.cases import CASE_KEY, review, signing, worklist

PAGE = {"title": "Cases", "icon": ":material/assignment:", "path": "cases", "order": 15}

if case_id := url_state.parameter(CASE_KEY):
    if context := review.opened(open_store(), case_id):
        signing.render(context)
else:
    worklist.render(open_store())
