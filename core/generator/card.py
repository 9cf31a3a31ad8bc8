"""The generator's card: what it is, what it learnt from, how near it comes to real cells. Written by code only."""

from typing import Any

_QUESTIONS = {
    "pixels": "pixels averaged two by two: root mean square difference in grey levels (0 to 255), best of 8 turns",
    "pixel_ratio": "pixels: that distance by the one to the second nearest (a copy stands out by a small one)",
    "embedding": "embedding: one less the cosine, in the judge's last layer",
    "embedding_ratio": "embedding: that distance by the one to the second nearest",
}


def card(facts: dict[str, Any]) -> str:
    """Markdown for ``card.md`` from all that is known of a generator, figures included."""
    config, data, figures = facts["config"], facts["data"], facts["figures"]
    sampling, training, parameters = facts["sampling"], facts["training"], facts["parameters"]
    neighbours = figures["neighbours"]
    low, high = sampling["interval"]
    lines = [
        f"# Generator of cells, {config['size']} px",
        "",
        f"Makes pictures of {len(facts['codes'])} classes of blood cells ({', '.join(facts['codes'])}) out of random "
        "numbers. **None of them is a patient's cell**; they stand in where no real picture is on the computer, so "
        "that every page has something to show, and they are labelled 'generated' wherever they stand.",
        "",
        f"A latent rectified flow ([Liu et al. 2022](https://arxiv.org/abs/2209.03003), in latents as in "
        f"[Rombach et al. 2022](https://arxiv.org/abs/2112.10752)): a U-Net of {parameters['flow']:,} parameters and a "
        f"decoder of {parameters['decoder']:,}. {sampling['steps']} Heun steps; guidance "
        f"({sampling['guidance']:g}, [Ho and Salimans 2022](https://arxiv.org/abs/2207.12598)) between the times "
        f"{low:g} and {high:g}.",
        "",
        "## Does it make what is asked for?",
        "",
        f"{figures['cells']:,} cells, the same number of each class, none left out, named by models that know real "
        "cells:",
        "",
        "| model | agrees | 95 % interval | " + " | ".join(facts["codes"]) + " |",
        "|---|---|---|" + "---|" * len(facts["codes"]),
    ]
    for found in figures["agreement"]:
        by_class = " | ".join(f"{found['by_class'].get(code, 0):.0%}" for code in facts["codes"])
        bounds = "{:.1%} to {:.1%}".format(*found["interval"])
        lines.append(f"| `{found['run']}` | {found['share']:.1%} | {bounds} | {by_class} |")
    lines += [
        "",
        f"The first model's early layers also took part in training the decoder; the second one's did not. Fréchet "
        f"distance of the first model's embedding to training cells: {figures['frechet']['generated']:.3f}; of as many "
        f"held-out val cells: {figures['frechet']['val']:.3f}. On the sheet that the pages show first (`cells.jpg`) "
        "are cells that the first model names as they were asked for; nothing else was sorted out.",
        "",
        "## Is any of them a copy of a training cell?",
        "",
        f"Each generated cell and each of {neighbours['held_out']:,} held-out val cells was compared with all "
        f"{data['train']:,} training cells. Val cells were in no training: a generator that had learnt cells by heart "
        "would come nearer to training cells than they do. A generator whose lower quantiles in pixels lie below "
        "theirs, of the distance or of its ratio to the second nearest, is not written. Distances in the embedding "
        "decide nothing, and the lowest of them may lie below val's: a cell that a model finds typical lies near many "
        "cells in its eyes. The nearest val cells lie at 0 because the data set holds a few cells twice.",
        "",
        "| distance to the nearest training cell, quantile | "
        + " | ".join("nearest" if q == 0 else f"{q:.0%}" for q in neighbours["quantiles"])
        + " |",
        "|---|" + "---|" * len(neighbours["quantiles"]),
    ]
    for name, question in _QUESTIONS.items():
        for who in ("generated", "val"):
            values = " | ".join(f"{value:.4g}" for value in neighbours[name][who])
            lines.append(f"| {question}; {who} | {values} |")
    lines += [
        "",
        "## Data",
        "",
        f"Train split of {data['provenance']['label']}, content {data['provenance']['content_hash']}, "
        f"{data['train']:,} cells in their quarter turns. {data['citation']} Licence of the data: "
        f"{data['licence']}; what is generated here comes under the same.",
        "",
        "## Training",
        "",
        f"Autoencoder: {training['autoencoder']['steps']:,} steps of {config['autoencoder']['batch_size']} cells "
        f"({training['autoencoder']['seconds']:,} s); flow: {training['flow']['steps']:,} steps of "
        f"{config['flow']['batch_size']} ({training['flow']['seconds']:,} s), on {training['device']}. Seed "
        f"{config['seed']}.",
        "",
        "## Limits",
        "",
        "Pictures to try the pages with and to get an idea of a class. Not for teaching morphology, not for training "
        "or testing a classifier, not for any diagnosis: fine structure (chromatin, granules) is smoother than in a "
        "real cell, rare forms are missing, and nothing checks that a cell like this could exist. Stain, microscope "
        "and people are those of one laboratory. Research use, not a medical device.",
        "",
    ]
    return "\n".join(lines)
