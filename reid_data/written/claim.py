"""A folder that one process writes: held against others, looked at, known to have room."""

from contextlib import ExitStack
from pathlib import Path
from typing import Self

from reid_data.claims import only_writer
from reid_data.files import require_space


class Claim:
    """The folder `root` while it is written; a context manager, the base of every way of writing a folder.

    On entry the folder is locked, looked at (`look`) and, unless its result is there already, known to have `num_bytes` of
    free space; nothing in it has changed yet. On exit it is let go as it is: what an interrupted call leaves, the next one
    goes on with or replaces. Raises EnvironmentFault if another process writes there, if the disk is too full, or if the
    folder holds what is not ours.
    """

    finished = False

    def __init__(self, root: Path, num_bytes: int = 0) -> None:
        self.root = root
        self.num_bytes = num_bytes
        self._held = ExitStack()

    def look(self) -> Self:
        """See what the folder holds, without a lock and without a change; raises as the claim would."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        with ExitStack() as held:
            held.enter_context(only_writer(self.root))
            self.look()
            if not self.finished:
                require_space(self.root, self.num_bytes)
            self._held = held.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()
