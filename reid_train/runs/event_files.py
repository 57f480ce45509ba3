"""TensorBoard event files beside the log, if asked for."""

from collections.abc import Mapping
from pathlib import Path

from reid_data.errors import EnvironmentFault

EVENTS_FOLDER = "tensorboard"


class EventWriter:
    """Scalars of each epoch below `run_folder`/tensorboard. A resumed run takes back what came after its checkpoint.

    Raises EnvironmentFault if the package tensorboard is not there.
    """

    def __init__(self, run_folder: Path, epochs_done: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise EnvironmentFault(
                "--tensorboard needs the package tensorboard: pip install 'person-reid-toolkit[tensorboard]'."
            ) from error
        self._writer = SummaryWriter(str(run_folder / EVENTS_FOLDER), purge_step=epochs_done + 1)  # type: ignore[no-untyped-call]

    def add(self, epoch: int, row: Mapping[str, float]) -> None:
        """Write the facts of `epoch` = 1, 2, ..."""
        for name, value in row.items():
            self._writer.add_scalar(name, value, epoch)  # type: ignore[no-untyped-call]
        self._writer.flush()  # type: ignore[no-untyped-call]
