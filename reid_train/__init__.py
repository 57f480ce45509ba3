"""Records in, scores out: training, features, evaluation, the matrix of data sets, and its report.

What is named here is the public face: `docs/python.md` shows it. Everything else is private and may change at any time.
Nothing is imported before it is asked for.
"""

from typing import TYPE_CHECKING

from reid_data.lazy import attach

if TYPE_CHECKING:
    from reid_train.adaptation.adapt import adapt as adapt
    from reid_train.deploy.extractor import Extractor as Extractor
    from reid_train.evaluation.compare import compare as compare
    from reid_train.evaluation.compare import read_outcome as read_outcome
    from reid_train.evaluation.metrics import RankingResult as RankingResult
    from reid_train.evaluation.protocol import evaluate as evaluate
    from reid_train.matrix.cells import Machine as Machine
    from reid_train.matrix.plan import make_plan as make_plan
    from reid_train.matrix.run import run_matrix as run_matrix
    from reid_train.report.html import write_report as write_report
    from reid_train.runs.result import RunResult as RunResult
    from reid_train.settings.adaptation import AdaptSettings as AdaptSettings
    from reid_train.settings.train import TrainSettings as TrainSettings
    from reid_train.testing import test as test
    from reid_train.trained import load_trained as load_run
    from reid_train.training.fit import fit as fit

__all__ = [
    "AdaptSettings",
    "Extractor",
    "Machine",
    "RankingResult",
    "RunResult",
    "TrainSettings",
    "adapt",
    "compare",
    "evaluate",
    "fit",
    "load_run",
    "make_plan",
    "read_outcome",
    "run_matrix",
    "test",
    "write_report",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "AdaptSettings": "reid_train.settings.adaptation:AdaptSettings",
        "Extractor": "reid_train.deploy.extractor:Extractor",
        "Machine": "reid_train.matrix.cells:Machine",
        "RankingResult": "reid_train.evaluation.metrics:RankingResult",
        "RunResult": "reid_train.runs.result:RunResult",
        "TrainSettings": "reid_train.settings.train:TrainSettings",
        "adapt": "reid_train.adaptation.adapt:adapt",
        "compare": "reid_train.evaluation.compare:compare",
        "evaluate": "reid_train.evaluation.protocol:evaluate",
        "fit": "reid_train.training.fit:fit",
        "load_run": "reid_train.trained:load_trained",
        "make_plan": "reid_train.matrix.plan:make_plan",
        "read_outcome": "reid_train.evaluation.compare:read_outcome",
        "run_matrix": "reid_train.matrix.run:run_matrix",
        "test": "reid_train.testing:test",
        "write_report": "reid_train.report.html:write_report",
    },
)
