"""Trainings in MLflow: mirrored while they run, sent later, moved elsewhere.

Our own record is the truth: a store that is missing, locked or broken costs the mirror and nothing
else. mlflow takes seconds to import: nothing here loads it before it is used.
"""

from .addresses import OWN, of_database, without_secrets
from .background import Background
from .mirror import NOT_INSTALLED, Mirror, sync
from .moving import export, import_
from .store import EXPERIMENT, Outcome

__all__ = [
    "EXPERIMENT", "NOT_INSTALLED", "OWN", "Background", "Mirror", "Outcome", "export", "import_",
    "of_database", "sync", "without_secrets",
]  # fmt: skip
