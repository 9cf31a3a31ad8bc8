"""The dashboard's shell: launcher, router, state, widgets and figures. Pages lie in ``pages/``."""
