"""Networks in ONNX files, run by onnxruntime: the one place that opens sessions and picks what computes."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reid_data.errors import EnvironmentFault, InputError, UsageError, printable

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_QUIET = 3


class OnnxNetwork:
    """A network with one input and one output, open on a device; threads may share it.

    `metadata` are the texts that its file carries; `device` is `cpu` or `cuda`; `input_type` onnxruntime's name of the input's
    type, such as `tensor(uint8)`; `input_shape` and `output_shape` hold numbers, and texts for sizes that are free.
    """

    def __init__(self, path: Path, session: Any) -> None:
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise InputError(
                f"'{printable(path)}' has {len(inputs)} inputs and {len(outputs)} outputs; expected a network with one of each."
            )
        self._session, self._input = session, inputs[0].name
        self.input_type: str = inputs[0].type
        self.input_shape, self.output_shape = list(inputs[0].shape), list(outputs[0].shape)
        self.metadata: dict[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        self.device = "cuda" if CUDA in session.get_providers() else "cpu"

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """The output of an input of the right type and shape."""
        found: np.ndarray = self._session.run(None, {self._input: batch})[0]
        return found


def open_network(path: Path, device: str = "auto") -> OnnxNetwork:
    """Open an ONNX file on `auto` (CUDA where onnxruntime has it), `cpu`, `cuda` or `cuda:N`.

    On a CPU with OMP_NUM_THREADS as many threads, else one for each processor. Raises EnvironmentFault without onnxruntime or the
    device, InputError for a file that is none, UsageError for another word.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise EnvironmentFault(
            f"'{printable(path)}' needs the package onnxruntime: pip install 'person-reid-toolkit[onnx]'."
        ) from error
    providers = choose_providers(device, onnxruntime.get_available_providers())
    if not path.is_file():
        raise InputError(f"there is no file '{printable(path)}'.")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    if os.environ.get("OMP_NUM_THREADS", "").isdecimal():
        options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    try:
        session = onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # onnxruntime raises many kinds on damaged files
        raise InputError(
            f"'{printable(path)}' cannot be opened as an ONNX network: {printable(str(error))[:300]}."
        ) from error
    if device.startswith("cuda") and CUDA not in session.get_providers():
        raise EnvironmentFault(
            f"--device {device}: onnxruntime could not start CUDA (its libraries are missing, or of another version). Use "
            "--device cpu."
        )
    return OnnxNetwork(path, session)


def choose_providers(device: str, available: Sequence[str]) -> list[Any]:
    """onnxruntime's execution providers for a device, the first that works being taken."""
    found = re.fullmatch(r"auto|cpu|cuda(?::([0-9]+))?", device)
    if found is None:
        raise UsageError(f"--device '{device}': expected auto, cpu, cuda or cuda:N.")
    if device == "cpu" or (device == "auto" and CUDA not in available):
        return [CPU]
    if CUDA not in available:
        raise EnvironmentFault(
            f"--device {device}: this onnxruntime computes with {', '.join(available)} only; for CUDA install onnxruntime-gpu in "
            "its place."
        )
    return [(CUDA, {"device_id": int(found[1] or 0)}), CPU]
