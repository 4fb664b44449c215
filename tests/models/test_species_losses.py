"""Losses of presences: by hand, by their gradients, and over several ranks."""

import pytest
import torch
import torch.multiprocessing as mp
from torch import distributed
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from sdm_ray.models.distributed import Ranks
from sdm_ray.models.species_losses import UNKNOWN, Asymmetry, assume_negative, asymmetric, bce, classes, max_entropy


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 4, generator=generator)
    labels = (torch.rand(12, 4, generator=generator) < 0.3).to(torch.uint8)
    labels[0] = 1
    return logits, labels, torch.randn(20, 4, generator=generator)


def test_bce_means_over_rows_and_species(rows):
    logits, labels, _ = rows
    assert torch.isclose(bce(logits, labels), binary_cross_entropy_with_logits(logits, labels.float()))
    halves = (bce(logits[:6], labels[:6]) + bce(logits[6:], labels[6:])) / 2
    assert torch.isclose(halves, bce(logits, labels))
    ones, zeros = torch.ones(4), torch.zeros(4)
    both = bce(logits, labels, torch.stack([ones, zeros])) + bce(logits, labels, torch.stack([zeros, ones]))
    assert torch.isclose(both, bce(logits, labels))


def test_a_label_between_is_so_much_of_both(rows):
    logits, labels, _ = rows
    weight = torch.rand(2, 4) + 0.5
    ones, zeros = torch.ones_like(labels), torch.zeros_like(labels)
    expected = 0.3 * bce(logits, ones, weight) + 0.7 * bce(logits, zeros, weight)
    assert torch.isclose(bce(logits, torch.full(labels.shape, 0.3), weight), expected)


def test_what_nobody_can_say_teaches_nothing(rows):
    logits, labels, _ = rows
    labels[3, 2] = UNKNOWN
    logits.requires_grad_()
    for loss in (bce(logits, labels), asymmetric(logits, labels, Asymmetry())):
        (slope,) = torch.autograd.grad(loss, logits)
        assert slope[3, 2] == 0 and (slope.flatten() != 0).sum() > 20


def test_assume_negative_adds_random_places(rows):
    logits, labels, background = rows
    p, other = torch.sigmoid(logits), torch.sigmoid(background)
    each = -(3 * labels * p.log() + (1.0 - labels) * (1 - p).log())
    expected = each.mean() - (1 - other).log().mean()
    assert torch.isclose(assume_negative(logits, labels, background, 3.0), expected)


def test_max_entropy_is_the_softmax_of_a_species_over_sites(rows):
    logits, labels, background = rows
    logits.requires_grad_()
    background.requires_grad_()
    sites = torch.cat([logits, background])
    row, species = torch.nonzero(labels, as_tuple=True)
    expected = cross_entropy(sites.T[species], row)
    found = max_entropy(logits, labels, background)
    assert torch.isclose(found, expected)
    for a, b in zip(*(torch.autograd.grad(loss, [logits, background]) for loss in (found, expected)), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_sites_that_shift_together_change_nothing(rows):
    logits, labels, background = rows
    far = max_entropy(logits + 500, labels, background + 500)
    assert torch.isclose(far, max_entropy(logits, labels, background), rtol=1e-4)


def _rank(rank, world, logits, labels, background, results):
    distributed.init_process_group("gloo", init_method=f"file://{results}/meet", rank=rank, world_size=world)
    own = [
        torch.tensor_split(part, world)[rank].clone().requires_grad_(part.is_floating_point())
        for part in (logits, background)
    ]
    value = max_entropy(own[0], torch.tensor_split(labels, world)[rank], own[1], Ranks(rank, world))
    value.backward()
    torch.save([value.detach(), own[0].grad, own[1].grad], f"{results}/{rank}")
    distributed.destroy_process_group()


def test_two_ranks_have_the_gradients_of_one(rows, tmp_path):
    logits, labels, background = rows
    mp.spawn(_rank, (2, logits, labels, background, str(tmp_path)), nprocs=2)
    parts = [torch.load(tmp_path / str(rank)) for rank in range(2)]
    logits.requires_grad_()
    background.requires_grad_()
    expected = max_entropy(logits, labels, background)
    slopes = torch.autograd.grad(expected, [logits, background])
    assert torch.isclose((parts[0][0] + parts[1][0]) / 2, expected)
    for place, slope in enumerate(slopes, 1):
        assert torch.allclose(torch.cat([part[place] for part in parts]) / 2, slope, atol=1e-6)


def test_asymmetric_forgets_easy_absences(rows):
    logits, labels, _ = rows
    plain = Asymmetry(positive=0, negative=0, margin=0)
    assert torch.isclose(asymmetric(logits, labels, plain), bce(logits, labels), atol=1e-5)
    absent = torch.zeros(1, 1, dtype=torch.uint8)
    easy, hard = torch.tensor([[-4.0]]), torch.tensor([[2.0]])
    assert asymmetric(easy, absent, Asymmetry()) == 0 < asymmetric(hard, absent, Asymmetry())
    assert torch.isfinite(asymmetric(torch.full((1, 1), 60.0), absent, Asymmetry()))


def test_classes_exclude_each_other(rows):
    logits, _, _ = rows
    right = torch.arange(12) % 4
    assert torch.isclose(classes(logits, torch.eye(4, dtype=torch.uint8)[right]), cross_entropy(logits, right))
