"""The only interface to MLflow: writes runs and reads them."""

from common.tracking.run import Listener, Run
from common.tracking.store import Store, load_backend, model_name, redacted, ui_command

__all__ = ["Listener", "Run", "Store", "load_backend", "model_name", "redacted", "ui_command"]
