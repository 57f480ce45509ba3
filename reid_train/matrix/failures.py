"""What failed in a grid, remembered so that the same command does not try it again and again: `failures.json`."""

import json
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path

from reid_data.errors import EnvironmentFault, InputError, ReidError
from reid_data.files import printable, write_json

FAILURES_FILE = "failures.json"


@dataclass(frozen=True)
class Failure:
    """Why a training or test did not end: one line, the tail of its log.

    `again`: it was killed, or stopped by its environment (space, a lock), so that the same command tries it again.
    """

    reason: str
    log_tail: tuple[str, ...] = ()
    again: bool = False


def failure_of(error: ReidError) -> Failure:
    """An error as a failure: the first line of its message; a fault of the environment is tried again."""
    return Failure(str(error).partition("\n")[0], again=isinstance(error, EnvironmentFault))


@dataclass
class Failures:
    """Failures by the key of the training or of the test, kept in a file that is there only while it has entries."""

    path: Path
    found: dict[str, Failure] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, key: str, failure: Failure) -> None:
        """Remember a failure."""
        with self.lock:
            self.found[key] = failure
            self._write()

    def forget(self, keys: list[str]) -> None:
        """Forget the failures with these keys."""
        with self.lock:
            if self.found.keys() & set(keys):
                self.found = {key: failure for key, failure in self.found.items() if key not in keys}
                self._write()

    def lasting(self, key: str) -> bool:
        """Whether this failed of itself, and will again."""
        return key in self.found and not self.found[key].again

    def _write(self) -> None:
        if self.found:
            write_json(self.path, {key: asdict(failure) for key, failure in self.found.items()})
        else:
            self.path.unlink(missing_ok=True)


def read_failures(folder: Path) -> Failures:
    """The failures that a grid's folder remembers. Raises InputError for a damaged file."""
    path = folder / FAILURES_FILE
    try:
        table = json.loads(path.read_bytes())
        found = {
            key: Failure(entry["reason"], tuple(entry["log_tail"]), entry["again"]) for key, entry in table.items()
        }
    except FileNotFoundError:
        return Failures(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"'{printable(path)}' cannot be read: {error}. Remove it: failed cells are tried again."
        ) from error
    return Failures(path, found)
