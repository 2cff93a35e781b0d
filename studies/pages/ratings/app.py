"""The page as a web application. Everything comes from this server: no other host is asked for anything."""

import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from studies.pages.guard import Guard
from studies.pages.ratings import plates
from studies.pages.ratings.sessions import Age, BegunElsewhere, Full, Refused, Screen, Sessions
from studies.people.store import Answer

STATIC = Path(__file__).with_name("static")
Milliseconds = Annotated[float, Field(ge=0, le=1e8, allow_inf_nan=False)]
Pixels = Annotated[float, Field(gt=0, le=1e5, allow_inf_nan=False)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
OutsideId = Annotated[str, Field(pattern=r"^[\x21-\x7e]{0,100}$")]


class Body(BaseModel):
    """What a browser sends: these fields and no others."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Begin(Body):
    """Consent, and where the rater comes from."""

    consent: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    age: Age | None = None
    outside: OutsideId = ""
    take_over: bool = False


class ScreenCheck(Body):
    """What the browser and the rater see."""

    width: Annotated[int, Field(ge=0, le=100_000)]
    height: Annotated[int, Field(ge=0, le=100_000)]
    numbers: Annotated[
        list[Annotated[str, Field(pattern=r"^[0-9]{0,4}$")]], Field(min_length=4, max_length=4)
    ]


class Answered(Body):
    """An answer and how it came about."""

    code: Word
    response: Word
    session: Word
    idempotency: Word
    requested_ms: Milliseconds
    exposure_ms: Milliseconds
    reaction_ms: Milliseconds
    focus_lost: bool
    full_screen: bool
    shown_px: Pixels | None = None
    pixel_ratio: Pixels | None = None


class Comment(Body):
    """What a rater says at the end."""

    text: Annotated[str, Field(max_length=2000)]


def make_app(sessions: Sessions) -> FastAPI:
    """The application for one study. FastAPI's own documentation pages are off, for they load scripts from elsewhere."""
    app = FastAPI(title="colourbench ratings", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, hosts=sessions.settings.hosts)
    app.add_exception_handler(Refused, _refusal(sessions))
    app.add_exception_handler(RequestValidationError, _not_valid)
    _add_files(app)
    _add_session(app, sessions)
    _add_trials(app, sessions)
    _add_pictures(app, sessions)
    _add_admin(app, sessions)
    return app


def admin_key(sessions: Sessions) -> str:
    """The word that opens the page of the study's owner; the same after a restart."""
    return sessions.study.keyed("admin", 24)


def cookie_name(sessions: Sessions) -> str:
    """Of the browser's token: each study has its own, for cookies are shared by all ports of a host."""
    return f"colourbench-{sessions.study.keyed('cookie', 8)}"


def _refusal(sessions: Sessions) -> Callable[[Request, Exception], JSONResponse]:
    """Tells why something was refused, and where somebody goes who comes too late."""

    def reply(_: Request, error: Exception) -> JSONResponse:
        content = {"error": str(error), "kind": "refused"}
        if isinstance(error, BegunElsewhere):
            content["kind"] = "elsewhere"
        if isinstance(error, Full):
            content["kind"] = "full"
            content["completion_url"] = sessions.settings.outcome_urls.get("full", "")
        return JSONResponse(content, 409)

    return reply


async def _not_valid(_: Request, error: Exception) -> JSONResponse:
    """Names the fields, and repeats nothing that was sent."""
    errors = error.errors() if isinstance(error, RequestValidationError) else []
    return JSONResponse(
        {"error": "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['type']}" for one in errors)},
        422,
    )


def _add_files(app: FastAPI) -> None:
    files = {
        "": "page.html",
        "page.js": "page.js",
        "page.css": "page.css",
        "admin": "admin.html",
        "admin.js": "admin.js",
    }
    for address, name in files.items():
        app.add_api_route(f"/{address}", _file(name), methods=["GET"], include_in_schema=False)
    app.add_api_route(
        "/favicon.ico", lambda: Response(status_code=204), methods=["GET"], include_in_schema=False
    )


def _file(name: str) -> Any:
    async def send() -> FileResponse:
        return FileResponse(STATIC / name)

    return send


def _add_session(app: FastAPI, sessions: Sessions) -> None:
    name = cookie_name(sessions)

    @app.get("/ids")
    def ids() -> dict[str, Any]:
        return {"names": sessions.settings.id_names}

    @app.get("/state")
    def state(request: Request, outside: Annotated[OutsideId, Query()] = "") -> dict[str, Any]:
        return sessions.state(sessions.rater_of(request.cookies.get(name), outside))

    @app.post("/begin", responses=_REFUSALS)
    def begin(body: Begin, request: Request, response: Response) -> dict[str, Any]:
        # begun in another window
        if rater := sessions.rater_of(request.cookies.get(name), body.outside):
            sessions.consent_again(rater, body.consent)
            return sessions.state(rater)
        token = sessions.begin(body.consent, body.age, body.outside, body.take_over)
        secure = request.url.scheme == "https"
        response.set_cookie(
            name, token, max_age=30 * 86400, httponly=True, samesite="lax", secure=secure, path="/"
        )
        return sessions.state(sessions.rater_of(token))

    @app.post("/leave", responses=_REFUSALS)
    def leave(response: Response) -> dict[str, Any]:
        response.delete_cookie(name, path="/")
        return sessions.state(None)


def _add_trials(app: FastAPI, sessions: Sessions) -> None:
    Rater = Annotated[str, Depends(_signed_in(sessions))]

    @app.post("/screen", responses=_REFUSALS)
    def screen(body: ScreenCheck, rater: Rater) -> dict[str, Any]:
        sessions.check_screen(rater, Screen(body.width, body.height, tuple(body.numbers)))
        return sessions.state(rater)

    @app.post("/answer", responses=_REFUSALS)
    def answer(body: Answered, rater: Rater) -> dict[str, Any]:
        right = sessions.answer(rater, Answer(**body.model_dump()))
        return {"right": right, "state": sessions.state(rater)}

    @app.post("/more", responses=_REFUSALS)
    def more(rater: Rater) -> dict[str, Any]:
        sessions.another_block(rater)
        return sessions.state(rater)

    @app.post("/comment", responses=_REFUSALS)
    def comment(body: Comment, rater: Rater) -> dict[str, Any]:
        sessions.comment(rater, body.text)
        return {}


def _add_pictures(app: FastAPI, sessions: Sessions) -> None:
    Rater = Annotated[str, Depends(_signed_in(sessions))]
    Plate = Annotated[int, Field(ge=0, lt=len(plates.PLATES))]

    @app.get("/picture/{code}", responses=_REFUSALS, response_class=Response)
    def picture(code: Word, rater: Rater) -> Response:
        return Response(sessions.picture(rater, code), media_type="image/png")

    @app.get("/plate/{plate}", responses=_REFUSALS, response_class=Response)
    def plate(plate: Plate, rater: Rater) -> Response:
        hidden = sessions.study.keyed(f"plate {rater} {plate}")
        content = plates.png(plate, plates.number(plate, hidden), hidden)
        return Response(content, media_type="image/png")


def _signed_in(sessions: Sessions) -> Callable[[Request], str]:
    """The rater whose cookie a request carries."""
    name = cookie_name(sessions)

    def rater_of(request: Request) -> str:
        rater = sessions.rater_of(request.cookies.get(name))
        if rater is None:
            raise HTTPException(401, "begin at the first page")
        return rater

    return rater_of


def _add_admin(app: FastAPI, sessions: Sessions) -> None:
    @app.get("/admin/data", responses=_REFUSALS)
    def data(x_key: Annotated[str, Header(max_length=100)] = "") -> dict[str, Any]:
        if not hmac.compare_digest(x_key.encode("utf-8", "replace"), admin_key(sessions).encode()):
            raise HTTPException(401, "this page needs the key that `ratings serve` printed")
        # statistics take a second to import
        from studies.pages.ratings.overview import overview

        return overview(sessions.study, sessions.store)


_REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"description": text}
    for code, text in {
        400: "no JSON",
        401: "no session",
        403: "sent by another site",
        409: "refused, with the reason",
        413: "too large",
        415: "not JSON",
        421: "unknown host",
        422: "wrong fields",
    }.items()
}
