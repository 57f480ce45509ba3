"""Trainings and tests that fail on order, in this process or in a cell's: a JSON file says which, and how."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reid_data import errors


class Faults:
    """`orders`: {"train A+B" or "A+B on TEST": [name of the error, its message]}, kept in a file that processes share."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def order(self, **orders: tuple[str, str]) -> None:
        """Replace all orders; underscores in a name stand for spaces."""
        self.path.write_text(json.dumps({name.replace("_", " "): order for name, order in orders.items()}))

    def _meet(self, name: str) -> None:
        found = json.loads(self.path.read_text()).get(name) if self.path.exists() else None
        if found is not None:
            raise getattr(errors, found[0])(found[1])

    def in_fit(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """`fit`, which fails where that is ordered."""

        def fit(settings: Any, datasets: Any, *rest: Any, **options: Any) -> Any:
            self._meet("train " + "+".join(dataset.name for dataset in datasets))
            return real(settings, datasets, *rest, **options)

        return fit

    def in_test(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """`test`, which fails where that is ordered."""

        def run_test(run_folder: Path, dataset: Any, **options: Any) -> Any:
            self._meet(f"{run_folder.name.partition('-')[0]} on {dataset.name}")
            return real(run_folder, dataset, **options)

        return run_test

    def program(self) -> str:
        """Python that prepares a cell's process: the tiny network, and these faults."""
        return (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
            "from pathlib import Path\n"
            "from reid_train import testing\n"
            "from reid_train.model import reid_net\n"
            "from reid_train.training import fit\n"
            "from tests.train.conftest import build_tiny_backbone\n"
            "from tests.train.matrix.faults import Faults\n"
            f"faults = Faults(Path({str(self.path)!r}))\n"
            "fit.fit, testing.test = faults.in_fit(fit.fit), faults.in_test(testing.test)\n"
            "reid_net.build_backbone = build_tiny_backbone\n"
        )
