"""Damaged inputs: what a reader is given is spoilt at random, and it must read it or say in one line what is wrong.

Run as a program for the long form, thousands of cases a reader (the short one is `test_hostile.py`):

    uv run python tests/faults/hostile.py --cases 3000
"""

import argparse
import contextlib
import json
import random
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sdm_ray.errors import InputError

GOLDEN = Path(__file__).parents[1] / "golden"
LIMIT_S = 60  # of one case: more is a hang
ODD = [None, -1, 0, 1 << 40, "", "x" * 3000, [], {}, [None], float("nan"), True, "../../etc/passwd", 1e300, "\x00"]
TEXT = {".json", ".yaml", ".csv", ".wkt", ".geojson", ".xml", ".txt"}


@dataclass(frozen=True)
class Target:
    """A reader and what it is given.

    Attributes:
        place: a file or folder that it can read.
        read: reads it, given a damaged copy.
    """

    place: Path
    read: Callable[[Path], Any]


def damaged(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """A file's content, spoilt."""
    if suffix in (".json", ".yaml") and rng.random() < 0.6:
        with contextlib.suppress(ValueError, yaml.YAMLError):
            return _odd_value(content, suffix, rng)
    kind = rng.choice(["cut", "flip", "zero", "twice", "empty", "noise", "insert"])
    at = rng.randrange(max(1, len(content)))
    if kind == "cut":
        return content[:at]
    if kind == "empty":
        return b""
    if kind == "noise":
        return rng.randbytes(min(len(content), 4096))
    if kind == "twice":
        return content + content[at:]
    if kind == "insert":
        return content[:at] + rng.choice([b"\x00", b"\xff\xfe", b'"', b"\n\n", b",,,", b"{", b"9" * 400]) + content[at:]
    spoilt = bytearray(content)
    for _ in range(rng.choice([1, 8, 64])):
        if spoilt:
            spoilt[rng.randrange(len(spoilt))] = 0 if kind == "zero" else rng.randrange(256)
    return bytes(spoilt)


def _odd_value(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """JSON or YAML with one value replaced, removed or added."""
    values = json.loads(content) if suffix == ".json" else yaml.safe_load(content)
    places = list(_containers(values))
    if not places:
        return json.dumps(rng.choice(ODD)).encode()
    inside = rng.choice(places)
    key = rng.choice(list(inside)) if isinstance(inside, dict) else rng.randrange(len(inside))
    if rng.random() < 0.3:
        del inside[key]
    else:
        inside[key] = rng.choice(ODD)
    return (json.dumps(values) if suffix == ".json" else yaml.safe_dump(values)).encode()


def _containers(values: Any) -> Iterator[Any]:
    if isinstance(values, dict | list) and values:
        yield values
        for each in values.values() if isinstance(values, dict) else values:
            yield from _containers(each)


@contextlib.contextmanager
def _within(seconds: int) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attack(target: Target, seed: int, scratch: Path) -> str | None:
    """Spoil one file of what a reader reads; what it raised, if that is no InputError of one line."""
    rng = random.Random(seed)
    copy = scratch / target.place.name
    shutil.rmtree(copy, ignore_errors=True)
    copy.unlink(missing_ok=True) if copy.is_file() else None
    if target.place.is_dir():
        shutil.copytree(target.place, copy)
        files = sorted(each for each in copy.rglob("*") if each.is_file() and each.suffix != ".png")
    else:
        for each in target.place.parent.glob(f"{target.place.stem}*"):
            shutil.copy(each, scratch / each.name)
        files = [copy]
    # Files of text hold what readers go by; of chunks there are many.
    hit = (
        rng.choice([each for each in files if each.suffix in TEXT] or files)
        if rng.random() < 0.6
        else rng.choice(files)
    )
    if rng.random() < 0.05:
        hit.unlink()
    else:
        hit.write_bytes(damaged(hit.read_bytes(), hit.suffix, rng))
    try:
        with _within(LIMIT_S), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            target.read(copy)
    except InputError as error:
        return None if len(str(error).splitlines()) == 1 else f"{hit.name}: several lines: {error}"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        own = [each for each in traceback.extract_tb(error.__traceback__) if "/sdm_ray/" in each.filename]
        where = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else f"{last.filename}:{last.lineno}"
        return f"{hit.relative_to(scratch)}: {type(error).__name__}: {str(error)[:200]!r} at {where}"
    return None


def targets(scratch: Path) -> dict[str, Target]:
    """Every reader of what people or earlier runs leave, with something that it can read."""
    from faults.hostile_targets import made

    return made(GOLDEN, scratch)


def main() -> int:
    """The long form; exit status 1 where a case ended in anything but one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000, help="for each reader")
    parser.add_argument("--only", help="one reader")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        made, scratch = Path(place) / "made", Path(place) / "spoilt"
        made.mkdir(), scratch.mkdir()
        for name, target in targets(made).items():
            if given.only in (None, name):
                found = [attack(target, given.seed + number, scratch) for number in range(given.cases)]
                wrong = Counter(each.partition(": ")[2] for each in found if each)
                failed += sum(wrong.values())
                print(f"{name}: {given.cases} cases, {sum(wrong.values())} not told in one line", flush=True)
                for line, count in wrong.most_common(12):
                    print(f"  {count} x {line}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    sys.exit(main())
