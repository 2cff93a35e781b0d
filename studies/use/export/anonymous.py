"""Takes out of an exported graph what belongs to the machine that traced it, and puts in what a reader needs."""

import json
from collections.abc import Mapping
from typing import Any

from common.colour.lab import AB_RANGE, L_CENTRE

AXES = {0: "batch", 2: "height", 3: "width"}
# of a node: where in this machine's files it was traced
PLACES = ("stack_trace", "source_fn_stack", "nn_module_stack", "from_node", "custom")


def without_stack_traces(exported: Any) -> Any:
    """A torch program whose nodes do not say from which file and line they come."""
    for module in exported.graph_module.modules():
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            for name in PLACES:
                node.meta.pop(name, None)
    return exported


def told_to_readers(proto: Any, about: Mapping[str, Any]) -> Any:
    """An ONNX model without stack traces and places, with named axes and with what a reader must know as metadata.

    Args:
        about: what the metadata say beside scale and axes.
    """
    graph = proto.graph
    for part in (proto, graph, *proto.functions, *graph.node, *graph.initializer):
        _forget(part)
    # sizes of the maps in between: nobody needs them, and their names are the tracer's
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        _forget(value)
        _name_axes(value)
    facts = {
        "input L": f"CIE L* / {L_CENTRE:g} - 1, in [-1, 1]; (batch, 1, height, width), any size",
        "output ab": f"CIE a* and b* / {AB_RANGE:g}; (batch, 2, height, width)",
        **about,
    }
    for name, fact in facts.items():
        entry = proto.metadata_props.add()
        entry.key = name
        entry.value = fact if isinstance(fact, str) else json.dumps(fact, ensure_ascii=False)
    return proto


def _forget(part: Any) -> None:
    del part.metadata_props[:]
    part.doc_string = ""


def _name_axes(value: Any) -> None:
    dimensions = value.type.tensor_type.shape.dim
    for place, dimension in enumerate(dimensions):
        if dimension.dim_param:
            dimension.dim_param = AXES[place]
