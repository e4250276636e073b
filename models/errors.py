"""The one exception that is meant for the person who runs a pipeline."""


class UserError(Exception):
    """A fault of the input or the configuration that its message alone explains."""

    def __init__(self, message: str, key: str | None = None):
        """Takes the message, and the key of the configuration that it is about, which is put before it."""
        super().__init__(f"`{key}`: {message}" if key else message)
        self.key = key
