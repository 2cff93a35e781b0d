"""The human study: blinding, balance, sheets that survive a spreadsheet, and tables against simulation."""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from openpyxl import load_workbook
from PIL import Image

from analysis.ratings import schedule, sheets, tables
from analysis.ratings.schedule import RANDOM, TRUTH, Design
from common.errors import ColourbenchError

ARMS = {"cgan": [0, 1, 2], "egan": [0, 1, 2], "wgan_gp": [5, 6]}  # with their seeds
IMAGES = [f"{number:02d}.png#0" for number in range(30)]


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """A folder that does not exist yet: sheets are never written into one that does."""
    return tmp_path / "ratings"


@pytest.fixture
def material(make_photograph: Callable[..., np.ndarray]) -> sheets.Material:
    truth = np.stack([make_photograph(seed, (32, 32)) for seed in range(12)])
    arms = {arm: {seed: truth // (k + 2) + seed for seed in seeds} for k, (arm, seeds) in enumerate(ARMS.items())}
    return sheets.Material("study", IMAGES[:12], truth, arms)


def fill(path: Path, answer: Callable[[str], object]) -> None:
    """Fills a workbook as a person does."""
    book = load_workbook(path)
    sheet = book["Ratings"]
    for row in sheet.iter_rows(min_row=sheets.FIRST_ROW):
        if row[3].value:
            row[2].value = answer(str(row[3].value))
    book.save(path)


class TestSchedule:
    trials = schedule.plan(Design("pair", raters=6, trials=28, seed=1), IMAGES, ARMS, "secret")

    def test_each_rater_sees_each_photograph_once_and_all_arms(self) -> None:
        for rater in {trial.rater for trial in self.trials}:
            mine = [t for t in self.trials if t.rater == rater]
            first = [t.image for t in mine if t.kind != "repeat"]
            assert len(mine) == 28 and len(set(first)) == len(first)
            assert {t.arm for t in mine if t.kind == "test"} == set(ARMS)

    def test_a_photograph_comes_in_all_arms_over_the_raters(self) -> None:
        seen: dict[str, set[str]] = {}
        for trial in self.trials:
            if trial.kind == "test":
                seen.setdefault(trial.image, set()).add(trial.arm)
        assert np.mean([len(arms) == 3 for arms in seen.values()]) > 0.8

    def test_an_arms_seeds_are_shown_equally_often_and_by_every_rater(self) -> None:
        trials = schedule.plan(Design("pair", raters=12, trials=28, seed=1), IMAGES, ARMS, "secret")
        shown = Counter((t.arm, t.seed) for t in trials if t.kind == "test")
        assert set(shown) == {(arm, seed) for arm, seeds in ARMS.items() for seed in seeds}
        for arm, seeds in ARMS.items():
            counts = [shown[arm, seed] for seed in seeds]
            assert max(counts) - min(counts) <= 0.25 * sum(counts) / len(counts)
        for rater in {t.rater for t in trials}:
            assert {(t.arm, t.seed) for t in trials if t.rater == rater and t.kind == "test"} == set(shown)
        assert all((t.seed is None) == (t.kind == "vigilance") for t in trials)

    def test_sides_are_balanced(self) -> None:
        for rater in {trial.rater for trial in self.trials}:
            sides = Counter(t.side for t in self.trials if t.rater == rater and t.kind != "repeat")
            assert abs(sides["left"] - sides["right"]) <= 1

    def test_controls(self) -> None:
        mine = [t for t in self.trials if t.rater == "rater-01"]
        kinds = Counter(t.kind for t in mine)
        assert kinds["vigilance"] == 3 and kinds["repeat"] == 1
        assert all((t.arm == RANDOM) == (t.kind == "vigilance") for t in mine)
        [repeat] = [t for t in mine if t.kind == "repeat"]
        [first] = [t for t in mine if t.kind == "test" and t.image == repeat.image]
        assert (repeat.arm, repeat.seed) == (first.arm, first.seed) and repeat.side != first.side

    def test_codes_are_opaque_and_the_schedule_is_seeded(self) -> None:
        again, other_key = (schedule.plan(Design("pair", 6, 28, 1), IMAGES, ARMS, key) for key in ("secret", "other"))
        assert again == self.trials
        assert not {t.code for t in other_key} & {t.code for t in self.trials}
        assert len({t.code for t in self.trials}) == len(self.trials)
        assert [t.side for t in other_key] != [t.side for t in self.trials]  # the public seed does not tell the sides
        assert all(not t.code.replace("e", "").isdigit() for t in self.trials)  # no spreadsheet takes a code for a number

    def test_designs_that_do_not_fit(self) -> None:
        with pytest.raises(ColourbenchError, match=r"40 trials need 38 photographs, .* there are 30; use --trials 32 or fewer"):
            schedule.plan(Design("pair", 1, 40), IMAGES, ARMS, "s")
        assert len(schedule.plan(Design("pair", 1, 32), IMAGES, ARMS, "s")) == 32
        with pytest.raises(ColourbenchError, match="too few for 3 arms"):
            schedule.plan(Design("pair", 1, 4), IMAGES, ARMS, "s")

    def test_opinions_have_a_hidden_reference(self) -> None:
        trials = schedule.plan(Design("opinion", 4, 28, 0), IMAGES, ARMS, "s")
        assert TRUTH in {t.arm for t in trials} and {t.side for t in trials} == {""}


class TestSheets:
    def test_files_and_blinding(self, material: sheets.Material, tmp_path: Path) -> None:
        key = sheets.write(material, Design("pair", 2, 12), tmp_path)
        handed_out = tmp_path / "sheets" / "rater-01"
        names = {path.name for path in handed_out.iterdir()}
        assert names == {"images", "rater-01.csv", "rater-01.xlsx"}
        digest = hashlib.sha256((tmp_path / "key.json").read_bytes()).hexdigest()
        assert digest in (tmp_path / "sheets" / "commitment.txt").read_text()
        book = load_workbook(handed_out / "rater-01.xlsx")
        text = " ".join(str(cell.value) for row in book["Ratings"].iter_rows() for cell in row)
        told = text + (handed_out / "rater-01.csv").read_text() + " ".join(p.name for p in (handed_out / "images").iterdir())
        assert not any(word in told for word in (*ARMS, TRUTH, RANDOM, *material.names))
        for path in (handed_out / "images").iterdir():
            with Image.open(path) as image:
                assert not image.info
        assert len({path.stat().st_size for path in (handed_out / "images").iterdir()}) == 1  # sizes tell nothing
        assert len(key.trials) == 24

    def test_pictures_show_the_truth_on_the_side_of_the_key(self, material: sheets.Material, tmp_path: Path) -> None:
        key = sheets.write(material, Design("pair", 1, 12), tmp_path)
        for trial in key.trials:
            with Image.open(tmp_path / "sheets" / trial.rater / "images" / f"{trial.code}.png") as image:
                picture = np.asarray(image)
            halves = {"left": picture[:, :256], "right": picture[:, -256:]}
            truth = Image.fromarray(material.truth[material.names.index(trial.image)]).resize((256, 256), Image.Resampling.LANCZOS)
            assert np.array_equal(halves[trial.side], np.asarray(truth))
            other = halves["right" if trial.side == "left" else "left"]
            assert not np.array_equal(other, np.asarray(truth))
            if trial.kind == "test":
                made = material.arms[trial.arm][trial.seed or 0][material.names.index(trial.image)]
                assert np.array_equal(other, np.asarray(Image.fromarray(made).resize((256, 256), Image.Resampling.LANCZOS)))

    def test_a_key_of_the_version_before_is_read(self, material: sheets.Material, tmp_path: Path) -> None:
        key = sheets.write(material, Design("pair", 1, 12), tmp_path)
        (tmp_path / "sheets" / "commitment.txt").unlink()
        old = json.loads(key.to_json()) | {"schema": 1, "arms": list(ARMS)}
        old["trials"] = [{name: value for name, value in trial.items() if name != "seed"} for trial in old["trials"]]
        (tmp_path / "key.json").write_text(json.dumps(old))
        found = sheets.read_key(tmp_path)
        assert found.arms == {arm: [0] for arm in ARMS} and {trial.seed for trial in found.trials} == {None}

    def test_answer_cells_alone_are_open_and_validated(self, material: sheets.Material, tmp_path: Path) -> None:
        sheets.write(material, Design("opinion", 1, 12), tmp_path)
        sheet = load_workbook(tmp_path / "sheets" / "rater-01" / "rater-01.xlsx")["Ratings"]
        assert sheet.protection.sheet
        rows = [row for row in sheet.iter_rows(min_row=sheets.FIRST_ROW) if row[3].value]
        assert len(rows) == 12 and all([cell.protection.locked for cell in row] == [True, True, False, True] for row in rows)
        [rule] = sheet.data_validations.dataValidation
        assert rule.formula1 == '"1,2,3,4,5"' and "C4" in str(rule.sqref)
        assert len(sheet._images) == 12

    def test_sheets_in_hands_are_not_overwritten(self, material: sheets.Material, tmp_path: Path) -> None:
        sheets.write(material, Design("pair", 1, 12), tmp_path)
        with pytest.raises(ColourbenchError, match="raters' hands"):
            sheets.write(material, Design("pair", 2, 12), tmp_path)

    def test_answers_come_back_from_both_formats(self, material: sheets.Material, tmp_path: Path) -> None:
        key = sheets.write(material, Design("opinion", 2, 12), tmp_path)
        fill(tmp_path / "sheets" / "rater-01" / "rater-01.xlsx", lambda code: int(code, 16) % 5 + 1)
        self._fill_csv(tmp_path / "sheets" / "rater-02" / "rater-02.csv", ";")
        found = tables.collect(sorted((tmp_path / "sheets").glob("*/rater-*")), key)
        assert len(found) == 24 and list(found.columns) == list(tables.TIDY)
        for row in found.itertuples():
            [trial] = [t for t in key.trials if (t.rater, t.trial) == (row.rater, row.trial)]
            assert (row.image, row.arm, row.kind) == (trial.image, trial.arm, trial.kind)
            assert row.seed == trial.seed or (trial.seed is None and np.isnan(float(str(row.seed))))
            assert row.response == str(int(trial.code, 16) % 5 + 1)

    def test_wrong_answers_are_named(self, material: sheets.Material, tmp_path: Path) -> None:
        key = sheets.write(material, Design("pair", 1, 12), tmp_path)
        path = tmp_path / "sheets" / "rater-01" / "rater-01.xlsx"
        for answer, message in (
            ("both", "row 4: the answer 'both' should be one of left, right"),
            ('=IF(TRUE,"left","")', "is a formula"),
        ):
            fill(path, partial(lambda given, code: given, answer))
            with pytest.raises(ColourbenchError, match=message):
                sheets.read_answers(path, key)
        path.write_bytes(b"PK nonsense")
        with pytest.raises(ColourbenchError, match="cannot be read as a rating sheet"):
            sheets.read_answers(path, key)

    def test_contradicting_sheets_and_foreign_trials(self, material: sheets.Material, tmp_path: Path) -> None:
        key = sheets.write(material, Design("opinion", 1, 12), tmp_path)
        self._fill_csv(tmp_path / "sheets" / "rater-01" / "rater-01.csv", ",")
        fill(tmp_path / "sheets" / "rater-01" / "rater-01.xlsx", lambda code: (int(code, 16) + 1) % 5 + 1)
        with pytest.raises(ColourbenchError, match="differently"):
            tables.collect(sorted((tmp_path / "sheets").glob("*/rater-*")), key)
        (tmp_path / "foreign.csv").write_text("trial,code,picture,answer\n1,abc,x,3\n")
        with pytest.raises(ColourbenchError, match="not in this study's key"):
            sheets.read_answers(tmp_path / "foreign.csv", key)

    def test_no_answer_yet(self, material: sheets.Material, tmp_path: Path) -> None:
        key = sheets.write(material, Design("pair", 1, 12), tmp_path)
        with pytest.raises(ColourbenchError, match="no sheet holds an answer"):
            tables.collect(sorted((tmp_path / "sheets").glob("*/rater-*")), key)
        assert sheets.read_key(tmp_path) == key
        assert json.loads((tmp_path / "key.json").read_bytes())["schema"] == sheets.SCHEMA

    @staticmethod
    def _fill_csv(path: Path, delimiter: str) -> None:
        rows = list(csv.DictReader(path.read_text().splitlines()))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys(), delimiter=delimiter)
            writer.writeheader()
            writer.writerows({**row, "answer": str(int(row["code"], 16) % 5 + 1)} for row in rows)


def simulated(
    draw: np.random.Generator, raters: int, images: int, trials: int, effect: float = 0.0, arms: int = 2, seeds: int = 1
) -> pd.DataFrame:
    """A pair test in which raters, photographs and an arm's seeds differ, and photographs differ in how each arm suits them."""
    rater_skill, image_ease = draw.normal(scale=0.6, size=raters), draw.normal(scale=0.6, size=images)
    likes, luck = draw.normal(scale=0.7, size=(images, arms)), draw.normal(scale=0.4 if seeds > 1 else 0.0, size=(arms, seeds))
    rows = []
    for rater in range(raters):
        for image in draw.permutation(images)[:trials]:
            turn, arm = divmod(int(image) + rater, arms)
            seed = turn % seeds
            logit = -0.8 + rater_skill[rater] + image_ease[image] + likes[image, arm] + luck[arm, seed] + effect * arm
            fooled = draw.random() < 1 / (1 + np.exp(-logit))
            rows.append((f"r{rater}", "test", f"i{image}", f"arm{arm}", "left", "right" if fooled else "left", seed))
    return pd.DataFrame(rows, columns=["rater", "kind", "image", "arm", "side", "response", "seed"])


class TestTables:
    def test_fooling_rate_is_the_share_taken_for_real(self) -> None:
        answers = simulated(np.random.default_rng(0), 20, 40, 20)
        found = tables.by_arm(answers, "pair").set_index("arm").T.to_dict()
        for arm, mine in answers.groupby("arm"):
            assert found[arm]["fooling_rate"] == pytest.approx((mine["response"] == "right").mean())
            assert found[arm]["low"] < found[arm]["fooling_rate"] < found[arm]["high"]

    def test_one_rater_falls_back_to_wilson(self) -> None:
        answers = pd.DataFrame(
            [("r", "test", f"i{k}", "a", "left", "right" if k < 42 else "left") for k in range(100)],
            columns=["rater", "kind", "image", "arm", "side", "response"],
        )
        [row] = tables.by_arm(answers, "pair").to_dict("records")
        assert (row["low"], row["high"]) == pytest.approx((0.3280, 0.5179), abs=1e-4)
        assert "too few raters" in row["interval"] and tables.pairs(answers, "pair").empty

    def test_intervals_cover_what_other_raters_and_photographs_would_say(self) -> None:
        """Even with one arm: the interval must hold the population's rate about 95 times in 100."""
        draw = np.random.default_rng(9)
        population = (simulated(draw, 4000, 4000, 30)["response"] == "right").mean()
        covered = []
        for _ in range(150):
            answers = simulated(draw, 14, 30, 30).assign(arm="only")
            [row] = tables.by_arm(answers, "pair").to_dict("records")
            assert row["low"] < row["fooling_rate"] < row["high"]
            covered.append(row["low"] <= population <= row["high"])
        assert np.mean(covered) >= 0.88

    def test_arms_confounded_with_photographs_get_no_p(self) -> None:
        """If only every second rater returns a sheet, each photograph was seen in one arm alone."""
        answers = simulated(np.random.default_rng(0), 6, 20, 20)
        every_second = answers[answers["rater"].isin(["r0", "r2", "r4"])]
        assert tables.pairs(every_second, "pair").empty and len(tables.pairs(answers, "pair")) == 1

    def test_only_control_trials(self) -> None:
        answers = pd.DataFrame(
            [("r", "vigilance", "i", RANDOM, "left", "left")], columns=["rater", "kind", "image", "arm", "side", "response"]
        )
        with pytest.raises(ColourbenchError, match="no test trial"):
            tables.by_arm(answers, "pair")

    def test_a_real_difference_is_found(self) -> None:
        [row] = tables.pairs(simulated(np.random.default_rng(1), 40, 100, 40, effect=1.2), "pair").to_dict("records")
        assert row["p_holm"] < 0.01 and row["difference"] < 0

    def test_false_positives_stay_near_five_per_cent(self) -> None:
        """Errors that count raters and images hold their level where errors over trials alone do not."""
        draw = np.random.default_rng(5)
        p = [tables.pairs(simulated(draw, 16, 24, 16), "pair")["p"].iloc[0] for _ in range(250)]
        assert 0.015 <= np.mean(np.array(p) < 0.05) <= 0.085

    def test_seeds_count_in_a_verdict_about_methods(self) -> None:
        """Four arms of one method with three seeds each: without the seeds, luck in them passes for a better method."""
        draw = np.random.default_rng(5)
        called: dict[str, list[bool]] = {"with seeds": [], "without": []}
        for _ in range(60):
            answers = simulated(draw, 24, 64, 40, arms=4, seeds=3)
            for name, table in (("with seeds", answers), ("without", answers.drop(columns="seed"))):
                called[name] += (tables.pairs(table, "pair")["p"] < 0.05).tolist()
        assert np.mean(called["with seeds"]) <= 0.07 and np.mean(called["without"]) >= 0.1

    def test_what_an_interval_counts_is_said(self) -> None:
        answers = simulated(np.random.default_rng(0), 12, 24, 20, arms=3, seeds=2)
        answers.loc[answers["arm"] == "arm2", "seed"] = 0
        methods = tables.by_arm(answers, "pair", fixed=("arm2",)).set_index("arm")["interval"]
        assert methods["arm0"].endswith("by photograph and by seed") and methods["arm2"].endswith("by photograph")
        lone = tables.pairs(answers, "pair").set_index(["first", "second"])["interval"]
        assert "one seed says nothing" in lone["arm0", "arm2"] and "one seed" not in lone["arm0", "arm1"]

    def test_opinions(self) -> None:
        draw = np.random.default_rng(2)
        rows = [
            (f"r{r}", "test", f"i{i}", arm, "", str(int(np.clip(round(draw.normal(centre, 0.8)), 1, 5))))
            for r in range(8)
            for i in range(12)
            for arm, centre in ((("cgan", 2.5), (TRUTH, 4.5)))[(i + r) % 2 :][:1]
        ]
        answers = pd.DataFrame(rows, columns=["rater", "kind", "image", "arm", "side", "response"])
        found = tables.by_arm(answers, "opinion")
        assert found["arm"].tolist() == ["cgan", TRUTH]
        assert found["mos"].tolist() == pytest.approx([2.5, 4.4], abs=0.4)
        assert tables.pairs(answers, "opinion")["p_holm"].iloc[0] < 0.001

    def test_vigilance(self) -> None:
        rows = [
            ("r1", "test", "i1", "a", "left", "right"), ("r1", "repeat", "i1", "a", "right", "left"),
            ("r1", "vigilance", "i2", RANDOM, "left", "left"), ("r2", "vigilance", "i3", RANDOM, "left", "right"),
        ]  # fmt: skip
        found = tables.vigilance(pd.DataFrame(rows, columns=["rater", "kind", "image", "arm", "side", "response"]), "pair")
        assert found["vigilance_right"].tolist() == [1.0, 0.0]
        assert found["repeats_alike"].tolist()[0] == 1.0
