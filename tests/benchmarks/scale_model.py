"""A map's scheduler, simulated: nodes that join late and are lost, tiles of all sizes, late tiles started twice."""

import heapq
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sdm_ray.ray_attempts import late_after


@dataclass(frozen=True)
class Cluster:
    """The machines of a run.

    Attributes:
        nodes: how many.
        slots: tiles at once on each.
        ready_s: seconds from which on each node can work, the last value for further ones.
        dispatch_s: of the driver for each tile, one after the other.
        losses_h: chance of each node to be lost within an hour.
        noticed_s: seconds until Ray notices that a node is lost, and what it was doing begins again.
        replaced_s: seconds until a lost node has a successor.
        slowness: by which the tiles of each node take longer, the last value for further ones.
        lost_s: seconds at which a node is lost -> its number, beside those lost by chance.
    """

    nodes: int
    slots: int
    ready_s: Sequence[float] = (0.0,)
    dispatch_s: float = 0.0016
    losses_h: float = 0.0
    noticed_s: float = 15.0
    replaced_s: float = 180.0
    slowness: Sequence[float] = (1.0,)
    lost_s: Mapping[float, int] = field(default_factory=dict)


@dataclass
class _Run:
    """A simulated run under way."""

    tiles: Sequence[float]
    cluster: Cluster
    twice: bool
    rng: random.Random
    todo: deque[int]
    events: list[tuple[float, int, str, int, int]] = field(default_factory=list)
    idle: deque[int] = field(default_factory=deque)  # nodes, once for each idle slot
    running: dict[int, tuple[int, int, float]] = field(default_factory=dict)  # attempt -> tile, node, its seconds
    done: set[int] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)  # that tiles took
    begun: dict[int, float] = field(default_factory=dict)  # tiles under way since the last one began
    look: float = 0.0  # before which no tile is late
    second: set[int] = field(default_factory=set)  # tiles begun a second time
    driver: float = 0.0
    count: int = 0

    def plan(self, at: float, kind: str, what: int) -> int:
        """Have something happen."""
        self.count += 1
        heapq.heappush(self.events, (at, self.count, kind, what, 0))
        return self.count

    def start(self, tile: int, now: float) -> None:
        """Begin a tile on an idle slot."""
        node = self.idle.popleft()
        self.driver = max(self.driver, now) + self.cluster.dispatch_s
        seconds = self.tiles[tile] * _of(self.cluster.slowness, node)
        self.running[self.plan(self.driver + seconds, "end", tile)] = tile, node, seconds

    def fill(self, now: float) -> None:
        """Give idle slots work."""
        while self.idle and self.todo:
            self.start(self.todo.popleft(), now)
        if self.twice and not self.todo and now >= self.look:
            self.start_late_ones(now)

    def start_late_ones(self, now: float) -> None:
        """Begin late tiles a second time on idle slots."""
        under_way = {tile for tile, _, _ in self.running.values()} - self.second
        self.begun |= {tile: now for tile in under_way if tile not in self.begun}
        limit = late_after(self.seconds)
        late = sorted((tile for tile in under_way if now - self.begun[tile] >= limit), key=self.begun.__getitem__)
        room = len(self.idle)
        for tile in late[:room]:
            self.second.add(tile)
            self.start(tile, now)
        soon = [self.begun[tile] + limit for tile in under_way - set(late)]
        self.look = now
        if self.seconds and soon and len(late) <= room:
            self.look = min(soon)
            self.plan(self.look, "look", 0)

    def end(self, attempt: int, tile: int) -> None:
        """A tile ends, and with it a second attempt at it."""
        if attempt in self.running:  # else its node was lost, or another attempt ended before
            self.done.add(tile)
            self.seconds.append(self.running[attempt][2])
            for each, (other, node, _) in list(self.running.items()):
                if other == tile:
                    del self.running[each]
                    self.idle.append(node)

    def lose(self, node: int, now: float) -> None:
        """A node is lost with what runs on it, which waits again once that is noticed."""
        self.idle = deque(each for each in self.idle if each != node)
        for each, (tile, where, _) in list(self.running.items()):
            if where == node:
                del self.running[each]
                self.plan(now + self.cluster.noticed_s, "again", tile)
        self.up(node, now + self.cluster.replaced_s)

    def up(self, node: int, at: float) -> None:
        """Have a node join, and be lost some day."""
        self.plan(at, "join", node)
        if self.cluster.losses_h:
            self.plan(at + self.rng.expovariate(self.cluster.losses_h / 3600), "lose", node)


def _of(values: Sequence[float], node: int) -> float:
    return values[min(node, len(values) - 1)]


def makespan(
    tiles: Sequence[float], cluster: Cluster, *, largest_first: bool = False, twice: bool = False, seed: int = 0
) -> float:
    """Seconds until the last tile is done.

    Args:
        tiles: seconds of each, in the order of the work.
        cluster: the machines.
        largest_first: whether long tiles begin first.
        twice: whether tiles that are late begin a second time (see `sdm_ray.ray_attempts`).
        seed: of the losses.
    """
    order = sorted(range(len(tiles)), key=lambda tile: -tiles[tile]) if largest_first else range(len(tiles))
    run = _Run(tiles, cluster, twice, random.Random(seed), deque(order))
    for node in range(cluster.nodes):
        run.up(node, _of(cluster.ready_s, node))
    for at, node in cluster.lost_s.items():
        run.plan(at, "lose", node)
    now = 0.0
    while len(run.done) < len(tiles):
        now, attempt, kind, what, _ = heapq.heappop(run.events)
        if kind == "join":
            run.idle.extend([what] * cluster.slots)
        elif kind == "lose":
            run.lose(what, now)
        elif kind == "end":
            run.end(attempt, what)
        elif kind == "again" and what not in run.done | {tile for tile, _, _ in run.running.values()}:
            run.todo.appendleft(what)
        run.fill(now)
    return now
