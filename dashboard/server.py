"""What the server runs: the dashboard's pages, beside them the routes by which the review screen fetches pictures and
sends decisions, and before both who may come in. Holds nothing else.
"""

import sys
from pathlib import Path

import streamlit as st

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # `streamlit run` puts only this file's own folder there
    sys.path.insert(0, str(ROOT))

from dashboard.cases.served import routes  # noqa: E402
from dashboard.protection import protection  # noqa: E402

guard = protection(st.get_option("server.address"), st.get_option("server.port"))
app = st.App(ROOT / "dashboard" / "app.py", routes=routes(), middleware=[guard])
