"""A random forest in plain torch: trees that scikit-learn has grown, walked side by side, on any device."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

_STEPS = 4  # walked between two looks at which walks have ended
_ROWS = 8192  # walked at once: bounds memory
_DOUBT = 1e-3  # added to a share and to its rest, so that the logit of none of all trees is finite; at the most
_LEAST_DOUBT = 1e-6
_DOUBT_OF_RARE = 0.5  # times a species' prevalence: a place without any is no likelier than the average place


class Tree(NamedTuple):
    """A grown tree of M nodes, the root first.

    Attributes:
        left: node that is next where the feature is at most the threshold, (M,); below 0 in a leaf.
        right: node that is next elsewhere, (M,).
        feature: column that a node looks at, (M,).
        threshold: (M,).
        shares: of each species' presences in a node, (M, S).
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    shares: NDArray[np.float64]

    @classmethod
    def of_sklearn(cls, grown: Any) -> "Tree":  # noqa: ANN401 - scikit-learn is not imported here
        """A regression tree of scikit-learn (its `tree_`), grown on labels of 0 and 1."""
        return cls(grown.children_left, grown.children_right, grown.feature, grown.threshold, grown.value[:, :, 0])


class Forest(nn.Module):
    """Trees whose leaves hold the share of every species' presences.

    Nodes of all trees stand in one list in which a right child follows its left sibling, and a leaf leads to itself.
    So all rows walk through all trees at once, with a few lookups a step; those that have arrived drop out.

    Args:
        state: the buffers, by name; those of a former release have no `doubt`.
    """

    root: Tensor
    feature: Tensor
    threshold: Tensor
    left: Tensor
    leaf: Tensor
    shares: Tensor
    doubt: Tensor

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name in ("root", "feature", "threshold", "left", "leaf", "shares"):
            self.register_buffer(name, state[name])
        self.register_buffer("doubt", state.get("doubt", torch.tensor(_DOUBT)), persistent="doubt" in state)

    @classmethod
    def of_trees(cls, trees: Iterable[Tree], prevalence: NDArray[np.floating] | None = None) -> "Forest":
        """A forest of grown trees; each is let go as it is taken over.

        Args:
            trees: grown.
            prevalence: of each species in the rows that they were grown on, (S,), by which the lowest logit of a rare
                species is set; by default it is that of 1 in 1,000 for all.
        """
        nodes, leaves, parts = 0, 0, []
        for tree in trees:
            part = _in_order(tree)
            parts.append(
                {**part, "root": np.array([nodes]), "left": part["left"] + nodes, "leaf": part["leaf"] + leaves}
            )
            nodes, leaves = nodes + len(part["left"]), leaves + len(part["shares"])
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        kinds = {"threshold": torch.float32, "shares": torch.float16}
        state = {name: torch.from_numpy(each).to(kinds.get(name, torch.int32)) for name, each in whole.items()}
        if prevalence is not None:
            doubt = np.clip(_DOUBT_OF_RARE * np.asarray(prevalence), _LEAST_DOUBT, _DOUBT)
            state["doubt"] = torch.from_numpy(doubt).float()
        return cls(state)

    def forward(self, x: Tensor) -> Tensor:
        """Mean over the trees of the shares in the leaves where rows arrive, float32 (N, S).

        Args:
            x: features, finite, float32 (N, F).
        """
        parts = [functional.embedding_bag(self._leaves(part), self.shares, mode="mean") for part in x.split(_ROWS)]
        return torch.cat(parts).float()

    def logits(self, x: Tensor) -> Tensor:
        """Logits of the mean shares, (N, S)."""
        share = self.forward(x)
        return torch.log((share + self.doubt) / (1 - share + self.doubt))

    def keep_species(self, numbers: list[int]) -> None:
        """Forget all species but these."""
        self.shares = self.shares[:, numbers]
        if self.doubt.ndim:
            self.doubt = self.doubt[numbers]

    def _leaves(self, x: Tensor) -> Tensor:
        """Leaf of each tree where each row arrives, int32 (N, trees)."""
        count = len(self.root)
        values = x.reshape(-1)
        node = self.root.repeat(len(x))
        first = torch.arange(0, x.numel(), max(1, x.shape[1]), dtype=torch.int32, device=x.device)
        first = first.repeat_interleave(count)  # where a walk's row begins among the values
        found = torch.empty_like(node)
        walk = torch.arange(len(node), device=x.device)
        while len(walk):
            for _ in range(_STEPS):
                value = values.index_select(0, first + self.feature.index_select(0, node))
                node = self.left.index_select(0, node) + (value > self.threshold.index_select(0, node))
            on = self.left.index_select(0, node) != node
            found[walk[~on]] = self.leaf.index_select(0, node[~on])
            node, first, walk = node[on], first[on], walk[on]
        return found.view(len(x), count)


def _in_order(tree: Tree) -> dict[str, NDArray[np.generic]]:
    """The nodes of a tree level by level, siblings side by side."""
    level = np.zeros(1, np.int64)
    levels = []
    while len(level):
        levels.append(level)
        inner = level[tree.left[level] >= 0]
        level = np.stack([tree.left[inner], tree.right[inner]], axis=1).ravel()
    order = np.concatenate(levels)
    place = np.argsort(order)
    ends = tree.left[order] < 0
    return {
        "feature": np.where(ends, 0, tree.feature[order]),
        "threshold": np.where(ends, np.float32(np.inf), _rounded_down(tree.threshold[order])),
        "left": np.where(ends, np.arange(len(order)), place[tree.left[order]]),
        "leaf": np.where(ends, np.cumsum(ends) - 1, 0),
        "shares": tree.shares[order[ends]].astype(np.float16),
    }


def _rounded_down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest single-precision numbers that are not above these: as many of them go left."""
    nearest = threshold.astype(np.float32)
    return np.where(nearest > threshold, np.nextafter(nearest, np.float32(-np.inf)), nearest)
