"""The version of this project."""

from importlib import metadata


def version() -> str:
    """As it was installed; a checkout may run without that."""
    try:
        return metadata.version("tailgan")
    except metadata.PackageNotFoundError:
        return "not installed"
