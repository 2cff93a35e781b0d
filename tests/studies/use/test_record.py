"""A result belongs to its source, its model and its settings."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studies.use.files import Outcome, Output, colourise_photographs, jobs_in
from studies.use.prediction import Sight
from studies.use.record import NAME, Maker, Record
from variants.players.colouriser import Colouriser

ONE = Maker("one", "a" * 64, {"saturation": 1.0})


def photograph(path: Path, level: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 40), level, np.uint8)).save(path)
    return path


@pytest.fixture
def box(tmp_path: Path) -> Path:
    photograph(tmp_path / "box" / "a.png")
    return tmp_path / "box"


def coloured(
    colouriser: Colouriser, sources: Sequence[Path], out: Path, maker: Maker = ONE
) -> dict[str, list[str]]:
    """What a command does: the results that it writes, by source; empty where it skips."""
    record = Record(out)
    jobs = jobs_in(sources, out, record)
    output = Output(out, record=record, maker=maker)
    outcomes = list(colourise_photographs(colouriser, jobs, Sight(), output))
    assert not any(outcome.error for outcome in outcomes)
    return {outcome.job.source.name: written(outcome, out) for outcome in outcomes}


def written(outcome: Outcome, out: Path) -> list[str]:
    return [str(path.relative_to(out)) for path in outcome.written]


def test_another_file_of_the_same_name_takes_nothing_over(
    vivid: Colouriser, box: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert coloured(vivid, [box], out) == {"a.png": ["a.png"]}
    # it comes before a.png in the alphabet
    photograph(box / "a.jpg", 200)
    assert coloured(vivid, [box], out) == {"a.jpg": ["a-2.png"], "a.png": []}
    # another folder into the same one
    other = photograph(tmp_path / "box2" / "a.png", 50)
    assert coloured(vivid, [other.parent], out) == {"a.png": ["a-3.png"]}
    assert coloured(vivid, [box, other.parent], out) == {"a.jpg": [], "a.png": []}


def test_what_changed_is_made_again(vivid: Colouriser, box: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    coloured(vivid, [box], out)
    assert coloured(vivid, [box], out) == {"a.png": []}
    for maker in (
        Maker("two", "b" * 64, ONE.settings),
        Maker("one", "a" * 64, {"saturation": 2.0}),
    ):
        assert coloured(vivid, [box], out, maker) == {"a.png": ["a.png"]}
        assert coloured(vivid, [box], out, maker) == {"a.png": []}
    (box / "a.png").touch()  # the same content
    assert coloured(vivid, [box], out, maker) == {"a.png": []}
    photograph(box / "a.png", 150)
    assert coloured(vivid, [box], out, maker) == {"a.png": ["a.png"]}


def test_results_beside_their_sources_are_no_sources(vivid: Colouriser, box: Path) -> None:
    (box / "a.png").rename(box / "a.bmp")
    assert coloured(vivid, [box], box) == {"a.bmp": ["a.png"]}
    assert coloured(vivid, [box], box) == {"a.bmp": []}


def test_a_file_of_unknown_origin_is_left(vivid: Colouriser, box: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    mine = photograph(out / "a.png", 7).read_bytes()
    assert coloured(vivid, [box], out) == {"a.png": []}
    assert (out / "a.png").read_bytes() == mine


def test_a_line_that_a_killed_command_left_unfinished_is_passed_over(
    vivid: Colouriser, box: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    coloured(vivid, [box], out)
    with (out / NAME).open("a") as file:
        file.write('{"result": "b.png", "tar')
    photograph(box / "b.png")
    assert coloured(vivid, [box], out) == {"a.png": [], "b.png": ["b.png"]}
    assert coloured(vivid, [box], out) == {"a.png": [], "b.png": []}
