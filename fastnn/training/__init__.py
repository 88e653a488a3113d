"""Training: the fit loop and the record that it keeps."""

from .history import History as History
