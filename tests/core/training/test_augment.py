import torch

from core.training.augment import AUGMENTATIONS, Augmentation, augment


def pictures(n: int = 64, size: int = 16) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_none_leaves_pictures_as_they_are() -> None:
    assert torch.equal(augment(pictures(), AUGMENTATIONS["none"], generator()), pictures())


def test_flips_are_exactly_the_eight_symmetries() -> None:
    marked = torch.zeros(400, 3, 4, 4)
    marked[:, :, 0, 1] = 1  # has eight different images under the symmetries of the square
    turned = augment(marked, AUGMENTATIONS["flips"], generator())
    places = {tuple(p[0].nonzero()[0].tolist()) for p in turned}
    assert places == {(0, 1), (0, 2), (1, 0), (2, 0), (3, 1), (3, 2), (1, 3), (2, 3)}
    assert torch.equal(turned.sum((1, 2, 3)), marked.sum((1, 2, 3)))


def test_the_resampling_path_draws_the_same_eight_turns() -> None:
    marked = torch.zeros(400, 3, 4, 4)
    marked[:, :, 0, 1] = 1
    tiny = Augmentation(scale=1e-9)
    turned = augment(marked, tiny, generator())
    places = {divmod(int(p[0].argmax()), 4) for p in turned}
    assert places == {(0, 1), (0, 2), (1, 0), (2, 0), (3, 1), (3, 2), (1, 3), (2, 3)}
    assert torch.allclose(turned.amax((1, 2, 3)), torch.ones(400), atol=1e-4)


def test_a_seed_decides_everything() -> None:
    a, b, c = (augment(pictures(), AUGMENTATIONS["standard"], generator(s)) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_shift_moves_at_most_its_share() -> None:
    spot = torch.zeros(200, 1, 41, 41).expand(-1, 3, -1, -1).clone()
    spot[:, :, 20, 20] = 1
    moved = augment(spot, Augmentation(dihedral=False, shift=0.1), generator())
    rows = torch.arange(41.0)
    centre = (moved[:, 0].sum(2) * rows).sum(1) / moved[:, 0].sum((1, 2))
    assert (centre - 20).abs().max() <= 4.1 + 0.01
    assert (centre - 20).abs().max() > 3


def test_gain_and_bias_keep_to_their_range_per_channel() -> None:
    grey = torch.full((500, 3, 4, 4), 0.5)
    varied = augment(grey, Augmentation(dihedral=False, gain=0.12, bias=0.03), generator())
    assert varied.min() >= 0.5 * 0.88 - 0.03
    assert varied.max() <= 0.5 * 1.12 + 0.03
    assert (varied[:, 0] != varied[:, 1]).any()
    assert torch.equal(varied[:, :, 0, 0], varied[:, :, 3, 3])


def test_sharp_moves_pixels_without_changing_their_values() -> None:
    levels = (torch.rand(64, 1, 28, 28, generator=generator(3)) * 255).round().expand(-1, 3, -1, -1).clone()
    moved = augment(levels, Augmentation(shift=0.1, whole_pixels=True), generator())
    assert (moved - moved.round()).abs().max() < 0.05
    inner = moved[:, :, 6:22, 6:22]
    assert all(torch.isin(m.round().unique(), b.unique()).all() for m, b in zip(inner, levels, strict=True))
    assert not torch.equal(moved, levels)
