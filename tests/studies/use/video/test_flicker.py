import weakref
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import Tensor

from common.colour import lab
from studies.use.video import flicker
from studies.use.video.flicker import ColourConsistency, Smoother, StillFlicker

Frames = list[tuple[Tensor, Tensor]]  # (L, ab) in the networks' scale


def still_scene(seed: int, noise: float, frames: int = 24, flash: float = 0.0) -> Frames:
    """A picture that stands still under sensor noise and flashes of brightness (Lab units); its colours flicker by 4 units."""
    draw = torch.Generator().manual_seed(seed)
    L, ab = torch.rand((1, 1, 6, 8), generator=draw), torch.rand((1, 2, 6, 8), generator=draw)
    L, ab = (plane.repeat_interleave(8, 2).repeat_interleave(8, 3) for plane in (L, ab))

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    return [
        (
            L + (noise * normal(1, 1, 48, 64) + flash * normal(1, 1, 1, 1)) / lab.L_CENTRE,
            ab + 4 * normal(1, 2, 1, 1) / lab.AB_RANGE,
        )
        for _ in range(frames)
    ]


def moving_scene(speed: int, frames: int = 14) -> Frames:
    """A square of 12 pixels, 30 units lighter and 80 units of chroma away from its background, goes to the right; nothing flickers."""
    scene = []
    for number in range(frames):
        L, ab = torch.full((1, 1, 40, 80), -0.2), torch.zeros(1, 2, 40, 80)
        columns = slice(4 + speed * number, 16 + speed * number)
        L[..., 14:26, columns] += 30 / lab.L_CENTRE
        ab[:, 0, 14:26, columns] += 80 / lab.AB_RANGE
        scene.append((L, ab))
    return scene


def smoothed(frames: Frames) -> Frames:
    smoother = Smoother()
    return [(L, smoother(L, ab)) for L, ab in frames]


def measured(frames: Frames) -> float:
    measure = StillFlicker()
    for L, ab in frames:
        measure.add(L, ab)
    return measure.value


def in_units(frames: Frames) -> list[tuple[np.ndarray, np.ndarray]]:
    """L (h, w) and ab (2, h, w) in Lab units and float64."""
    return [((L[0, 0].double().numpy() + 1) * 50, ab[0].double().numpy() * 110) for L, ab in frames]


@pytest.mark.parametrize("seed", range(3))
def test_still_flicker_is_its_definition(seed: int) -> None:
    # a cut between them
    scene = still_scene(seed, 0.8, 5) + still_scene(seed + 100, 0.8, 4)
    moves: list[float] = []
    for number, ((L, ab), (next_L, next_ab)) in enumerate(pairwise(in_units(scene))):
        if number == 4:
            assert np.abs(next_L - L).mean() > flicker.CUT
            continue
        moves += [
            float(np.hypot(*(next_ab[:, y, x] - ab[:, y, x])))
            for y, x in np.ndindex(*L.shape)
            if abs(next_L[y, x] - L[y, x]) < 1
        ]
    assert measured(scene) == pytest.approx(np.mean(moves), rel=1e-4)


def test_what_never_stands_still_has_no_flicker() -> None:
    L, ab = torch.zeros(1, 1, 8, 8), torch.zeros(1, 2, 8, 8)
    assert np.isnan(measured([(L, ab)])) and np.isnan(measured([(L, ab), (L + 0.1, ab)]))
    assert np.isnan(ColourConsistency().value)


@pytest.mark.parametrize("frames", [2, 4, 9])
def test_cdc_is_its_definition(frames: int, make_photograph: Callable[..., np.ndarray]) -> None:
    video = [make_photograph(seed, (30, 41 + seed)) for seed in range(frames)]
    measure = ColourConsistency()
    for frame in video:
        measure.add(frame)
    histograms = [
        [np.histogram(frame[..., channel], 256, (0, 256))[0] for channel in range(3)]
        for frame in video
    ]
    steps = []
    for step in (1, 2, 4):
        divergences = [
            jensenshannon(histograms[at][channel], histograms[at + step][channel])
            ** 2  # it is the root of the divergence
            for at in range(frames - step)
            for channel in range(3)
        ]
        steps += [np.mean(divergences)] if divergences else []
    assert measure.value == pytest.approx(np.mean(steps), rel=1e-9)


def test_cdc_knows_no_change_and_complete_change() -> None:
    same, other = ColourConsistency(), ColourConsistency()
    for number in range(6):
        same.add(np.full((4, 4, 3), 7, np.uint8))
        other.add(np.full((4, 4, 3), number, np.uint8))
    assert same.value == 0 and other.value == pytest.approx(np.log(2))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("noise", "flash"), [(0.3, 0.0), (1.0, 0.0), (0.3, 3.0)])
def test_smoothing_takes_more_than_half_of_the_flicker_of_a_still_scene(
    seed: int, noise: float, flash: float
) -> None:
    scene = still_scene(seed, noise, flash=flash)
    before, after = (
        np.mean(
            [
                np.hypot(*(next_ab - ab)).mean()
                for (_, ab), (_, next_ab) in pairwise(in_units(frames))
            ]
        )
        for frames in (scene, smoothed(scene))
    )
    # over all pixels: brightness may flicker by more than a unit
    assert before > 3 and after < before / 2


def test_colours_do_not_cross_a_cut() -> None:
    scene = still_scene(1, 0.5, 6) + still_scene(2, 0.5, 6)
    after = smoothed(scene)
    assert torch.equal(after[6][1], scene[6][1])
    alone = smoothed(scene[6:])
    assert all(torch.equal(one[1], other[1]) for one, other in zip(after[6:], alone, strict=True))


@pytest.mark.parametrize("speed", [1, 2, 4])
def test_a_moving_object_leaves_no_ghost(speed: int) -> None:
    scene = moving_scene(speed)
    ghosts = [
        np.hypot(*(after - true))
        for (_, true), (_, after) in zip(in_units(scene), in_units(smoothed(scene)), strict=True)
    ]
    assert max(ghost.max() for ghost in ghosts) < 1.0  # of 80 units


def test_a_slow_change_of_colour_arrives() -> None:
    L = torch.zeros(1, 1, 8, 8)
    scene = [(L, torch.full((1, 2, 8, 8), 0.5 if number else 0.0)) for number in range(40)]
    assert float(smoothed(scene)[-1][1].min()) > 0.48


def test_the_state_is_one_frame() -> None:
    smoother, measure, seen = Smoother(), StillFlicker(), []
    for _ in range(30):
        L, ab = torch.zeros(1, 1, 8, 8), torch.zeros(1, 2, 8, 8)
        measure.add(L, smoother(L, ab))
        seen.append(weakref.ref(L))
    del L, ab
    assert sum(reference() is not None for reference in seen) == 1
