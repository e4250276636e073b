"""Where images come from: one module a source, one interface (base.py)."""

from components.example_gen.options import DataOptions
from components.example_gen.sources.base import Chunk, RawImage, Source, Split
from models.errors import UserError

__all__ = ["Chunk", "RawImage", "Source", "Split", "open_source"]


def open_source(options: DataOptions) -> Source:
    """The source that the configuration names.

    Raises:
      UserError: if it is not there, or not laid out as it should be.
    """
    if options.group_by is not None and options.source != "image_folder":
        raise UserError(f"source `{options.source}` has no file names to search in", key="data.group_by")
    source = _SOURCES[options.source](options)
    if len(source.classes) < 2:
        raise UserError(f"there is one class only, `{source.classes[0]}`; two or more are needed")
    return source


def _digits(options: DataOptions) -> Source:
    from components.example_gen.sources.digits import Digits

    return Digits()


def _tfds(options: DataOptions) -> Source:
    from components.example_gen.sources.tfds import Tfds

    assert options.dataset is not None
    return Tfds(options.dataset, options.data_dir)


def _image_folder(options: DataOptions) -> Source:
    from components.example_gen.sources.image_folder import ImageFolder

    assert options.root is not None
    return ImageFolder(options.root, options.group_by, options.max_pixels)


# Imported when asked for: TensorFlow Datasets takes seconds.
_SOURCES = {"digits": _digits, "tfds": _tfds, "image_folder": _image_folder}
