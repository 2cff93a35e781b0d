"""The page as a web application. Everything comes from this server, and what is sent is neither kept nor repeated."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from common.colour import hints
from common.data.decoding.images import BadImage
from common.errors import ColourbenchError
from studies.pages.colourise.schema import (
    ACCEPTED,
    BODY,
    PICTURES,
    Offer,
    Served,
    Wish,
    labels_of,
    problems,
    wishes,
)
from studies.pages.colourise.settings import ServeSettings
from studies.pages.colourise.work import Later, Order, Rate, Work
from studies.pages.guard import HEADERS, Guard
from studies.use.models import Model
from studies.use.prediction import Sight

STATIC = Path(__file__).with_name("static")
# for a body to arrive: a slower client would block others
UPLOAD_SECONDS = 60.0


def make_app(models: Sequence[Model], settings: ServeSettings, work: Work) -> FastAPI:
    """The application. FastAPI's own documentation pages are off, for they load scripts from elsewhere."""
    app = FastAPI(
        title="colourbench",
        summary="Colourises photographs with trained models",
        version="1",
        docs_url=None,
        redoc_url=None,
        responses=problems(421),
    )
    megabytes = f"{settings.max_megabytes:g} MB"
    wanted = f"a photograph of at most {megabytes} as the body, with its own content type, such as image/jpeg"
    app.add_middleware(
        Guard,
        hosts=settings.hosts,
        largest_body=settings.most_bytes,
        accepted=ACCEPTED,
        wanted=wanted,
    )
    app.add_exception_handler(ColourbenchError, _refused)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _not_here)
    app.add_exception_handler(Exception, _failed)
    _add_files(app)
    _add_service(app, by_name(models), settings, work)
    return app


def by_name(models: Sequence[Model]) -> dict[str, Model]:
    """Models by names that differ: runs of two studies, or two files, may have the same one."""
    named: dict[str, Model] = {}
    for model in models:
        more = (f"{model.name} ({number})" for number in count(2))
        named[next(name for name in chain([model.name], more) if name not in named)] = model
    return named


def _add_files(app: FastAPI) -> None:
    described: dict[int | str, dict[str, Any]] = {
        200: {"description": "The page.", "content": {"text/html": {}}}
    }
    page = _file("page.html", "text/html")
    app.add_api_route(
        "/", page, response_class=Response, responses=described, summary="The page for people"
    )
    for name, kind in {"page.js": "text/javascript", "page.css": "text/css"}.items():
        app.add_api_route(
            f"/{name}", _file(name, kind), response_class=Response, include_in_schema=False
        )
    app.add_api_route("/favicon.ico", lambda: Response(status_code=204), include_in_schema=False)


def _file(name: str, kind: str) -> Any:
    content = (STATIC / name).read_bytes()

    async def send() -> Response:
        return Response(content, media_type=kind)

    return send


def _add_service(
    app: FastAPI, models: dict[str, Model], settings: ServeSettings, work: Work
) -> None:
    rate = Rate(settings.rate)
    asked = wishes(models)
    offer = Offer(
        models=[_served(*one) for one in models.items()],
        most_bytes=settings.most_bytes,
        most_pixels=settings.most_pixels,
    )

    @app.get("/models", summary="The models and the limits")
    async def listed() -> Offer:
        return offer

    async def counted(request: Request) -> None:
        rate.check(request.client.host if request.client else "")

    @app.post(
        "/colourise",
        summary="Colourises a photograph",
        description="The body is the photograph's file; its format is told by its content. The result has no metadata of it.",
        response_class=Response,
        dependencies=[Depends(counted)],
        openapi_extra={"requestBody": BODY},
        responses={**PICTURES, **problems(403, 408, 413, 415, 422, 429, 503)},
    )
    async def colourise(request: Request, wish: Annotated[asked, Query()]) -> Response:  # type: ignore[valid-type]
        order = _order(models, wish)
        with work.place(request.client.host if request.client else ""):
            data = await _body(request, settings.most_bytes)
            return Response(
                await _picture(request, work.begin(order, data)), media_type=f"image/{order.kind}"
            )


def _served(name: str, model: Model) -> Served:
    return Served(
        name=name,
        labels=labels_of(model),
        takes_hints=model.colouriser.takes_hints,
        side=model.colouriser.size,
    )


def _order(models: dict[str, Model], wish: Wish) -> Order:
    """What a wish means for its model.

    Raises:
        BadImage: the model is not served, or takes no such label or hints.
    """
    model = models.get(wish.model)
    if model is None:
        raise BadImage("no model of this name is served here; GET /models lists them")
    labels = labels_of(model)
    if wish.label and wish.label not in labels:
        raise BadImage("the model does not know this label; GET /models lists those of each model")
    if wish.hint and not model.colouriser.takes_hints:
        raise BadImage("the model takes no hints; GET /models says which one does")
    label = labels.index(wish.label) if wish.label else -1
    return Order(
        model,
        Sight(label=label, hints=[_hint(text) for text in wish.hint]),
        wish.saturation,
        wish.format,
    )


def _hint(text: str) -> hints.Hint:
    x, y, colour = text.split(",")
    return hints.from_rgb(float(x), float(y), colour)


async def _body(request: Request, most: int) -> bytes:
    """The body, if it arrives whole, in time, and is not too long."""
    data = bytearray()
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            async for part in request.stream():
                data += part
    except TimeoutError:
        raise HTTPException(
            408, f"the photograph did not arrive within {UPLOAD_SECONDS:.0f} seconds"
        ) from None
    except ClientDisconnect:  # the connection is lost, or the guard has cut a body off that is longer than its header said
        raise HTTPException(
            413, f"a photograph may have at most {most / 10**6:g} MB, and must arrive whole"
        ) from None
    if not data:
        raise BadImage("the file is empty")
    return bytes(data)


async def _picture(request: Request, future: Future[bytes]) -> bytes:
    """Waits for the result; if nobody waits for it any more and it has not begun, it never does."""
    picture = asyncio.wrap_future(future)
    gone = asyncio.ensure_future(_disconnected(request))
    either: set[asyncio.Future[Any]] = {picture, gone}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if not picture.done() and future.cancel():
        raise HTTPException(408, "the connection is closed")
    return await picture


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refused(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, Later):
        return JSONResponse(
            {"error": str(error)}, error.status, {"retry-after": str(error.seconds)}
        )
    return JSONResponse({"error": str(error)}, 422)


async def _not_valid(_: Request, error: Exception) -> JSONResponse:
    """Names the parameters, and repeats nothing that was sent: an unknown parameter's name was."""
    mistakes = error.errors() if isinstance(error, RequestValidationError) else []
    known = sorted(
        {
            str(one["loc"][1])
            for one in mistakes
            if one["type"] != "extra_forbidden" and len(one["loc"]) > 1
        }
    )
    text = (
        f"GET /openapi.json describes another {' and '.join(known)}"
        if known
        else "there is a parameter that is not known"
    )
    return JSONResponse({"error": text}, 422)


async def _not_here(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    texts = {404: "there is no such page", 405: "this address takes another method"}
    return JSONResponse(
        {"error": texts.get(error.status_code, error.detail)}, error.status_code, error.headers
    )


async def _failed(_: Request, error: Exception) -> JSONResponse:
    # it is outside the guard
    return JSONResponse(
        {"error": "something went wrong here; what was sent is not kept"}, 500, HEADERS
    )
