"""The one exception that is meant for the person who runs a pipeline."""


class UserError(Exception):
    """A fault of the input or the configuration that its message alone explains."""
