"""The app: `headroom ui` starts it. This file only wires the pages together."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from simulator.plugins import load_plugins
from ui.views import compare

HERE = Path(__file__).parent

load_plugins()
st.set_page_config(page_title="Headroom", page_icon=str(HERE / "icon.svg"), layout="wide")
st.logo(HERE / "logo.svg", icon_image=HERE / "icon.svg", size="large")
st.navigation([st.Page(compare.page, title="Compare strategies", url_path="compare", default=True)]).run()
