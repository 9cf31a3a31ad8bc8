"""Does a model know when it doesn't know? Images of many kinds against the home test cells.

``python -m benchmarks.ood [RUN] [--labs bccd chula raabin] [--each 100]``

Each row is taken for one batch: whether it is told to come from another laboratory, how well the OOD score tells the
images from home test cells (AUROC; next to it what confidence alone would tell), and with which verdict they are
answered, next to how many have a probability from the confidence threshold on. Images of other data sets are framed as
uploads are. Home: coverage of what is told, by class. What is not on this computer is left out and said.
"""

import argparse
from collections.abc import Iterator

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from benchmarks.reporting import publish
from core.datasets import DatasetUnavailable, get_dataset
from core.datasets.pictures import read_dataset_pictures
from core.datasets.synthetic import draw_cells
from core.datasets.user import layout_of
from core.errors import HemaLensError
from core.evaluation.external import labels_for_run
from core.evaluation.uncertainty import coverage
from core.images.decode import decode
from core.images.framing import crop_batch
from core.inference.laboratory import Laboratory
from core.inference.ood import detector_of
from core.inference.predictor import Evidence, Prediction, Predictor
from core.probabilities import NOMINAL_COVERAGE, spoken_sets
from core.runs import Run, default_run, find_run


def skin_textures(n: int, size: int, seed: int = 0) -> np.ndarray:
    """Textures like skin under a camera, uint8 (n, size, size, 3): a tone, blotches, furrows, pores, some hairs."""
    rng = np.random.default_rng(seed)
    tones = np.array([[236, 200, 180], [224, 172, 140], [198, 134, 100], [141, 85, 60], [90, 56, 40]], float)
    pictures = np.empty((n, size, size, 3), np.uint8)
    y, x = np.mgrid[:size, :size] / size
    for picture in pictures:
        tone = tones[rng.integers(len(tones))] + rng.normal(0, 6, 3)
        light = 1 + 0.12 * (x - 0.5) * rng.normal() + 0.12 * (y - 0.5) * rng.normal()
        blotches = gaussian_filter(rng.normal(size=(size, size)), size / 10) * size / 4
        pixels = tone * (light + 0.03 * blotches)[..., None]
        for _ in range(2):  # furrows cross at an angle
            angle, period = rng.uniform(0, np.pi), rng.uniform(0.06, 0.14)
            bent = x * np.cos(angle) + y * np.sin(angle) + 0.01 * gaussian_filter(rng.normal(size=(size, size)), 2) * 5
            furrow = np.maximum(np.cos(2 * np.pi * bent / period) - 0.75, 0) * 4
            pixels -= (rng.uniform(4, 12) * furrow)[..., None] * [1, 1.15, 1.2]
        pores = gaussian_filter((rng.random((size, size)) < 0.01).astype(float), 0.7) * 4
        pixels -= (18 * pores)[..., None]
        for _ in range(rng.integers(0, 4)):
            angle, at = rng.uniform(0, np.pi), rng.uniform(0.2, 0.8)
            away = np.abs((x - at) * np.cos(angle) + (y - 0.5) * np.sin(angle) + 0.1 * (x - 0.5) ** 2)
            pixels *= 1 - 0.7 * np.clip(1.5 - away * size, 0, 1)[..., None]
        picture[:] = np.clip(pixels + rng.normal(0, 2, pixels.shape), 0, 255)
    return pictures


def non_cell_images(size: int, each: int) -> Iterator[tuple[str, np.ndarray]]:
    """Pictures that show no cell of a patient: name, frames uint8 (n, size, size, 3)."""
    rng = np.random.default_rng(0)
    greys = np.linspace(160, 255, each).round().astype(np.uint8)
    yield "blank, white to grey", np.broadcast_to(greys[:, None, None, None], (each, size, size, 3)).copy()
    noise = rng.integers(0, 256, (each, size, size, 3), dtype=np.uint8)
    yield "noise, coloured", noise
    yield "noise, grey", noise[..., :1].repeat(3, axis=-1)
    yield "drawn cells", draw_cells(np.arange(4 * each) % 8, size, 5)
    yield "drawn skin", skin_textures(each, size)


def framed_by_class(run: Run, name: str, each: int) -> Iterator[tuple[str, np.ndarray]]:
    """Up to ``each`` pictures of every class of data set ``name``, framed together for ``run``: class, frames."""
    folder = layout_of(name)
    if folder.path is None:
        raise DatasetUnavailable(f"{name} is not on this computer")
    files = folder.scan(folder.path).files
    picked = [
        (code, file)
        for code, of_class in files.items()
        for file in [of_class[k] for k in np.unique(np.linspace(0, len(of_class) - 1, each).astype(int))]
    ]
    pixels = [decode((folder.path / file).read_bytes(), file).pixels for _, file in picked]
    frames = crop_batch(pixels, get_dataset(run.dataset), run.size).pixels
    codes = np.array([code for code, _ in picked])
    for code in dict.fromkeys(codes.tolist()):
        yield code, frames[codes == code]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", help="a run with an OOD detector (default: BloodMNIST's best)")
    parser.add_argument("--labs", nargs="*", default=["bccd", "chula", "raabin"], help="data sets added from a folder")
    parser.add_argument("--each", type=int, default=100, help="pictures of a kind or class (default 100)")
    options = parser.parse_args()
    run = find_run(options.run) if options.run else default_run()
    predictor, detector = Predictor(run), detector_of(run)
    if detector is None:
        parser.error(f"{run.name} has no OOD detector: make it with `python -m core ood {run.name}`")
    data = get_dataset(run.dataset).load(run.size, run.config["dataset"]["provenance"]["content_hash"])
    home_split = data["test"]
    at_home = predictor.predict_crops(home_split.images)
    told = spoken_sets(at_home.probabilities, predictor.set_thresholds, predictor.threshold)
    sets = coverage(home_split.labels, told)
    home_scores = detector.ood_score_of(at_home.evidence.embeddings, at_home.evidence.statistics)
    home_top = at_home.probabilities.max(1)
    rows = []

    def row(name: str, evidence: Evidence, laboratory: Laboratory) -> None:
        verdicts = predictor.decide(evidence, laboratory)[1]
        scores, top = detector.ood_score_of(evidence.embeddings, evidence.statistics), evidence.probabilities.max(1)
        truth = np.repeat([0, 1], [len(home_scores), len(scores)])
        itself = name == "home test"
        kinds = np.array([verdict.kind for verdict in verdicts])
        rows.append(
            {
                "pictures": name,
                "n": len(scores),
                "another laboratory": laboratory.is_foreign,
                "AUROC": None if itself else float(roc_auc_score(truth, np.r_[home_scores, scores])),
                "AUROC by confidence": None if itself else float(roc_auc_score(truth, -np.r_[home_top, top])),
                "not a cell %": 100 * float((kinds == "not_a_cell").mean()),
                "odd %": 100 * float(np.mean([verdict.is_odd for verdict in verdicts])),
                "alarm %": 100 * float(np.mean([verdict.alarm.raised for verdict in verdicts])),
                "unsure %": 100 * float((kinds == "unsure").mean()),
                "sure %": 100 * float((kinds == "sure").mean()),
                "probable %": 100 * float((top >= predictor.threshold).mean()),
                "median OOD score": float(np.median(scores)),
            }
        )

    def crops_row(name: str, crops: np.ndarray) -> None:
        evidence = predictor.predict_crops(crops).evidence
        row(name, evidence, predictor.laboratory(evidence))

    row("home test", at_home.evidence, predictor.laboratory(at_home.evidence))
    for name, crops in non_cell_images(run.size, options.each):
        crops_row(name, crops)
    for name, title in (("all4", "field"), ("bone_marrow", "bone marrow")):
        try:
            for code, crops in framed_by_class(run, name, options.each):
                crops_row(f"{title}, {code}", crops)
        except HemaLensError as error:
            print(f"left out: {error}")
    for name in options.labs:
        try:
            lab = read_dataset_pictures(name)
            labels, _ = labels_for_run(lab, run)
        except HemaLensError as error:
            print(f"left out: {error}")
            continue
        predictions = [p for p in predictor.predict(lab.pixels) if isinstance(p, Prediction)]
        right = np.array([p.predicted for p in predictions]) == labels
        evidence, laboratory = Evidence.join([p.evidence for p in predictions]), predictor.laboratory_of(predictions)
        for how, chosen in (("misread", ~right), ("read right", right)):
            if chosen.any():
                row(f"{name}, {how}", evidence.rows(np.flatnonzero(chosen)), laboratory)
    print(
        f"told at home: mean size {sets.mean_size:.3f}, one class {sets.singleton_fraction:.1%}, "
        f"overall {sets.overall:.2%}"
    )
    print("coverage by class: " + ", ".join(f"{c} {v:.2%}" for c, v in zip(run.codes, sets.by_class, strict=True)))
    publish(
        "ood",
        rows,
        run=run.name,
        provenance=run.provenance,
        confidence_threshold=predictor.threshold,
        nominal_coverage=NOMINAL_COVERAGE,
        coverage_by_class=dict(zip(run.codes, sets.by_class.tolist(), strict=True)),
        coverage_overall=sets.overall,
        mean_set_size=sets.mean_size,
        singletons=sets.singleton_fraction,
        ood_bytes=run.ood_path.stat().st_size,
    )


if __name__ == "__main__":
    main()
