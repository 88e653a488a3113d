"""What cannot be captured."""


class CaptureError(RuntimeError):
    """A model, loss or optimizer cannot be captured; the message names the module and says why. Its eager code works as before."""
