"""Which device computes, chosen in one place. Torch is imported when a device is asked for, not before."""

import re

from reid_data.errors import EnvironmentFault, UsageError


def choose_device(wanted: str) -> str:
    """`auto` -> `cuda` where there is one, else `cpu`; `cpu`, `cuda` and `cuda:N` as they are.

    Raises UsageError for other names, EnvironmentFault (exit code 4) for a CUDA device that is not there.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:[0-9]+)?", wanted):
        raise UsageError(f"--device '{wanted}': expected auto, cpu, cuda or cuda:N.")
    usable = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted != "cpu" and int(wanted.partition(":")[2] or 0) >= usable:
        names = ", ".join(["auto", "cpu", *(f"cuda:{number}" for number in range(usable))])
        raise EnvironmentFault(
            f"--device {wanted}: there is no such device; this machine has {usable} usable CUDA devices. Choose --device {names}."
        )
    return wanted
