"""Photographs that exceed a limit, or end the process that decodes them, are told; the next one is decoded."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from common.data.decoding.confined import Limits
from common.data.decoding.images import BadImage
from studies.pages.colourise import work
from studies.pages.colourise.decoding import Decoder
from studies.pages.colourise.settings import ServeSettings

MakePage = Callable[..., Any]


class TestDecoder:
    """Real files under tiny limits, and real signals: the process is ended, the reason is told, and the next one works."""

    @pytest.mark.parametrize(
        ("limits", "reason"),
        [
            (Limits(seconds=0.1), "more than 0.1 seconds of processor time"),
            (Limits(memory=32 * 2**20), "more .*memory"),
            (Limits(pixels=10**6), "more than 1 million"),
        ],
    )
    def test_a_file_that_exceeds_a_limit(
        self, limits: Limits, reason: str, large: bytes, photo: bytes
    ) -> None:
        with Decoder(limits) as decoder:
            assert decoder.decode(photo).shape == (48, 64, 3)
            before = decoder.process_id
            with pytest.raises(BadImage, match=reason):
                decoder.decode(large)
            assert decoder.decode(photo).shape == (48, 64, 3)
            # only a signal ends the process
            assert (decoder.process_id != before) == (limits.seconds < 1)

    def test_a_process_that_hangs_or_dies(self, large: bytes, photo: bytes) -> None:
        with Decoder(Limits(wait=5.0)) as decoder:
            for sent, reason in (
                (signal.SIGSTOP, "not be read within 5 seconds"),
                (signal.SIGSEGV, "ended the process"),
            ):
                decoder.decode(photo)
                before = decoder.process_id
                threading.Timer(0.02, os.kill, (before, sent)).start()
                with pytest.raises(BadImage, match=reason):
                    for _ in range(100):
                        decoder.decode(large)
                assert decoder.process_id != before and decoder.decode(photo).shape == (48, 64, 3)

    def test_a_process_that_died_between_two_files_blames_neither(self, photo: bytes) -> None:
        with Decoder(Limits()) as decoder:
            decoder.decode(photo)
            os.kill(decoder.process_id, signal.SIGKILL)
            decoder._process._process.wait(10)
            assert decoder.decode(photo).shape == (48, 64, 3)

    def test_the_page_goes_on(
        self, make_page: MakePage, large: bytes, photo: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Limits, "seconds", 0.1)
        page = make_page()
        reply = page.send(large)
        assert reply.status_code == 422 and "processor time" in reply.json()["error"]
        assert page.send(photo).status_code == 200

    def test_the_process_ends_with_the_page(self, photo: bytes) -> None:
        with work.Work(ServeSettings()) as opened:
            process = opened.decoder._process
            opened.decoder.decode(photo)
            assert not process.has_ended
        assert process.has_ended
