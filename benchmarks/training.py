"""How fast does the training loop run beside the usual one, a DataLoader with PIL transforms?

Same network, same pictures, same device, same steps (forward, backward, SGD), measured in turns in one
run. The usual loop decodes nothing (its pictures are PIL images in memory), flips, turns, shifts and
colours them with torchvision's transforms in as many workers as there are cores, and trains in float32,
as tutorials do. ``python -m benchmarks.training [--model cnn_se] [--size 64] [--device auto]``
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.reporting import publish
from core.datasets import get_dataset
from core.models import build
from core.models.base import to_float
from core.training.augment import AUGMENTATIONS, augment
from core.training.config import TrainConfig
from core.training.optim import autocast, choose_device, make_optimizer, uses_bf16


class PILPictures(Dataset):
    """The usual data set: PIL pictures, transformed one by one."""

    def __init__(self, images, labels) -> None:
        self.images = [Image.fromarray(image) for image in images]
        self.labels = labels
        self.transform = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(),
                transforms.RandomVerticalFlip(),
                transforms.RandomAffine(
                    180, translate=(0.1, 0.1), scale=(0.88, 1.12), interpolation=transforms.InterpolationMode.BILINEAR
                ),
                transforms.ColorJitter(0.12, 0.12, 0.12),
                transforms.ToTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        return self.transform(self.images[index]), int(self.labels[index])


def usual_loop(network, config, images, labels, device) -> float:
    """Seconds for one pass of the usual loop."""
    workers = torch.multiprocessing.cpu_count()
    loader = DataLoader(
        PILPictures(images, labels), config.batch_size, shuffle=True, num_workers=workers, drop_last=True
    )
    optimizer = make_optimizer(network, config)
    started = time.perf_counter()
    for batch, truth in loader:
        loss = F.cross_entropy(network(batch.to(device)), truth.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    return time.perf_counter() - started


def our_loop(network, config, images, labels, device) -> float:
    """Seconds for one pass of the steps of `core.training.loop` (its order, augmentation, precision, layout)."""
    bf16 = uses_bf16("auto", device)
    pictures, truth = torch.from_numpy(images.copy()).to(device), torch.tensor(labels).to(device)
    optimizer = make_optimizer(network, config)
    generator = torch.Generator().manual_seed(0)
    started = time.perf_counter()
    order = torch.randperm(len(labels), generator=generator).to(device)
    for start in range(0, len(labels) - config.batch_size + 1, config.batch_size):
        chosen = order[start : start + config.batch_size]
        batch = augment(to_float(pictures[chosen]), AUGMENTATIONS["standard"], generator)
        batch = batch.contiguous(memory_format=torch.channels_last)
        with autocast(device, bf16):
            loss = F.cross_entropy(network(batch).float(), truth[chosen], label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    loss.item()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", nargs="+", default=["cnn_se", "cnn_bn"])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--images", type=int, default=1536)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = choose_device(options.device)
    # Drawn cells: speed doesn't depend on what the pictures show, and everyone can repeat it.
    train = get_dataset("synthetic").load(options.size)["train"]
    images, labels = train.images[: options.images], train.labels[: options.images]
    rows = []
    for model in options.model:
        config = TrainConfig.for_model(model, size=options.size)
        speeds = {"usual": [], "ours": []}
        for _ in range(options.rounds):
            for name, loop in (("usual", usual_loop), ("ours", our_loop)):
                network = build(model, 8, options.size).to(device).train()
                if name == "ours":
                    network = network.to(memory_format=torch.channels_last)
                speeds[name].append(
                    len(labels) // config.batch_size * config.batch_size / loop(network, config, images, labels, device)
                )
        usual, ours = (statistics.median(speeds[n]) for n in ("usual", "ours"))
        rows.append(
            {"model": model, "px": options.size, "usual images/s": usual, "ours images/s": ours, "ratio": ours / usual}
        )
    publish("training", rows, rounds=options.rounds, images=options.images)


if __name__ == "__main__":
    main()
