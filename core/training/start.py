"""Begins a training at the weights of a run: a second cycle on the same cells, or transfer to other ones."""

from core.models import ImageClassifier, load
from core.runs import Run
from core.training.config import BadConfig


def begin_at(network: ImageClassifier, run: Run, codes: tuple[str, ...]) -> None:
    """Give ``network`` the weights of ``run``; raises `BadConfig` where they do not fit.

    Where the run knows the same classes (``codes``) it is taken whole, before its calibration, which is a warm
    restart (Loshchilov and Hutter 2017, arXiv:1608.03983). Where it knows others its last layer stays as it is in
    ``network``, and so does the mean and deviation of the pixels, which are those of the new pictures: transfer
    (Yosinski et al. 2014, arXiv:1411.1792).
    """
    if run.kind != "network":
        raise BadConfig(f"start can't be {run.name}: it is no network ({run.title})")
    whole = run.codes == codes
    state = load(run).state_dict()
    if not whole:
        last = f"head.{len(network.head) - 1}."
        own = {k: v for k, v in network.state_dict().items() if k.startswith(last) or k in ("mean", "std")}
        state = {k: v for k, v in state.items() if not k.startswith(last)} | own
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        fits = "model, arguments and classes" if whole else "model and arguments"
        raise BadConfig(f"start can't be {run.name}: its weights fit its own {fits} only ({run.title})") from error
    if whole:
        network.divide_logits(1 / run.metrics["temperature"])
