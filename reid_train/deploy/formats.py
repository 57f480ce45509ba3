"""The forms of an exported file: how each is written, and read back as a function of its network's input."""

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reid_data.errors import EnvironmentFault
from reid_data.onnx_networks import open_network
from reid_train.deploy.facts import to_text
from reid_train.deploy.whole import WholeNet
from reid_train.runs.checkpoint import METADATA_KEY, model_bytes
from reid_train.trained import TrainedModel, load_on, unit_embedding
from reid_train.training.parts import make_net

FACTS_FILE = f"{METADATA_KEY}.json"
"""Where the facts lie in the archive of a TorchScript or torch.export file."""
Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Format:
    """`make`: the bytes of a file of a model, as the whole network and by its parts, with its facts; `read` a file back to run it.

    `program`: whether the file is one, which takes the input that the network takes; else it holds the tensors alone.
    """

    suffix: str
    make: Callable[[TrainedModel, WholeNet, dict[str, Any]], bytes]
    read: Callable[[Path], Run]
    program: bool = True


def _onnx_bytes(model: TrainedModel, net: WholeNet, facts: dict[str, Any]) -> bytes:
    try:
        import onnx  # noqa: F401  (what torch needs to write the file)
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise EnvironmentFault(
            f"--format onnx needs the package {error.name}: pip install 'person-reid-toolkit[onnx]'."
        ) from error
    with _quiet():
        program = torch.onnx.export(_traced(model, net), dynamo=True, verbose=False)
    assert program is not None
    proto = program.model_proto
    graph = proto.graph
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    for held in (proto, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del held.metadata_props[:]  # where in whose folders each node came from
        held.doc_string = ""
    proto.metadata_props.add(key=METADATA_KEY, value=to_text(facts))
    return bytes(proto.SerializeToString(deterministic=True))


def _pt2_bytes(model: TrainedModel, net: WholeNet, facts: dict[str, Any]) -> bytes:
    program, buffer = _traced(model, net), io.BytesIO()
    graphs = [part.graph for part in program.graph_module.modules() if isinstance(part, torch.fx.GraphModule)]
    for node in (node for graph in graphs for node in graph.nodes):
        node.meta.pop("stack_trace", None)  # it tells where in whose folders the code lies
    with _quiet():
        torch.export.save(program, buffer, extra_files={FACTS_FILE: to_text(facts)})
    return buffer.getvalue()


def _traced(model: TrainedModel, net: WholeNet) -> torch.export.ExportedProgram:
    """The network's graph for any number of images."""
    with torch.no_grad(), _quiet():
        example = net.example(model.settings.height_width)
        return torch.export.export(net, (example,), dynamic_shapes=({0: torch.export.Dim("N")},))


def _torchscript_bytes(model: TrainedModel, net: WholeNet, facts: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with torch.no_grad(), _quiet():
        script = torch.jit.trace(net, net.example(model.settings.height_width))
        torch.jit.save(script, buffer, _extra_files={FACTS_FILE: to_text(facts)})
    return buffer.getvalue()


def _safetensors_bytes(model: TrainedModel, net: WholeNet, facts: dict[str, Any]) -> bytes:
    own, nobody = model.net.state_dict(), make_net(model.settings, 0).state_dict()
    tensors = {name: own[name] if own[name].shape == tensor.shape else tensor for name, tensor in nobody.items()}
    halved = {
        name: tensor.half()
        for name, tensor in tensors.items()
        if net.half_backbone and name.startswith("backbone.") and tensor.is_floating_point()
    }
    return model_bytes(tensors | halved, facts)


def _read_onnx(path: Path) -> Run:
    return open_network(path, "cpu")


def _read_torchscript(path: Path) -> Run:
    with _quiet():
        return _run(torch.jit.load(path, map_location="cpu"))


def _read_pt2(path: Path) -> Run:
    return _run(torch.export.load(io.BytesIO(path.read_bytes())).module())


def _run(module: Any) -> Run:
    @torch.inference_mode()
    def run(batch: np.ndarray) -> np.ndarray:
        found: np.ndarray = module(torch.from_numpy(batch)).numpy()
        return found

    return run


def _read_safetensors(path: Path) -> Run:
    return unit_embedding(load_on(path, torch.device("cpu")))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's notes to programmers about its own future."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels):
            one.setLevel(level)


FORMATS = {
    "onnx": Format(".onnx", _onnx_bytes, _read_onnx),
    "torchscript": Format(".torchscript", _torchscript_bytes, _read_torchscript),
    "pt2": Format(".pt2", _pt2_bytes, _read_pt2),
    "safetensors": Format(".safetensors", _safetensors_bytes, _read_safetensors, program=False),
}
