from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import color

from common.errors import ColourbenchError
from studies.use import photographs
from studies.use.files import Job, Outcome, Output, colourise_photographs, jobs_in
from studies.use.prediction import Sight
from variants.players.colouriser import Colouriser


@pytest.fixture
def folder(tmp_path: Path, make_photograph: Callable[..., np.ndarray]) -> Path:
    """Photographs of two shapes, one of them in a folder below, and a broken file."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "deep/a.png", "deep/c.png")):
        Image.fromarray(make_photograph(number, (60, 90) if number % 2 else (70, 50))).save(
            tmp_path / "in" / name
        )
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no")
    return tmp_path / "in"


def run(
    colouriser: Colouriser,
    places: list[Path],
    out: Path,
    sight: Sight | None = None,
    **options: Any,
) -> list[Outcome]:
    return list(
        colourise_photographs(colouriser, jobs_in(places), sight or Sight(), Output(out, **options))
    )


def test_a_bad_file_does_not_stop_the_others_and_folders_keep_their_structure(
    vivid: Colouriser, folder: Path, tmp_path: Path
) -> None:
    outcomes = run(vivid, [folder], tmp_path / "out")
    written = sorted(
        path.relative_to(tmp_path / "out").as_posix()
        for outcome in outcomes
        for path in outcome.written
    )
    assert written == ["a.png", "b.png", "deep/a.png", "deep/c.png"]
    [error] = [outcome.error for outcome in outcomes if outcome.error]
    assert "broken.jpg: not a JPEG" in error


def test_together_is_as_alone(vivid: Colouriser, folder: Path, tmp_path: Path) -> None:
    run(vivid, [folder], tmp_path / "together")
    for name in ("a.png", "b.png"):
        run(vivid, [folder / name], tmp_path / "alone")
        pair = [
            np.asarray(Image.open(tmp_path / subfolder / name)).astype(int)
            for subfolder in ("together", "alone")
        ]
        assert np.abs(pair[0] - pair[1]).max() <= 1  # the last bit of a batched convolution


def test_what_exists_stays_unless_forced(vivid: Colouriser, folder: Path, tmp_path: Path) -> None:
    run(vivid, [folder / "a.png"], tmp_path / "out")
    target = tmp_path / "out" / "a.png"
    before = target.stat().st_mtime_ns
    [again] = run(vivid, [folder / "a.png"], tmp_path / "out")
    assert (
        again.is_skipped and "--force" in again.remarks[0] and target.stat().st_mtime_ns == before
    )
    [forced] = run(vivid, [folder / "a.png"], tmp_path / "out", force=True)
    assert forced.written == (target,) and target.stat().st_mtime_ns > before


def test_an_original_is_never_overwritten(vivid: Colouriser, folder: Path) -> None:
    before = (folder / "a.png").read_bytes()
    [outcome] = run(vivid, [folder / "a.png"], folder, force=True)
    assert (
        "would replace a photograph itself" in outcome.error
        and (folder / "a.png").read_bytes() == before
    )


def test_no_other_photograph_is_overwritten_either(vivid: Colouriser, folder: Path) -> None:
    with Image.open(folder / "a.png") as picture:
        picture.convert("RGB").save(folder / "a.jpg")
    before = (folder / "a.png").read_bytes()
    outcomes = run(
        vivid, [folder / "a.jpg", folder / "b.png", folder / "a.png"], folder, force=True
    )
    # the last one's result is a-2.png
    assert [bool(outcome.error) for outcome in outcomes] == [
        True,
        True,
        False,
    ]
    assert (folder / "a.png").read_bytes() == before


def test_results_within_the_folder_are_not_coloured_again(vivid: Colouriser, folder: Path) -> None:
    out = folder / "coloured"
    run(vivid, [folder], out)
    jobs = jobs_in([folder], out)
    assert len(jobs) == 5 and not any(job.source.is_relative_to(out) for job in jobs)
    # unless they are what was asked for
    assert len(jobs_in([out], folder / "coloured")) == 4


def test_an_interrupted_command_writes_the_missing_versions(
    vivid: Colouriser, folder: Path, tmp_path: Path
) -> None:
    sight = Sight(sample=True)
    [first] = run(vivid, [folder / "a.png"], tmp_path, sight, samples=2)
    kept = first.written[0].read_bytes()
    [more] = run(vivid, [folder / "a.png"], tmp_path, sight, samples=4)
    assert (
        not more.is_skipped
        and all(path.exists() for path in more.written)
        and len(more.written) == 4
    )
    assert first.written[0].read_bytes() == kept


def test_equal_names_get_numbers_that_stay(folder: Path) -> None:
    for name in ("a-2.png", "a.jpg"):
        (folder / name).write_bytes((folder / "a.png").read_bytes())
    clashing = jobs_in([folder / "a-2.png", folder / "a.jpg", folder / "a.png"])
    assert [job.target.name for job in clashing] == ["a-2", "a", "a-3"]
    jobs = jobs_in([folder / "a.png", folder / "deep" / "a.png"])
    assert [job.target.name for job in jobs] == ["a", "a-2"]


def test_missing_and_empty_places(tmp_path: Path) -> None:
    with pytest.raises(ColourbenchError, match="there is no file or folder"):
        jobs_in([tmp_path / "none"])
    with pytest.raises(ColourbenchError, match="hold no photographs"):
        jobs_in([tmp_path])


def test_samples_are_versions_of_one_photograph(
    vivid: Colouriser, folder: Path, tmp_path: Path
) -> None:
    [outcome] = run(vivid, [folder / "a.png"], tmp_path / "out", Sight(sample=True), samples=3)
    assert [path.name for path in outcome.written] == [
        "a-sample-1.png",
        "a-sample-2.png",
        "a-sample-3.png",
    ]
    images = [np.asarray(Image.open(path)).astype(int) for path in outcome.written]
    assert all(np.abs(images[0] - other).max() > 0 for other in images[1:])
    lightness = [color.rgb2lab(image.astype(np.uint8))[..., 0] for image in images]
    assert np.abs(lightness[0] - lightness[1]).max() < 1.5  # only the colours differ


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "same"])
def test_formats_and_metadata(kind: Any, vivid: Colouriser, folder: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Kodak"  # turned by 90 degrees
    Image.fromarray(np.asarray(Image.open(folder / "a.png"))).save(
        folder / "turned.jpg", exif=exif, dpi=(300, 300)
    )
    for keeps in (True, False):
        [outcome] = run(
            vivid, [folder / "turned.jpg"], tmp_path / f"{keeps}", format=kind, keeps_metadata=keeps
        )
        image = Image.open(BytesIO(outcome.written[0].read_bytes()))
        assert (
            image.format
            == {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP", "tiff": "TIFF", "same": "JPEG"}[kind]
        )
        assert image.size == (70, 50)  # upright
        tags = image.getexif()
        assert (
            tags.get(0x0112) == 1
            and tags.get(0x010F) == ("Kodak" if keeps else None)
            and "guess" in tags[0x0131]
        )
        assert image.info.get("icc_profile")


@pytest.mark.parametrize("mode", ["RGB", "L", "I;16", "P", "CMYK", "RGBA"])
def test_a_tiff_from_a_tiff_opens(
    mode: str, vivid: Colouriser, folder: Path, tmp_path: Path
) -> None:
    """A TIFF's tags of how its pixels lie must not go into another file."""
    with Image.open(folder / "a.png") as picture:
        rgb = np.asarray(picture)
    source = (
        Image.fromarray(rgb[..., 0].astype(np.uint16) * 257)
        if mode == "I;16"
        else Image.fromarray(rgb).convert(mode)
    )
    exif = Image.Exif()
    exif[0x010F] = "Kodak"
    source.save(folder / "scan.tif", exif=exif, compression="tiff_lzw")
    [outcome] = run(vivid, [folder / "scan.tif"], tmp_path / "out", format="same")
    with Image.open(BytesIO(outcome.written[0].read_bytes())) as image:
        image.load()
        assert image.size == (50, 70) and image.mode == "RGB" and image.getexif()[0x010F] == "Kodak"


def test_too_much_metadata_is_left_out(vivid: Colouriser, folder: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 70_000
    with Image.open(folder / "a.png") as picture:
        picture.save(folder / "long.png", exif=exif)
    [outcome] = run(vivid, [folder / "long.png"], tmp_path / "out", format="jpeg")
    assert outcome.written and not outcome.error


def test_saturation_and_side_by_side(vivid: Colouriser, folder: Path, tmp_path: Path) -> None:
    chroma = {}
    for saturation in (0.0, 1.0, 2.0):
        [outcome] = run(
            vivid, [folder / "a.png"], tmp_path / f"{saturation}", saturation=saturation
        )
        chroma[saturation] = np.hypot(
            *np.moveaxis(color.rgb2lab(np.asarray(Image.open(outcome.written[0])))[..., 1:], -1, 0)
        ).mean()
    assert chroma[0.0] < 0.3 and 1.6 < chroma[2.0] / chroma[1.0] < 2.1
    [pair] = run(vivid, [folder / "a.png"], tmp_path / "pair", side_by_side=True)
    image = np.asarray(Image.open(pair.written[0]))
    assert image.shape == (70, 100, 3) and np.ptp(image[:, :50].astype(int), axis=2).max() <= 1


def test_too_large_a_photograph_says_what_helps(
    vivid: Colouriser, folder: Path, tmp_path: Path
) -> None:
    Image.new("L", (3000, 2000)).save(folder / "large.png")
    [outcome] = run(vivid, [folder / "large.png"], tmp_path / "out", memory_gb=0.1)
    assert "3000x2000 pixels are more than 3.57 million; raise --max-memory-gb" in outcome.error


def test_a_full_disk_or_a_file_in_the_way_is_an_error_of_that_file(
    vivid: Colouriser, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").write_text("in the way")
    outcomes = run(vivid, [folder], tmp_path / "out")
    # the broken file, and two that have no folder
    assert sum(bool(outcome.error) for outcome in outcomes) == 3


def test_sixteen_bits_are_scaled_and_tints_are_named(
    make_photograph: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    grey = make_photograph(1)[..., 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    original = photographs.read(tmp_path / "deep.png", 10**6)
    assert original.kind == "grey" and np.array_equal(original.rgb[..., 0], grey)
    sepia = np.clip(
        grey[..., None] * np.array([1.0, 0.86, 0.66])
        + np.random.default_rng(0).normal(0, 2, (*grey.shape, 3)),
        0,
        255,
    )
    kind, remark = photographs.kind_of(sepia.astype(np.uint8))
    assert kind == "tinted" and "taken out first" in remark
    assert photographs.kind_of(make_photograph(3))[0] == "colour"


def test_every_awkward_file_ends_in_a_picture_or_a_sentence(
    vivid: Colouriser, corpora: Path, tmp_path: Path
) -> None:
    jobs = [
        Job(path, Path(f"{number}"))
        for number, path in enumerate(sorted(corpora.rglob("*.*"))[::5])
    ]
    outcomes = list(colourise_photographs(vivid, jobs, Sight(), Output(tmp_path / "out")))
    assert len(outcomes) == len(jobs) and all(
        bool(outcome.written) != bool(outcome.error) for outcome in outcomes
    )
    assert sum(bool(outcome.written) for outcome in outcomes) > 30
