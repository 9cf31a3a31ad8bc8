"""Made-up figures of runs on spoilt pictures: what `Run.robustness` reads."""

from core.evaluation.robustness import CORRUPTIONS
from core.probabilities import wilson_interval
from core.runs import Run, write_robustness


def fake_damage(
    run: Run, *, step: float = 0.02, worst: str = "defocus_blur", worst_step: float = 0.12, n: int = 400
) -> dict:
    """Figures of ``run``, kept beside it: each severity costs ``step`` of the accuracy, of ``worst`` more; .95 sure."""
    clean = 0.96

    def way(name: str) -> dict:
        cost = worst_step if name == worst else step
        shares = [round(clean - cost * severity, 4) for severity in range(1, 6)]
        mean = sum(shares) / 5
        return {
            "accuracy": shares,
            "balanced_error": [round(1 - share, 4) for share in shares],
            "confidence": [0.95] * 5,
            "mean_accuracy": mean,
            "mean_accuracy_interval": list(wilson_interval(mean * n, n)),
        }

    ways = {name: way(name) for name in CORRUPTIONS}
    mean = sum(one["mean_accuracy"] for one in ways.values()) / len(ways)
    figures = {
        "split": "test",
        "test_images": 10 * n,
        "seed": 0,
        "size": run.size,
        "provenance": run.provenance,
        "content_hash": run.config["dataset"]["provenance"]["content_hash"],
        "n": n,
        "clean": {
            "accuracy": clean,
            "balanced_error": 1 - clean,
            "confidence": 0.97,
            "accuracy_interval": list(wilson_interval(clean * n, n)),
        },
        "corruptions": ways,
        "mean_accuracy": mean,
        "mean_accuracy_interval": list(wilson_interval(mean * n, n)),
        "be": 1.5,
        "rbe": 1.7,
    }
    write_robustness(run, figures)
    return figures
