"""Is an abnormal cell overlooked, and is another laboratory told from home? With and without its profile.


``python -m benchmarks.abnormal [RUN] [--draws 10]``

Blasts and mature cells of bone marrow (published test split) answered by the run as it is, and by profiles that were
taught on drawn differentials of the marrow's mature train cells with 25 answers each: share of the blasts that are
sure, that raise the alarm; the same for the mature cells, and by how much the alarm costs them their 'sure'. Then 40
batches of 30 cells of home and of each laboratory that was added: share that is called another laboratory's.
"""

import argparse
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.reporting import publish
from core.adaptation.active import ActiveLearner
from core.adaptation.head import encode_pictures, exemplars_of
from core.adaptation.profile import make_profile, predictor_for
from core.adaptation.simulation import draw_differential
from core.datasets import get_dataset
from core.datasets.pictures import read_dataset_pictures
from core.evaluation.external import external_datasets
from core.inference.predictor import Evidence, Prediction, Predictor
from core.runs import default_run, find_run

MARROW, BLASTS = "bone_marrow", "BLA"
ANSWERS, BATCHES, BATCH = 25, 40, 30


def marrow_pictures(size: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Train and test pictures uint8 (N, S, S, 3) of marrow: mature cells by class here, blasts by an empty code."""
    spec = get_dataset(MARROW)
    data = spec.load(min(s for s in spec.sizes if s >= 2 * size))
    parts: list[dict[str, np.ndarray]] = []
    for splits in (("train", "val"), ("test",)):
        part = {}
        for code, here in (("NGS", "NE"), ("LYT", "LY"), ("MON", "MO"), ("EOS", "EO"), (BLASTS, "")):
            label = data.spec.codes.index(code)
            part[here] = np.concatenate([data[s].images[np.flatnonzero(data[s].labels == label)] for s in splits])
        parts.append(part)
    return parts[0], parts[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", help="default: BloodMNIST's best for any laboratory")
    parser.add_argument("--draws", type=int, default=10)
    options = parser.parse_args()
    run = find_run(options.run) if options.run else default_run()
    train, test = marrow_pictures(run.size)
    side = 0.824 * test[""].shape[1]  # as the marrow's cells stand beside home's in training
    rows = []

    def row(name: str, predictor: Predictor) -> None:
        mature = np.concatenate([pictures for here, pictures in test.items() if here])
        by_kind = {}
        for kind, pictures in (("blasts", test[""]), ("mature", mature)):
            found = [p for p in predictor.predict(list(pictures), side=side) if isinstance(p, Prediction)]
            sure, raised = np.mean([(p.sure, p.verdict.alarm.raised) for p in found], axis=0)
            evidence = replace(Evidence.join([p.evidence for p in found]), alarm_scores=None)
            silent = [v.kind == "sure" for v in predictor.decide(evidence, predictor.laboratory_of(found))[1]]
            by_kind[kind] = (len(found), 100 * float(sure), 100 * float(raised), 100 * float(np.mean(silent)))
        rows.append(
            {"answered": name}
            | {
                f"{kind} {what}": value
                for kind, values in by_kind.items()
                for what, value in zip(("n", "sure %", "alarm %", "sure without alarm %"), values, strict=True)
            }
        )

    row("as it is", Predictor(run))
    pixels = [(here, picture) for here, pictures in train.items() if here for picture in pictures]
    labels = np.array([run.codes.index(here) for here, _ in pixels])
    cells = encode_pictures(run, [picture for _, picture in pixels], side=side)
    present = np.isin(np.arange(len(run.codes)), labels)
    for draw in range(options.draws):
        batch = draw_differential(labels, run.codes, np.random.default_rng(draw))
        learner = ActiveLearner(cells.subset(batch), present, exemplars=exemplars_of(run), seed=draw)
        with threadpool_limits(1):
            while len(learner.answers) < ANSWERS:
                for cell in learner.queries[: ANSWERS - len(learner.answers)].tolist():
                    learner = learner.with_answer(cell, int(labels[batch][cell]))
            profile = make_profile(f"draw {draw}", run, learner)
        row(profile.name, predictor_for(profile))
    publish("abnormal", rows, run=run.name, provenance=run.provenance, answers=ANSWERS)
    rng, plain = np.random.default_rng(0), Predictor(run)
    home = get_dataset(run.dataset).load(run.size, run.config["dataset"]["provenance"]["content_hash"])["test"]
    places = {"home": plain.predict_crops(home.images).evidence}
    for name in external_datasets(run):
        found = [p for p in plain.predict(read_dataset_pictures(name).pixels) if isinstance(p, Prediction)]
        places[name] = Evidence.join([p.evidence for p in found])
    told = []
    for name, evidence in places.items():
        drawn = [plain.laboratory(evidence.rows(rng.permutation(len(evidence))[:BATCH])) for _ in range(BATCHES)]
        told.append(
            {"batches of": name, "told another laboratory's %": 100 * float(np.mean([d.is_foreign for d in drawn]))}
        )
    publish("abnormal_batches", told, run=run.name, provenance=run.provenance, batches=BATCHES, cells=BATCH)


if __name__ == "__main__":
    main()
