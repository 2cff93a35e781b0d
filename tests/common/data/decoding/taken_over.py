"""A decoder that does what a photograph that has taken it over could ask of it."""

import os
from typing import Any

import numpy as np

from common.data.decoding.confined import Answer, Limits, serve_confined
from common.data.decoding.images import BadImage

PICTURES = (np.arange(24, dtype=np.uint8).reshape(2, 4, 3), np.zeros((1, 1, 3), np.uint8))


def _work(data: bytes, limits: Limits, settings: dict[str, Any]) -> Answer:
    question = data.decode()
    if question.startswith("write "):
        with open(question.removeprefix("write "), "w") as file:  # noqa: PTH123
            file.write("content")
    if question == "refuse":
        raise BadImage("it is no photograph")
    if question == "fail":
        raise RuntimeError("a broken decoder")
    if question == "boast":  # a picture that nobody asked for
        return Answer({}, [np.zeros((1000, 1000, 3), np.uint8)])
    if question == "leave":
        os._exit(3)
    # every second pixel: not contiguous in memory
    pictures = [picture[:, ::2] for picture in PICTURES]
    return Answer({"question": question, "pixels": limits.pixels, **settings}, pictures)


def serve(descriptor: int) -> None:
    serve_confined(descriptor, _work)
