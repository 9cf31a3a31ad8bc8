"""The base of errors whose message is written for a person: what happened, why, what to do."""


class HemaLensError(Exception):
    """An expected failure; the terminal prints its message without a traceback, a page shows it."""
