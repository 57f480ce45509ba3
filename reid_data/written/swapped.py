"""A set that is made beside its place and put there whole, or not at all."""

import os
from pathlib import Path
from typing import Any, Self

from reid_data.datasets.card import CARD_FILE, read_document, write_card
from reid_data.errors import EnvironmentFault, InputError
from reid_data.files import TEMPORARY_PREFIX, empty_folder, failpoint, printable, remove_tree
from reid_data.records import ReidDataset
from reid_data.written.claim import Claim


class SwappedOutput(Claim):
    """A set without a manifest: it cannot be gone on with, so until it is finished an earlier one stays in its place.

    A set of the same `kind` at `root` is replaced, whatever its settings; anything else there is refused. `folder`, a hidden
    one beside `root` that is named after the `command`, is where the files go meanwhile.
    """

    def __init__(self, root: Path, command: str, kind: str, *, num_bytes: int = 0) -> None:
        root = root.resolve()  # where a link leads to is replaced, not the link
        super().__init__(root, num_bytes)
        self.kind = kind
        self.folder = root.parent / f"{TEMPORARY_PREFIX}{command}-{root.name}"

    def look(self) -> Self:
        """Raise EnvironmentFault unless there is nothing at `root`, or a set that may be replaced."""
        refuse_foreign(self.root, self.kind)
        return self

    def begin(self) -> None:
        """Make `folder`, empty; it goes when the claim does."""
        self._held.callback(remove_tree, self.folder)
        empty_folder(self.folder)

    def finish(self, made: ReidDataset, settings: dict[str, Any]) -> None:
        """Write `dataset.json`, then put `folder` in the place of an earlier set."""
        write_card(self.folder, made.card, made, settings)
        old = self.root.parent / f"{TEMPORARY_PREFIX}old-{self.root.name}"
        remove_tree(old)
        try:
            if self.root.exists():
                os.replace(self.root, old)
            failpoint()
            os.replace(self.folder, self.root)
        except OSError as error:
            raise EnvironmentFault(f"cannot put '{printable(self.root)}' in place: {error.strerror}.") from error
        failpoint()
        remove_tree(old)


def refuse_foreign(root: Path, kind: str) -> None:
    """Raise EnvironmentFault unless `root` is absent, empty, or a set whose card says `kind`."""
    if not root.exists():
        return
    try:
        if root.is_dir() and (not any(root.iterdir()) or (read_document(root) or {}).get("kind") == kind):
            return
    except InputError:
        pass
    raise EnvironmentFault(
        f"'{printable(root)}' holds something that this command did not write (no '{CARD_FILE}' of a {kind} set). "
        "Move it away, or choose another --data-root."
    )
