"""The base of all errors.

Each class is a dataclass of its facts and writes its message in ``__str__``. Facts are passed by position, so
that an error survives pickling on its way out of a child process. ``eq=False`` keeps errors hashable.
"""


class ResizerError(Exception):
    """Base of all errors of the service."""
