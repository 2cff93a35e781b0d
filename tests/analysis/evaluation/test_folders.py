"""Folder against folder: what is paired, what is refused, and figures against scikit-image."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio
from typer.testing import CliRunner

from analysis.evaluation import folders
from analysis.evaluation.folders import Reader, pair
from colourbench import app
from common.errors import ColourbenchError

SIZES = ((40, 56), (40, 56), (33, 48), (40, 56))


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Four photographs of two sizes, one of them in a subfolder."""
    folder = tmp_path / "truth"
    for number, (height, width) in enumerate(SIZES):
        path = folder / ("deep/er" if number == 3 else "") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cut = data.astronaut()[50 * number : 50 * number + height, 100 : 100 + width]
        Image.fromarray(np.ascontiguousarray(cut)).save(path)
    return folder


@pytest.fixture
def images(truth: Path, tmp_path: Path) -> Path:
    """Their grey versions, under the same names."""
    folder = tmp_path / "images"
    for path in truth.rglob("*.png"):
        result = folder / path.relative_to(truth)
        result.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("L").convert("RGB").save(result)
    return folder


def test_every_picture_is_measured_as_scikit_image_does(images: Path, truth: Path) -> None:
    table = folders.measure(Reader(pair(images, truth))).set_index("image")
    assert list(table.index) == ["0", "1", "2", "deep/er/3"]
    for name, row in table.iterrows():
        one, real = (np.asarray(Image.open(folder / f"{name}.png")) for folder in (images, truth))
        assert row["psnr_rgb"] == pytest.approx(peak_signal_noise_ratio(real, one))
        distance = deltaE_ciede2000(rgb2lab(real), rgb2lab(one)).mean()
        assert row["delta_e"] == pytest.approx(distance, abs=0.01)


def test_the_interval_is_students_over_photographs(images: Path, truth: Path) -> None:
    table = folders.measure(Reader(pair(images, truth)))
    row = folders.summary(table).set_index("figure").loc["ΔE₀₀ ↓"]
    values = table["delta_e"].to_numpy()
    assert row["value"] == pytest.approx(values.mean())
    assert row["half"] == pytest.approx(3.1824 * values.std(ddof=1) / 2, rel=1e-4)  # t of 3 df


def test_identical_pictures_have_no_finite_psnr(truth: Path) -> None:
    rows = folders.summary(folders.measure(Reader(pair(truth, truth)))).set_index("figure")
    assert rows.loc["PSNR (RGB), dB ↑", "without"] == 4
    assert rows.loc["ΔE₀₀ ↓", "value"] == 0


def test_what_is_missing_or_too_much_is_named(images: Path, truth: Path) -> None:
    (images / "extra.png").write_bytes((images / "0.png").read_bytes())
    (images / "._0.png").write_bytes(b"what macOS keeps beside a file")
    assert "1 pictures have no truth and are ignored: extra" in pair(images, truth).remarks[0]
    (images / "deep" / "er" / "3.png").unlink()
    with pytest.raises(ColourbenchError, match=r"no picture for 1 of 4 photographs .*: deep/er/3"):
        pair(images, truth)
    with pytest.raises(ColourbenchError, match="there is no folder"):
        pair(images / "none", truth)
    (images / "deep" / "er").rename(images / "moved")
    with pytest.raises(ColourbenchError, match="holds no pictures"):
        pair(images / "deep", truth)
    (truth / "0.jpg").write_bytes(b"")
    with pytest.raises(ColourbenchError, match="has 0 twice"):
        pair(images, truth)


def test_another_size_is_named_or_resized(images: Path, truth: Path) -> None:
    picture = Image.open(images / "1.png")
    picture.resize((28, 20)).save(images / "1.png")
    with pytest.raises(ColourbenchError, match="has 28x20 pixels and its truth 56x40"):
        folders.measure(Reader(pair(images, truth)))
    reader = Reader(pair(images, truth), fits=True)
    assert len(folders.measure(reader)) == 4
    assert reader.resized == ["1"]


def test_jpeg_is_told(images: Path, truth: Path) -> None:
    Image.open(images / "0.png").save(images / "0.jpg")
    (images / "0.png").unlink()
    [remark] = pair(images, truth).remarks
    assert "1 pictures are JPEG files" in remark and "save results as PNG" in remark


@pytest.mark.parametrize("convention", ["ddcolor", "ct2", "zhang"])
def test_other_conventions_have_their_own_figures(
    convention: str, images: Path, truth: Path
) -> None:
    table = folders.measure_as(Reader(pair(images, truth)), convention)
    rows = folders.summary_as(table, convention)
    value = dict(zip(rows["figure"], rows["value"].astype(float), strict=True))
    if convention == "zhang":
        assert 0 < value["AuC, rebalanced"] < value["AuC"] < 1
        assert float(rows["half"].min()) > 0
        return
    theirs = value["colourfulness, |rg| and |yb|"]
    real = value["… of the truth"]
    assert theirs == pytest.approx(0, abs=1e-9) and real > 5
    assert value["ΔCF, of the means"] == pytest.approx(real - theirs)
    assert ("SSIM, range 225" in value) == (convention == "ct2")


def test_the_command_prints_and_writes(images: Path, truth: Path, tmp_path: Path) -> None:
    run = CliRunner()
    out = tmp_path / "theirs.csv"
    words = ["evaluate", "--images", str(images), "--truth", str(truth)]
    shown = run.invoke(app, [*words, "--out", str(out)])
    assert shown.exit_code == 0, shown.output
    assert "4 pictures of" in shown.output and "ΔE₀₀ ↓" in shown.output
    assert len(out.read_text().splitlines()) == 5
    theirs = run.invoke(app, [*words, "--as", "ct2"])
    assert "SSIM, range 225" in theirs.output and "not computed: its FID" in theirs.output


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--images", "a"], "--images and --truth go together"),
        (["a-run", "--images", "a", "--truth", "b"], "not both"),
        (["--images", "a", "--truth", "b", "--as", "deoldify"], "choose ddcolor, ct2 or zhang"),
        ([], "name a run"),
    ],
)
def test_options_that_do_not_go_together(words: list[str], reason: str) -> None:
    result = CliRunner().invoke(app, ["evaluate", *words])
    assert isinstance(result.exception, ColourbenchError) and reason in str(result.exception)
