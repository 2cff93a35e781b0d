"""What is sent to the page and what it answers, as the description at /openapi.json tells programs."""

from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, create_model

from common.colour import hints
from studies.use.models import Model

UNKNOWN = "application/octet-stream"
KINDS = ("jpeg", "png", "webp", "tiff", "bmp", "gif", "avif", "jp2", "heic", "heif")
# none of them may be sent by a form of another site
ACCEPTED = (
    *(f"image/{kind}" for kind in KINDS),
    UNKNOWN,
)
SHARE = r"(0(\.[0-9]{1,6})?|1(\.0{1,6})?)"
HintText = Annotated[str, Field(pattern=rf"^{SHARE},{SHARE},[0-9A-Fa-f]{{6}}$")]
MINIMUM = 0.0
MAXIMUM = 3.0  # of the saturation


class Problem(BaseModel):
    """What went wrong."""

    error: str = Field(description="One sentence for people.")


class Served(BaseModel):
    """A model that the page offers."""

    name: str
    labels: list[str] = Field(
        description="What its photographs may show; empty if it was trained without labels."
    )
    takes_hints: bool = Field(description="Whether it takes points of known colour.")
    side: int = Field(
        description="Pixels of the shorter side of the photographs that it was trained on."
    )


class Offer(BaseModel):
    """The models and the limits."""

    models: list[Served]
    most_bytes: int = Field(description="Bytes of a photograph's file.")
    most_pixels: int = Field(description="Pixels of a photograph.")


class Wish(BaseModel):
    """How a photograph is to be coloured."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(max_length=500, description="A model's name, one of those of GET /models.")
    saturation: float = Field(
        1.0,
        ge=MINIMUM,
        le=MAXIMUM,
        allow_inf_nan=False,
        description="Multiplies the colours' strength.",
    )
    label: str = Field(
        "", max_length=500, description="What it shows: one of the model's labels, or nothing."
    )
    hint: list[HintText] = Field(
        default_factory=list,
        max_length=hints.MOST,
        description="Points of known colour, x,y,RRGGBB with x and y in [0, 1] from the left and the top.",
    )
    format: Literal["png", "jpeg", "webp"] = Field("png", description="Of the result.")


def labels_of(model: Model) -> list[str]:
    """The labels that make a difference to a model."""
    return model.labels if model.config.variant.generator.labels else []


def wishes(models: dict[str, Model]) -> type[Wish]:
    """`Wish` with a schema that lists the models and labels that are served."""
    labels = {label: None for model in models.values() for label in labels_of(model)}
    told = {
        "model": (Wish.model_fields["model"], list(models)),
        "label": (Wish.model_fields["label"], ["", *labels]),
    }
    fields: dict[str, Any] = {
        name: (
            str,
            Field(
                field.default,
                description=field.description,
                json_schema_extra=cast(Any, {"enum": choices}),
            ),
        )
        for name, (field, choices) in told.items()
    }
    return cast(type[Wish], create_model("Wish", __base__=Wish, **fields))


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The description of replies that say what went wrong."""
    return {
        status: {
            "model": Problem,
            "description": _STATUSES[status],
            "headers": _RETRY if status in (429, 503) else {},
        }
        for status in statuses
    }


_STATUSES = {
    403: "Another site sent it.",
    408: "It did not arrive in time.",
    413: "It has too many bytes.",
    415: "The content type is none of a photograph's.",
    421: "The page is not served under this name.",
    422: "A parameter is wrong, or the photograph cannot be used; the reason is given.",
    429: "The address has sent too many; `Retry-After` says when to try again.",
    503: "Too many are waiting; `Retry-After` says when to try again.",
}
_RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
_FILE = {"schema": {"type": "string", "format": "binary"}}
BODY = {
    "required": True,
    "description": "The photograph's file.",
    "content": dict.fromkeys(ACCEPTED, _FILE),
}
PICTURES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The coloured picture.",
        "content": {f"image/{kind}": _FILE for kind in ("png", "jpeg", "webp")},
    }
}
