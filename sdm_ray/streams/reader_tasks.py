"""Ray Data tasks that read for a stream: how many, what they take, where they run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.data import Dataset

STORE_BYTES = 384 << 20
"""Of the object store that one stream may fill at most: more does not make it faster."""


@dataclass(frozen=True)
class ReaderTasks:
    """The tasks that read for one stream of one rank.

    Attributes:
        count: that read at the same time; 0: threads of the rank itself read.
        cpus: of a task, as Ray counts them: whichever task decodes does so on every core of its machine.
        reserve_mb: megabytes of memory that Ray sets aside for a task.
        labels: of the nodes that tasks run on, such as those of a group without GPUs; empty: any node.
        store_bytes: of Ray's object store that what was read and not yet used may fill.
    """

    count: int = 0
    cpus: float = 0.25
    reserve_mb: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    store_bytes: int = STORE_BYTES

    def options(self) -> dict[str, Any]:
        """For Ray: what a task takes and where it runs."""
        memory = {"memory": self.reserve_mb * 2**20} if self.reserve_mb else {}
        labels = {"label_selector": dict(self.labels)} if self.labels else {}
        return {"num_cpus": self.cpus, **memory, **labels}

    def limit(self, data: "Dataset") -> None:
        """Hold a dataset to the share of the object store, and to the order of its rows."""
        from ray.data import ExecutionResources

        data.context.execution_options.preserve_order = True
        data.context.execution_options.resource_limits = ExecutionResources(object_store_memory=self.store_bytes)


NO_TASKS = ReaderTasks()
"""Threads of the rank read."""
