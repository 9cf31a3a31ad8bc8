"""The base of errors whose message is written for a person: what happened, why, what to do."""


class HemaLensError(Exception):
    """An expected failure; the terminal prints its message without a traceback, a page shows it."""


_DAMAGED = "it is damaged, or no file of that kind"


def plain_reason(error: BaseException) -> str:
    """Why a file can't be read, in words for a person, who knows no library's.

    A message of our own (`HemaLensError`, a plain `ValueError`) stays; what a library says of bytes that it can't make
    sense of becomes what that means.
    """
    if isinstance(error, HemaLensError) or type(error) is ValueError:
        return next(iter(str(error).strip().splitlines()), "")[:200].rstrip(".") or _DAMAGED
    if isinstance(error, OSError):
        return (error.strerror or "it can't be opened").lower()
    if isinstance(error, KeyError):
        return f"it lacks '{error.args[0]}'" if error.args else _DAMAGED
    return _DAMAGED
