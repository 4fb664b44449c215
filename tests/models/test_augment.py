"""Augmentation on the device."""

import torch

from sdm_ray.models.augment import Augmentation, dihedral


def test_the_eight_images_of_a_square():
    image = torch.arange(2 * 9.0).reshape(1, 2, 3, 3)
    found = dihedral(image.expand(8, -1, -1, -1), torch.arange(8) / 8 + 0.01)
    assert torch.equal(found[0], image[0])
    assert torch.equal(found[1], torch.rot90(image[0], 1, (1, 2)))
    assert torch.equal(found[4], image[0].flip(2))
    assert len({tuple(each.flatten().tolist()) for each in found}) == 8


def test_a_row_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    images, draws = torch.randint(0, 3000, (6, 4, 8, 8)).to(torch.uint16), torch.rand(6, 8)
    augment = Augmentation(turns=True, jitter=0.3, band_dropout=0.5)
    together = augment(images, draws)
    alone = torch.cat([augment(images[i : i + 1], draws[i : i + 1]) for i in range(6)])
    assert torch.equal(together, alone)
    assert not torch.equal(together, images.float())


def test_photos_are_flipped_and_never_turned():
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    found = Augmentation()(image.expand(2, -1, -1, -1), torch.tensor([[0.1] * 5, [0.9] * 5]))
    assert torch.equal(found[0], image[0]) and torch.equal(found[1], image[0].flip(2))


def test_jitter_changes_values_within_its_share_and_leaves_nodata():
    images = torch.full((200, 3, 4, 4), 1000.0)
    images[:, :, 0, 0] = 0
    torch.manual_seed(1)
    found = Augmentation(jitter=0.2)(images, torch.rand(200, 8))
    assert (found == 0).sum() == (images == 0).sum()
    bright = found[:, 0, 2, 2] / 1000
    assert 0.75 < bright.min() < 0.9 and 1.1 < bright.max() < 1.25


def test_one_band_is_lost_at_the_given_rate():
    draws = torch.zeros(1000, 5)
    draws[:, 4] = torch.arange(1000) / 1000
    found = Augmentation(band_dropout=0.2)(torch.ones(1000, 4, 2, 2), draws)
    lost = (found == 0).all(dim=(2, 3))
    assert lost.sum(1).max() == 1 and lost.sum(0).tolist() == [50] * 4


def test_an_image_is_turned_then_flipped_by_its_draw():
    torch.manual_seed(2)
    images, draws = torch.rand(40, 2, 5, 5), torch.rand(40)
    for image, draw, found in zip(images, draws, dihedral(images, draws), strict=True):
        flips, turns = divmod(int(draw * 8), 4)
        turned = torch.rot90(image, turns, (1, 2))
        assert torch.equal(found, turned.flip(2) if flips else turned)
