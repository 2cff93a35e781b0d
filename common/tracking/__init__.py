"""The only interface to MLflow: writes runs and reads them."""

from common.tracking.run import Listener, Run
from common.tracking.server import redacted, ui_command
from common.tracking.store import Store, load_backend, model_name
from common.tracking.views import page_of

__all__ = [
    "Listener",
    "Run",
    "Store",
    "load_backend",
    "model_name",
    "page_of",
    "redacted",
    "ui_command",
]
