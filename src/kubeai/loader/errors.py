"""Why a model could not be loaded."""


class LoadError(Exception):
    """One line: what failed, where, and what to do about it."""
