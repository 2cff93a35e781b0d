"""Which photographs are trained on and which are held out: as the source's publishers say, or by the photograph's content."""

from collections import Counter
from collections.abc import Sequence

from common.data.manifest import SPLITS, ShardConfig
from common.data.sources.files import SourceFile

HASH_DIGITS = 16  # hexadecimal digits of a content hash that are read as a number


def assign_splits(photographs: Sequence[tuple[str, str | None]], config: ShardConfig) -> list[str]:
    """Returns the split of each photograph, given its content hash and the split that it was published in (None: in none).

    Where nothing was published, a photograph's split follows from its own content alone: it is the same on every machine, and
    photographs that are added later leave the others where they are. A published validation set without a published test set
    is the test set, as in papers on ImageNet, and validation photographs are taken from the training set.
    """
    published = (
        {split for _, split in photographs if split} if config.splits == "official" else set()
    )
    splits = [
        _split_of(content, split if published else None, published, config)
        for content, split in photographs
    ]
    _fill_empty(splits, [content for content, _ in photographs], config)
    return splits


def tests_first(files: Sequence[SourceFile], config: ShardConfig) -> list[SourceFile]:
    """Sorts files by their published split, test files first."""
    if config.splits != "official":
        return list(files)
    order = {split: number for number, split in enumerate(reversed(SPLITS))}
    return sorted(files, key=lambda file: order.get(file.split or "train", 0))


def _split_of(content: str, split: str | None, published: set[str], config: ShardConfig) -> str:
    position = _position(content)
    if split is None and not published:
        if position < config.test:
            return "test"
        return "validation" if position < config.test + config.validation else "train"
    if split == "test" or (split == "validation" and "test" not in published):
        return "test"
    has_validation = {"test", "validation"} <= published
    if split == "validation" or (not has_validation and position < config.validation):
        return "validation"
    return "train"


def _fill_empty(splits: list[str], contents: Sequence[str], config: ShardConfig) -> None:
    """In a very small data set, gives a split without photographs the one that was nearest to it, if its own split has others."""
    held_out = config.test + config.validation
    ranges = {
        "test": (0.0, config.test),
        "validation": (config.test, held_out),
        "train": (held_out, 1.0),
    }
    for name, (low, high) in ranges.items():
        counts = Counter(splits)
        candidates = [number for number, split in enumerate(splits) if counts[split] > 1]
        if name not in counts and candidates:
            outside = {
                number: max(low - _position(contents[number]), _position(contents[number]) - high)
                for number in candidates
            }
            splits[min(candidates, key=lambda number: outside[number])] = name


def _position(content: str) -> float:
    """A number in [0, 1) from a content hash."""
    return float(int(content[:HASH_DIGITS], 16) / 16**HASH_DIGITS)
