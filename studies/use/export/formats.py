"""A trained generator as safetensors, ONNX or a torch program (pt2), each compared with the generator after it is written."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.fx.experimental._config
from torch import Tensor
from torch.utils._sympy.value_ranges import ValueRanges

from common.colour.hints import CHANNELS
from common.config import as_json, parse
from common.errors import ColourbenchError, first_line
from common.fast import switch
from common.loop import checkpoint
from common.system.atomic import replacing, write_atomically
from studies.runs.configuration import RunConfig
from studies.runs.model import read_model, write_model
from studies.use.export.anonymous import told_to_readers, without_stack_traces
from studies.use.export.padding import with_fixed_padding
from studies.use.models import Model, is_file
from variants.players.program import Program

FORMATS = {"safetensors": "model.safetensors", "onnx": "model.onnx", "pt2": "model.pt2"}
TOLERANCE = 1e-3  # of ab in [-1, 1], about a tenth of a Lab unit
HALF_TOLERANCE = 2e-2  # the same for weights of 16 bits, about two units
CARD = "README.md"
GALLERY = "gallery.jpg"
OPSET = 20
# images, and pixels more than the training size: odd sides and rectangles too
SHAPES = (
    (1, 0, 0),
    (3, 1, 33),
    (2, -7, 64),
)

Call = Callable[[dict[str, Tensor]], Tensor]


def write(model: Model, kind: str, folder: Path, half: bool = False) -> tuple[Path, float]:
    """Writes `model.…` into a folder; returns its path and the largest difference in ab, over batches and sizes, from the model.

    Args:
        half: store the weights of a safetensors file in float16: half of the size, and colours that differ a little.

    Raises:
        ColourbenchError: the model's colours depend on noise or on its batch, a package is missing, or the file disagrees.
    """
    if model.colouriser.test_time not in ("calibrated", "running"):
        raise ColourbenchError(
            f"{model.name} colourises with test_time={model.colouriser.test_time}, which no file can hold: its colours depend on "
            "noise or on the other photographs of a batch; export a run with test_time=calibrated or running"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FORMATS[kind]
    if half and kind != "safetensors":
        raise ColourbenchError("--half is for safetensors; an exported program computes in float32")
    writers: dict[str, Callable[[Model, Path], Call]] = {
        "safetensors": partial(_safetensors, half=half),
        "onnx": _onnx,
        "pt2": _pt2,
    }
    call = writers[kind](model, path)
    difference = largest_difference(model, call)
    tolerance = HALF_TOLERANCE if half else TOLERANCE
    if not difference <= tolerance:
        path.unlink()
        raise ColourbenchError(
            f"{path} would differ by {difference:.2g} from {model.name} (limit {tolerance:g}), so it was removed"
        )
    return path, difference


def published(config: RunConfig) -> RunConfig:
    """The settings without paths of this machine: of a file only its name is left."""
    fields = as_json(config)
    fields["start_from"] = Path(fields["start_from"]).name
    for part in (fields["variant"]["generator"]["network"], fields["variant"]["reconstruction"]):
        if part.get("backbone_weights"):
            part["backbone_weights"] = Path(part["backbone_weights"]).name
    return parse(RunConfig, fields, "settings")


def largest_difference(model: Model, call: Call) -> float:
    """The largest |Δab| between a written model and the generator in torch, for batches of 1 to 3 and odd sides."""
    program = Program(model.colouriser.network).float().cpu()
    differences = []
    for inputs in examples(model):
        with torch.no_grad(), _plain():
            expected = program(**inputs)
        differences.append(float((call(inputs) - expected).abs().max()))
    return max(differences)


def examples(model: Model) -> Iterator[dict[str, Tensor]]:
    """Inputs of several shapes: L, and hints and label for a generator that takes them."""
    draw = torch.Generator().manual_seed(0)
    size = model.colouriser.size
    for images, taller, wider in SHAPES:
        shape = images, 1, size + taller, size + wider
        inputs = {"L": torch.rand(shape, generator=draw) * 2 - 1}
        if model.colouriser.takes_hints:
            inputs["hints"] = torch.rand(images, CHANNELS, *shape[2:], generator=draw)
        if model.config.variant.generator.labels:
            inputs["label"] = torch.arange(images) - 1
        yield inputs


def check_free(folder: Path, kinds: Sequence[str], reference: str, force: bool) -> None:
    """Checks that nothing in the folder would be replaced: a model, a card, a gallery, or the model file that is exported.

    Raises:
        ColourbenchError: something would.
    """
    names = [*(FORMATS[kind] for kind in kinds), CARD, GALLERY]
    there = [folder / name for name in names if (folder / name).exists()]
    if any(path.samefile(reference) for path in there if is_file(reference)):
        raise ColourbenchError(f"{reference} would replace itself; choose another --out")
    if there and not force:
        raise ColourbenchError(f"{there[0]} exists; choose another --out, or add --force")


def critic_of(model: Model) -> dict[str, Tensor]:
    """The critic's weights, from the model file, or from the run's last checkpoint.

    Raises:
        ColourbenchError: the run has no critic, or kept no checkpoint.
    """
    if model.file and (kept := read_model(model.file, "write it again").critic):
        return kept
    state = checkpoint.latest(model.run.folder)[1] if model.run else None
    variant = state["variant"] if state else {}
    if "critic" not in variant:
        raise ColourbenchError(
            f"{model.name} kept no critic: train it with --set watch.keep=all, and with a variant that has one, to export it too"
        )
    return cast(dict[str, Tensor], variant["critic"]["network"])


def _safetensors(
    model: Model, path: Path, critic: dict[str, Tensor] | None = None, half: bool = False
) -> Call:
    weights = model.colouriser.state_dict()
    if half:
        weights = {
            name: weight.half() if weight.is_floating_point() else weight
            for name, weight in weights.items()
        }
    size = model.colouriser.size
    told = {"title": model.name, **model.about}
    write_model(path, weights, published(model.config), size, model.labels, critic, **told)
    from studies.runs.model import load_file

    again = Program(load_file(path, "cpu")[0].network)
    return lambda inputs: _run(again, inputs)


def with_critic(model: Model, folder: Path, critic: dict[str, Tensor]) -> Path:
    """Writes the safetensors file again, with the critic."""
    _safetensors(model, folder / FORMATS["safetensors"], critic)
    return folder / FORMATS["safetensors"]


def _pt2(model: Model, path: Path) -> Call:
    exported = traced(model)
    with replacing(path) as file, warnings.catch_warnings():
        # torch warns about shared weights, which it stores once
        warnings.simplefilter("ignore")
        torch.export.save(exported, file)
    again = torch.export.load(path).module()
    return lambda inputs: _run(again, inputs)


def _onnx(model: Model, path: Path) -> Call:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError:
        raise ColourbenchError("ONNX needs more packages: pip install -e '.[export]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecated parts
        try:
            names: dict[str, Any] = {
                "input_names": list(next(examples(model))),
                "output_names": ["ab"],
            }
            program = torch.onnx.export(
                traced(model), dynamo=True, opset_version=OPSET, verbose=False, **names
            )
        except Exception as error:  # the converter raises types of its own for each step
            raise ColourbenchError(
                f"{model.name} cannot be written as ONNX: {first_line(error)}"
            ) from None
    proto = told_to_readers(program.model_proto, _about(model))  # type: ignore[union-attr]
    write_atomically(path, proto.SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda inputs: torch.from_numpy(
        np.asarray(session.run(["ab"], {name: x.numpy() for name, x in inputs.items()})[0])
    )


def _about(model: Model) -> dict[str, Any]:
    """What an ONNX file says of its model beside scale and axes."""
    return {
        "title": model.name,
        **model.about,
        "method": model.config.variant.name,
        "trained at": f"{model.colouriser.size} pixels",
        "labels": model.labels,
        "card": f"{CARD} beside this file",
        "settings": as_json(published(model.config)),
        "made with": "colourbench",
    }


def traced(model: Model) -> "torch.export.ExportedProgram":
    """The generator as a graph for any number of images of any size."""
    program = with_fixed_padding(Program(model.colouriser.network).float().cpu())
    told = list(examples(model))[1]
    dynamic = {name: {0: torch.export.Dim.DYNAMIC, **_sides(x)} for name, x in told.items()}
    L = told.pop("L")
    with torch.no_grad(), _plain(), _sizes_stay_open():
        exported = torch.export.export(program, (L,), told, dynamic_shapes=dynamic, strict=False)
    return cast("torch.export.ExportedProgram", without_stack_traces(_for_all_sizes(exported)))


def _sizes_stay_open() -> AbstractContextManager[Any]:
    """A context in which tracing does not treat a size of 1 as special."""
    return torch.fx.experimental._config.patch(backed_size_oblivious=True)  # type: ignore[attr-defined, no-any-return]


def _sides(x: Tensor) -> dict[int, Any]:
    return {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC} if x.dim() == 4 else {}


def _for_all_sizes(exported: "torch.export.ExportedProgram") -> "torch.export.ExportedProgram":
    """Removes the limits on sizes that tracing notes down where it looks at the layout of memory: the graph holds without them."""
    for symbol, limits in list(exported.range_constraints.items()):
        exported._range_constraints[symbol] = ValueRanges(1, limits.upper)
    exported._guards_code = []
    return exported


def _run(program: Any, inputs: dict[str, Tensor]) -> Tensor:
    L = inputs["L"]
    told = {name: value for name, value in inputs.items() if name != "L"}
    with torch.no_grad(), _plain():
        ab: Tensor = program(L, **told)
    return ab


@contextmanager
def _plain() -> Iterator[None]:
    """Turns the suite's own fast convolutions off: a file must hold torch's operators alone."""
    was_on = switch.is_on()
    switch.turn(False)
    try:
        yield
    finally:
        switch.turn(was_on)
