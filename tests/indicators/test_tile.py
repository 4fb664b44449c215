from itertools import pairwise

import numpy as np
import pytest

from sdm_ray.geo.windows import Window
from sdm_ray.indicators.tile import species_blocks, strips


class Stored:
    """As much of a map as blocks need."""

    species_chunk = 4

    def __init__(self, species):
        self.species = species

    def species_blocks(self):
        return [slice(start, min(start + 256, self.species)) for start in range(0, self.species, 256)]

    def stored(self, window, block):
        return np.broadcast_to(np.arange(block.start, block.stop)[:, None, None], (block.stop - block.start, 2, 3))


@pytest.mark.parametrize("species", [1, 65, 256, 257, 5681])
@pytest.mark.parametrize("side", [64, 512, 2048])
def test_blocks_are_small_and_end_where_shards_do(species, side):
    """The reads are not made: a window of `side` asks for its blocks, and gets cells of a smaller one."""
    blocks = [block for block, _ in species_blocks(Stored(species), Window(0, 0, side, side), np.arange(6))]
    assert blocks[0].start == 0 and blocks[-1].stop == species
    assert all(one.stop == other.start for one, other in pairwise(blocks))
    assert all((block.stop - block.start) * side**2 <= 1 << 24 for block in blocks)
    assert {256 * number for number in range(1, species // 256 + 1)} <= {block.stop for block in blocks}
    assert all(block.start % 4 == 0 for block in blocks)


def test_known_cells_alone_are_kept():
    found = [stored for _, stored in species_blocks(Stored(5), Window(0, 0, 2, 3), np.array([1, 4]))]
    assert np.concatenate(found).tolist() == [[number] * 2 for number in range(5)]


def test_strips_cover_a_block_once():
    seen = np.zeros((257, 3000), int)
    for species, cells in strips(slice(0, 257), 3000):
        seen[species, cells] += 1
    assert (seen == 1).all()
