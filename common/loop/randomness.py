"""Seeds, saves and restores a process's random generators, and opens private random streams beside them."""

import random
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_everything(seed: int) -> None:
    """Seeds python, numpy and torch on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def own_randomness(name: str) -> Iterator[None]:
    """A private random stream, seeded by the one outside and by a name; the one outside is not advanced.

    So what is drawn outside does not depend on whether anything was drawn inside, and generators of variants with and without a
    critic start equal. Two streams that are opened at the same point need different names.
    """
    with _forked():
        torch.manual_seed(_drawn_seed() ^ zlib.crc32(name.encode()))
        yield


@contextmanager
def noise_of_rank(rank: int, device: torch.device) -> Iterator[None]:
    """A private random stream for this rank; the shared one advances by one draw if anything was drawn inside."""
    with _forked():
        torch.manual_seed(_drawn_seed() + rank)
        before = _generator_state(device)
        yield
        drawn = not torch.equal(before, _generator_state(device))
    if drawn:
        torch.rand(())


def _forked() -> AbstractContextManager[None]:
    """A context that restores torch's generators on every device."""
    return torch.random.fork_rng(range(torch.cuda.device_count()))


def _drawn_seed() -> int:
    return int(torch.randint(2**62, ()))


def _generator_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def random_state() -> dict[str, Any]:
    """The state of every global random generator, as tensors and plain values; of GPUs, that of this process's own."""
    version, internal, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(internal), gauss],
        "numpy": [
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ],
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Restores the generators to a state that `random_state` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"][0])
