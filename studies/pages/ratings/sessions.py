"""A rater's way through the page: consent, screen check, practice, trials, the end. The store knows where everybody is."""

import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from analysis.people.design import PROTOCOLS, Trial
from common.errors import ColourbenchError
from studies.pages.ratings import plates
from studies.pages.ratings.settings import PageSettings
from studies.people.pictures import GAP
from studies.people.store import Answer, Contradiction, ResponseStore, Withdrawn
from studies.people.study import RatingStudy

# trials dealt longer ago without an answer do not count in the balance
ABANDONED_SECONDS = 1800.0
# what a recruiting service replaces by an id; left in, all visitors would be one rater
PLACEHOLDERS = ("{{", "{%", "${", "%7B")
NARROWEST = 320  # pixels of a window that shows a picture well enough

Age = Literal["18-29", "30-44", "45-59", "60+"]


class Refused(ColourbenchError):
    """What was asked for does not fit where the rater is."""


class BegunElsewhere(Refused):
    """The same person has begun in another browser."""


class Full(Refused):
    """The study has all the raters that it needs."""


@dataclass(frozen=True)
class Screen:
    """What a rater's browser and eyes say about the screen."""

    width: int
    height: int
    numbers: tuple[str, ...]  # read from the plates, in their order


class Sessions:
    """All raters of one study."""

    def __init__(self, study: RatingStudy, store: ResponseStore, settings: PageSettings) -> None:
        self.study = study
        self.store = store
        self.settings = settings.for_minutes(study.key.design.minutes)
        self._schedule = study.key.schedule
        self._protocol = PROTOCOLS[study.key.design.test]
        self._lock = threading.Lock()

    def rater_of(self, token: str | None, outside: str = "") -> str | None:
        """The rater whose browser holds this token; None where the address names somebody else by an outside id."""
        record = self.store.rater(token=self.study.keyed(f"token {token}")) if token else None
        if record is None or (outside and record["outside"] != self._outside(outside)):
            return None
        return str(record["rater"])

    def begin(self, consent: str, age: Age | None, outside: str, take_over: bool = False) -> str:
        """Begins a session and returns the browser's token; an outside id that has begun before goes on as the same rater.

        Args:
            take_over: whether a rater who has begun in another browser goes on in this one.

        Raises:
            BegunElsewhere: the rater has, and `take_over` was not said.
            Full: the study has all its raters.
            Refused: the consent is to another text, or the link names nobody.
        """
        self._check_consent(consent)
        self._check_outside(outside)
        token = secrets.token_urlsafe(24)
        known = self._outside(outside) if outside else None
        facts = {"token": self.study.keyed(f"token {token}"), "consent": consent}
        with self._lock:
            earlier = self.store.rater(outside=known) if known else None
            if earlier:
                if not take_over:
                    raise BegunElsewhere("You have begun in another browser.")
                self.store.update_rater(earlier["rater"], **facts)
            elif self._is_full():
                raise Full(
                    "this study has all the raters that it needs; thank you for your interest"
                )
            else:
                self.store.add_rater(f"r{secrets.token_hex(5)}", outside=known, age=age, **facts)
        return token

    def _is_full(self) -> bool:
        """Whether enough raters have answered or are about to; who left before the first answer makes room again."""
        taking_part = self.store.taking_part(since=time.time() - ABANDONED_SECONDS)
        return taking_part >= self.settings.most_raters

    def _check_outside(self, outside: str) -> None:
        if any(mark in outside for mark in PLACEHOLDERS):
            raise Refused(
                "this link was not filled in for you; open the study from the recruiting service's own page"
            )
        if self.settings.required_id and not outside:
            raise Refused(
                "this link does not say who you are; open the study from the recruiting service's own page"
            )

    def consent_again(self, rater: str, consent: str) -> None:
        """A rater who has begun agrees to the text as it is now.

        Raises:
            Refused: the consent is to another text.
        """
        self._check_consent(consent)
        self.store.update_rater(rater, consent=consent)

    def _check_consent(self, consent: str) -> None:
        if consent != self.settings.consent_version:
            raise Refused("the consent text has changed; reload the page and read it again")

    def _outside(self, outside: str) -> str:
        return self.study.keyed(f"outside {outside}")

    def check_screen(self, rater: str, screen: Screen) -> None:
        """Keeps whether the screen passed, and nothing else about it."""
        right = [
            given.strip() == self.plate_number(rater, number)
            for number, given in enumerate(screen.numbers)
        ]
        passed = {
            "size": min(screen.width, screen.height) >= NARROWEST,
            "brightness": all(right[:2]),
            "colour": all(right[2:]),
        }
        self.store.update_rater(rater, screen=passed)
        if self._is_screened_out(passed):
            return
        with self._lock:
            if not self.store.trials(rater):
                self._deal(rater)

    def _is_screened_out(self, screen: dict[str, bool]) -> bool:
        """Whether a rater whose screen did not pass leaves now; without an address for that, the tables leave the rater out."""
        return bool(self.settings.outcome_urls.get("screened_out")) and not all(screen.values())

    def plate_number(self, rater: str, plate: int) -> str:
        """The number that a plate shows this rater."""
        return plates.number(plate, self.study.keyed(f"plate {rater} {plate}"))

    def another_block(self, rater: str) -> None:
        """Deals the rater's next block, the least-filled cells first.

        Raises:
            Refused: the last block is not answered, the rater may do no more, or no photographs are left.
        """
        with self._lock:
            if self._blocks(rater) >= self.settings.most_blocks:
                raise Refused("you have done all that was asked for; thank you")
            self._deal(rater)

    def _deal(self, rater: str) -> None:
        own_trials = self.store.trials(rater)
        if {trial.code for trial in own_trials} - self.store.answered(rater):
            raise Refused("answer the questions of this block first")
        known = {trial.code for trial in self.store.trials()}
        counted = self.store.trials(since=time.time() - ABANDONED_SECONDS)
        # sheets that are still out
        counted += [trial for trial in self.study.key.trials if trial.code not in known]
        others = [trial for trial in counted if trial.rater != rater]
        number = max((trial.block for trial in own_trials), default=0) + 1
        try:
            self.store.deal(self._schedule.block(rater, number, [*others, *own_trials]))
        except ColourbenchError as error:
            raise Refused(str(error)) from None

    def picture(self, rater: str, code: str) -> bytes:
        """The picture of a rater's own trial.

        Raises:
            Refused: it is no trial of this rater.
        """
        for trial in self.store.trials(rater):
            if trial.code == code:
                self.store.fetched(code)
                return self.study.pictures.png(trial)
        raise Refused("this picture is not part of your session")

    def answer(self, rater: str, answer: Answer) -> str | None:
        """Keeps an answer; returns the right one in practice, where there is one.

        Raises:
            Refused: it is not the rater's next trial, or not a possible answer, or differs from the one that is kept.
        """
        if answer.response not in self._protocol.answers:
            raise Refused(f"the answer must be one of {', '.join(self._protocol.answers)}")
        trials = {trial.code: trial for trial in self.store.trials(rater)}
        trial = trials.get(answer.code)
        waiting = self._waiting(rater)
        if trial is None or (waiting and waiting[0].code != answer.code and trial in waiting):
            raise Refused("this is not the next question of your session")
        try:
            self.store.answer(answer)
        except (Contradiction, Withdrawn) as error:
            raise Refused(str(error)) from None
        # taste has no right answer
        told = trial.kind == "practice" and trial.right_answer in self._protocol.answers
        return trial.right_answer if told else None

    def state(self, rater: str | None) -> dict[str, Any]:
        """Where a rater is and what comes next. It tells nothing that the rater must not know."""
        if rater is None:
            return {
                "stage": "consent",
                "text": self.settings.consent,
                "version": self.settings.consent_version,
                "decline_url": self.settings.outcome_urls.get("no_consent"),
            }
        known = self.store.rater(rater=rater)
        if known is None or known["consent"] != self.settings.consent_version:
            return self.state(None)
        if known["screen"] is None:
            return {
                "stage": "screen",
                "plates": len(plates.PLATES),
                "questions": [plate.question for plate in plates.PLATES],
            }
        if self._is_screened_out(known["screen"]):
            return {
                "stage": "leave",
                "reason": "This study needs another screen, or eyes that tell these colours apart. Thank you for coming.",
                "completion_url": self.settings.outcome_urls["screened_out"],
            }
        waiting = self._waiting(rater)
        return self._next(waiting, self.store.trials(rater)) if waiting else self._end(rater)

    def _waiting(self, rater: str) -> list[Trial]:
        answered = self.store.answered(rater)
        return [trial for trial in self.store.trials(rater) if trial.code not in answered]

    def _next(self, waiting: list[Trial], own_trials: list[Trial]) -> dict[str, Any]:
        trial = waiting[0]
        block = [other for other in own_trials if other.block == trial.block]
        practised = sum(other.kind == "practice" for other in block)
        position = trial.trial - practised
        practice = trial.kind == "practice"
        return {
            "stage": "trial",
            "code": trial.code,
            **_pictures(waiting),
            "practice": practice,
            "number": trial.trial if practice else position,
            "total": practised if practice else len(block) - practised,
            "question": self._protocol.question,
            "answers": _labelled(self._protocol.answers, self._protocol.labels),
            "stacked": self._stacked,
            "exposure_ms": self.study.key.design.exposure_ms,
            "first": trial.trial == 1,
            "test_begins": position == 1 and practised > 0,
            "pause": position > 1 and (position - 1) % self.settings.break_every == 0,
            "withdrawal_code": self.study.key.withdrawal_code(trial.rater),
            # of a rater who has done what was asked for, and does more
            "completion_url": self._completion_url(trial.rater) if trial.block > 1 else None,
        }

    @property
    def _stacked(self) -> dict[str, Any] | None:
        """How two photographs are shown one above the other, where the screen is narrow; None where one is shown alone."""
        protocol = self._protocol
        if not protocol.two:
            return None
        return {
            "gap": GAP,
            "question": protocol.stacked_question,
            "answers": _labelled(protocol.answers, protocol.stacked_labels),
        }

    def _end(self, rater: str) -> dict[str, Any]:
        left = len(self._schedule.left(self.store.trials(rater)))
        may_go_on = self._blocks(rater) < self.settings.most_blocks
        return {
            "stage": "end",
            "withdrawal_code": self.study.key.withdrawal_code(rater),
            "more": may_go_on and self._schedule.fits(left),
            "completion_url": self._completion_url(rater),
        }

    def _blocks(self, rater: str) -> int:
        """How many blocks a rater was dealt."""
        return max((trial.block for trial in self.store.trials(rater)), default=0)

    def _completion_url(self, rater: str) -> str | None:
        """Where a rater goes at the end: by whether the attention checks reject the rater, if there is an address for that."""
        failed = self.settings.outcome_urls.get("attention")
        if failed and self._is_rejected(rater):
            return failed
        return self.settings.completion_url or None

    def _is_rejected(self, rater: str) -> bool:
        # statistics take a second to import
        from analysis.people import rates

        answers = self.store.table()
        own = answers[answers["rater"] == rater]
        if not (own["kind"] == "test").any():
            return False
        return bool((rates.raters(own, self.study.key.design.test)["rejected"] != "").any())

    def comment(self, rater: str, text: str) -> None:
        """Keeps what a rater says about the study."""
        self.store.update_rater(rater, comment=text)


def _labelled(values: Sequence[str], labels: Sequence[str]) -> list[dict[str, str]]:
    """The answers that a page offers."""
    pairs = zip(values, labels, strict=True)
    return [{"value": value, "label": label} for value, label in pairs]


def _pictures(waiting: list[Trial]) -> dict[str, Any]:
    """The addresses of the next trial's picture and of the one after it; where a block begins, of all its pictures."""
    addresses = [f"picture/{trial.code}" for trial in waiting]
    return {
        "picture": addresses[0],
        "next_picture": addresses[1] if len(addresses) > 1 else None,
        "pictures": addresses if waiting[0].trial == 1 else [],
    }
