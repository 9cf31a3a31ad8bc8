"""Images that are not on this computer: what is wrong, what stands in for them, and the way to get them."""

import streamlit as st

from dashboard import explore
from dashboard.widgets.dataset.view import View
from dashboard.widgets.download import offer_download


def missing_images(view: View, *, standing_in: bool = True) -> None:
    """Say it, and offer the download or the way by hand; nothing where the images are here.

    ``standing_in`` tells whether generated or drawn cells are shown in their place.
    """
    if view.broken:
        st.warning(view.broken, icon=":material/broken_image:")
    if view.loaded is not None or not view.spec.real:
        return
    if view.spec.download is not None:
        offer_download(view.spec, view.size, standing_in=standing_in)
    elif not view.broken:
        st.info(explore.way_to_images(view.spec, view.size), icon=":material/hide_image:")
