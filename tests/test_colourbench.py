"""The command as users type it: help, mistakes without a traceback, and one way through the whole suite."""

import io
import resource
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch
import yaml
from openpyxl import load_workbook
from PIL import Image

from colourbench import main

ROOT = Path(__file__).resolve().parents[1]
NETWORK = {"network": {"base_width": 4}}
SUBMIT = ["submit", "--scheduler", "slurm", "--dry-run"]


def colourbench(*arguments: object, home: Path | None = None, status: int = 0) -> str:
    """Runs the command in this process and returns all it printed."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(printed):
        patch.setattr(sys, "argv", ["colourbench", *map(str, arguments)])
        if home:
            patch.setenv("COLOURBENCH_HOME", str(home))
        with pytest.raises(SystemExit) as end:
            main()
    assert (end.value.code or 0) == status, printed.getvalue()
    return printed.getvalue()


VERBS = [
    "demo",
    "train",
    "sweep",
    "sweeps",
    "compare",
    "plan",
    "evaluate",
    "report",
    "colourise",
    "runs",
    "config",
    "bench",
    "ui",
    "data prepare",
    "data export",
    "data weights",
    *(
        f"ratings {verb}"
        for verb in ("plan", "sheets", "serve", "collect", "status", "tables", "withdraw", "import")
    ),
]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(verb: str) -> None:
    text = colourbench(*verb.split(), "--help")
    assert "Example: colourbench" in text


HELP = """
import sys
import colourbench
sys.argv = ["colourbench", "--help"]
try:
    colourbench.main()
finally:
    print(sorted({"torch", "mlflow", "pandas", "optuna", "numba"} & set(sys.modules)))
"""


def test_help_imports_nothing_heavy() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr
    # seconds of a processor, whatever runs beside it; 0.3 alone
    assert after.ru_utime - before.ru_utime < 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "vae", "--data", "fields-32"],
            "there is no variant 'vae'; the variants are regression, cgan, wgan_gp, egan",
        ),
        (["train", "wgan", "--data", "fields-32"], "did you mean wgan_gp?"),
        (["train", "cgan"], "no data set is named; add --data DATASET"),
        (["train", "cgan", "--data", "none"], "there is no data set 'none'"),
        (
            ["train", "cgan", "--data", "fields-32", "--set", "variant.lambda=3"],
            "variant.lambda is not a known field",
        ),
        (
            ["train", "cgan", "--data", "fields-32", "--set", "reconstruction_weight=3"],
            "did you mean variant.reconstruction_weight?",
        ),
        (
            [
                "train",
                "cgan",
                "--data",
                "fields-32",
                "--set",
                "variant.generator.network.dropout=1.5",
            ],
            "dropout: input should be less than 1",
        ),
        (
            [
                "train",
                "wgan_gp",
                "--data",
                "fields-32",
                "--set",
                "variant.critic.network.norm=batch",
            ],
            "mixes the images",
        ),
        (
            ["train", "cgan", "--data", "fields-32", "--config", "none.yaml"],
            "there is no file none.yaml",
        ),
        (
            ["train", "cgan", "--data", "fields-32", "--set", "engine.device=cuda"],
            "torch finds no GPU here",
        ),
        (["compare", "none.yaml"], "there is no file none.yaml"),
        (["report", "none"], "there is no study 'none'"),
        (
            ["data", "export", "fields-32", "--out", "x", "--split", "all"],
            "--split all: choose train, validation or test",
        ),
        (
            ["data", "weights", "--take", "README.md"],
            "README.md is none of the files that are needed: alexnet-owt-7be5be79.pth",
        ),
        (
            ["compare", "studies/variants.yaml", "--data", "fields-32", "--until", "soon"],
            "--until soon: say `settled`",
        ),
        (["evaluate", "abc"], "there is no run 'abc'"),
        (
            ["sweep", "cgan", "--data", "fields-32", "--objective", "fid"],
            "the objectives are psnr_rgb",
        ),
        (["sweeps", "none"], "there is no sweep 'none'"),
        (["data", "prepare", "folder"], "needs --root DIR"),
        (["data", "prepare", "folder", "--root", "/none"], "there is no folder /none"),
        (
            ["data", "prepare", "packaged", "--size", "100"],
            "--size 100: the networks are made for 32, 64",
        ),
        (["data", "prepare", "packaged", "--set", "tset=0.1"], "did you mean test?"),
        (
            ["data", "prepare", "packaged", "--size", "32", "--name", "fields-32"],
            "--replace replaces it, --name gives",
        ),
        ([*SUBMIT, "sweep", "cgan", "--data", "none"], "there is no data set 'none'"),
        (
            [*SUBMIT, "sweep", "cgan", "--data", "fields-32", "--set", "variant.lambda=3"],
            "variant.lambda",
        ),
        (
            [*SUBMIT, "compare", "studies/variants.yaml", "--data", "none"],
            "there is no data set 'none'",
        ),
        (
            [
                *SUBMIT,
                "compare",
                "studies/variants.yaml",
                "--data",
                "fields-32",
                "--set",
                "sedes=[1]",
            ],
            "did you mean seeds",
        ),
        (["ratings", "tables", "none"], "begin a study with"),
        (
            ["ratings", "sheets", "none", "--test", "stars"],
            "choose pair, single, opinion, preference",
        ),
    ],
)
def test_mistakes_are_told_in_a_line_or_two(arguments: list[str], message: str, home: Path) -> None:
    if "engine.device=cuda" in arguments and torch.cuda.is_available():
        pytest.skip("this machine has the GPU that the message misses")
    text = colourbench(*arguments, home=home, status=1)
    assert message in text and len(text.strip().splitlines()) <= 2


QUICK = """
import sys
import colourbench
sys.argv = ["colourbench", *sys.argv[1:]]
try:
    colourbench.main()
finally:
    print(sorted({"torch", "mlflow", "pandas", "optuna", "numba"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "vae", "--data", "x"],
        ["train", "cgan", "--data", "none"],
        ["train", "cgan", "--data", "x", "--config", "none.yaml"],
        ["train", "cgan", "--wrong-option"],
        ["compare", "none.yaml"],
        ["compare", "studies/variants.yaml", "--data", "none"],
        ["sweep", "cgan", "--data", "none"],
        ["report", "none"],
        ["runs", "none"],
        ["evaluate", "abc"],
        ["colourise", "abc", "README.md", "--out", "x"],
        ["colourise", "abc", "none.jpg", "--out", "x"],
        ["data", "prepare", "flickr"],
        ["data", "prepare", "folder", "--root", "/none"],
        ["data", "show", "none"],
        ["ratings", "sheets", "none"],
        ["ratings", "collect", "x", "none.xlsx"],
        ["ratings", "tables", "none"],
        ["ratings", "serve", "none"],
        ["ratings", "withdraw", "none", "ABC"],
        ["ratings", "import", "x", "none.csv"],
    ],
    ids=" ".join,
)
def test_what_can_be_told_without_torch_is_told_without_it(
    arguments: list[str], tmp_path: Path
) -> None:
    """Torch and MLflow take seconds to import: wrong options, missing files and unknown names do not wait for them."""
    command = [
        sys.executable,
        "-c",
        QUICK,
        *arguments,
        *([] if "--wrong-option" in arguments else ["--home", str(tmp_path)]),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode in (1, 2) and done.stderr and "Traceback" not in done.stderr
    assert done.stdout.strip().endswith("[]"), done.stdout + done.stderr


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "choose another with --home" in colourbench(
        "data", "list", "--home", tmp_path / "file" / "home", status=1
    )


def test_a_mistake_has_a_traceback_only_with_debug(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "colourbench.py")]
    for before, shown in (([], False), (["--debug"], True)):
        done = subprocess.run(
            [*command, *before, "data", "prepare", "flickr", "--home", str(tmp_path)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1 and ("Traceback" in done.stderr) == shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_stops_a_command_is_told_how_it_goes_on(
    number: signal.Signals, tmp_path: Path
) -> None:
    """Also while nothing is being trained."""
    program = f"import os, sys, typer, colourbench; colourbench.app.command('wait')(lambda: os.kill(os.getpid(), {number:d})); colourbench.main()"
    ended = subprocess.run(
        [sys.executable, "-c", program, "wait"], capture_output=True, text=True, cwd=ROOT
    )
    assert (
        ended.returncode == 130
        and ended.stderr == f"stopped by {number.name}; run the same command to go on\n"
    )


def test_config_prints_yaml_that_train_takes(home: Path, tmp_path: Path) -> None:
    text = colourbench("config", "egan")
    fields = yaml.safe_load(text)
    assert fields["variant"]["diversity_weight"] == 0.05 and "γ, the weight of diversity" in text
    path = tmp_path / "egan.yaml"
    path.write_text(text)
    message = colourbench("train", "egan", "--config", path, "--data", "none", home=home, status=1)
    assert "there is no data set 'none'" in message  # every field of the file was accepted


def test_the_whole_way_by_separate_commands(photo_folder: Path, tmp_path: Path) -> None:
    """prepare, sweep, compare, report, sheets, tables, evaluate, colourise, on a folder of photographs."""
    home = tmp_path / "home"
    (photo_folder / "sea" / "note.txt").write_text("no image")
    small = {
        "batches": {"size": 4},
        "watch": {"validations": 2, "preview_images": 2},
        "engine": {"threads": 1},
    }
    said = colourbench(
        "data",
        "prepare",
        "folder",
        "--root",
        photo_folder,
        "--size",
        32,
        "--name",
        "sea",
        "--set",
        "test=0.3",
        home=home,
    )
    assert "sea: 24 files" in said and "photographs" in said
    assert "sea" in colourbench("data", "list", home=home)
    assert "all checksums are right" in colourbench("data", "show", "sea", "--check", home=home)
    with Image.open(home / "data" / "sea" / "contact-sheet.png") as sheet:
        assert sheet.width > 200

    run = tmp_path / "run.yaml"
    run.write_text(yaml.safe_dump({**small, "variant": {"generator": NETWORK, "critic": NETWORK}}))
    sweep = [
        "sweep",
        "cgan",
        "--data",
        "sea",
        "--trials",
        2,
        "--images",
        16,
        "--pruner",
        "none",
        "--config",
        run,
    ]
    assert "use it in a study with `best_of: cgan-sea`" in colourbench(*sweep, home=home)
    assert colourbench("sweeps", "cgan-sea", home=home).startswith("cgan-sea: 2 complete")

    study = tmp_path / "way.yaml"
    arms = {
        "l1": {"variant": {"name": "regression", "generator": NETWORK}},
        "cgan": {
            "variant": {"name": "cgan", "generator": NETWORK, "critic": NETWORK},
            "best_of": "cgan-sea",
        },
    }
    fields = {
        "name": "way",
        "dataset": "sea",
        "budget": {"amount": 16},
        "seeds": [0, 1],
        "defaults": small,
        "arms": arms,
    }
    study.write_text(yaml.safe_dump(fields))
    assert "the study way is complete" in colourbench("compare", study, home=home)
    assert (home / "reports" / "way" / "report.html").as_posix() in colourbench(
        "report", "way", home=home
    )

    assert "sheets for 2 raters" in colourbench(
        "ratings", "sheets", "way", "--raters", 2, "--trials", 5, home=home
    )
    for path in (home / "ratings" / "way" / "sheets").glob("*/*.xlsx"):
        book = load_workbook(path)
        for row in book["Ratings"].iter_rows(min_row=4):
            row[2].value = "left"
        book.save(path)
    assert "10 new answers" in colourbench("ratings", "collect", "way", home=home)
    tables = colourbench("ratings", "tables", "way", home=home)
    assert (
        "fooling_rate" in tables and (home / "ratings" / "way" / "tables" / "by_arm.tex").exists()
    )

    listed = colourbench("runs", "way", home=home)
    assert listed.count("FINISHED") == 7  # the comparison itself, two baselines, four runs
    assert "psnr" in colourbench("evaluate", "way/cgan seed 1", home=home).lower()
    photo = next(photo_folder.rglob("*.png"))
    assert "->" in colourbench(
        "colourise", "way/cgan seed 0", photo, "--out", tmp_path / "out", home=home
    )
    with Image.open(tmp_path / "out" / photo.name) as coloured, Image.open(photo) as original:
        assert coloured.size == original.size


def test_train_says_when_it_is_done(home: Path, tmp_path: Path) -> None:
    run = tmp_path / "run.yaml"
    run.write_text(
        yaml.safe_dump(
            {"batches": {"size": 4}, "variant": {"generator": NETWORK}, "engine": {"threads": 1}}
        )
    )
    command = ["train", "regression", "--data", "fields-32", "--images", 40, "--config", run]
    first = colourbench(*command, home=home)
    assert "is trained" in first and "40 of 40 images" in first
    again = colourbench(*command, home=home)
    assert "is trained" in again and "of 40 images" not in again
