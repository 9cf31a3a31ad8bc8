"""What is done for a laboratory before it has labelled a cell."""

from core.lab.head import Head
from core.lab.teaching import Teaching


def adapted(teaching: Teaching) -> Head:
    """The head without any answer: the run's own, with the classes that occur."""
    return teaching.start
