"""Windows of the tile cube around places, by id: satellite images for any place of the cube."""

from dataclasses import dataclass, replace

from sdm_ray.batch import Array, Batch, Ints
from sdm_ray.streams import keyed_random
from sdm_ray.streams.dataset import Part, read_parts
from sdm_ray.streams.parts import FromCube, InMemory
from sdm_ray.streams.places import Places
from sdm_ray.streams.windows import Windows


@dataclass(frozen=True)
class WindowDataset:
    """Square windows centred on places.

    Attributes:
        windows: of the places.
        augment: whether batches have random numbers for the augmentation, by a key per (seed, epoch, id).
        seed: of the augmentation.
    """

    windows: Windows
    augment: bool = False
    seed: int = 0

    def __len__(self) -> int:
        return len(self.windows.places)

    def subset(self, rows: Ints, *, plain: bool = False) -> "WindowDataset":
        """Windows of some of these places; `plain` without augmentation."""
        part = replace(self, windows=self.windows.subset(rows))
        return replace(part, augment=False) if plain else part

    def at(self, places: Places) -> "WindowDataset":
        """Windows of other places."""
        return replace(self, windows=replace(self.windows, places=places))

    def parts(self) -> list[Part]:
        """Places, and windows of the cube."""
        return [InMemory(self._places), FromCube(self.windows, self._with_images)]

    def read(self, ids: Ints, epochs: Ints) -> Batch[Array]:
        """`image_satellite` uint16 reflectance x 10,000, 0 = nodata, (N, B, size, size); `lonlat`; `place`."""
        return read_parts(self.parts(), ids, epochs)

    def _places(self, ids: Ints, epochs: Ints) -> Batch[Array]:
        places = self.windows.places
        return Batch({"lonlat": places.lonlat(ids), "place": places.number(ids)})

    def _with_images(self, ids: Ints, epochs: Ints, images: Array) -> Batch[Array]:
        batch = Batch({"image_satellite": images})
        if self.augment:
            batch["draws_satellite"] = keyed_random.table(keyed_random.keys(self.seed, epochs, ids))
        return batch
