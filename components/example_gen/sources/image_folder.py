"""A folder of images as people have it: `root/class/*`, or `root/split/class/*`, or several of them, its spans."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from components.example_gen.images import BadImage
from components.example_gen.sources.base import RawImage, Split, chunk_count
from components.example_gen.sources.spans import Spans
from models.errors import UserError

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "eval",
    "valid": "eval",
    "validation": "eval",
    "eval": "eval",
    "test": "eval",
}
# What desktops leave behind; so do names that begin with a dot.
_DEBRIS = {"Thumbs.db", "desktop.ini", "__MACOSX"}
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".jp2")


@dataclass(frozen=True)
class _Folder:
    """A folder whose files are the images of one class, or of none, in one split if the source has splits."""

    path: str  # below the root
    label: int | None
    split: Split | None


class ImageFolder:
    """Every file in a class folder is taken for an image; one that is none is found out when it is read."""

    def __init__(
        self,
        root: str,
        group_by: str | None,
        max_pixels: int,
        unlabelled: str | None = None,
        spans: Spans | None = None,
    ):
        """Looks at the folders, not at the files in them.

        Args:
          root: the folder of the class folders, or of folders named after splits that hold them.
          group_by: regular expression searched in a file's name; what it matches names the object that is shown.
          max_pixels: no file is read that is larger than so many pixels can be.
          unlabelled: name of the one folder in `root` whose images have no class.
          spans: folders below `root` that are each laid out as it would be without them, and read together; a span
            need not have all classes.

        Raises:
          UserError: if the folders are not laid out like this.
        """
        self._root = root
        self._group_by = re.compile(group_by) if group_by is not None else None
        # 4 channels of 16 bits, and room for metadata.
        self._max_bytes = 8 * max_pixels + 2**20
        places = [span.path for span in spans.found] if spans else [""]
        self.span = spans.found[-1].number if spans else 0
        self.ignored = spans.ignored if spans else ()
        without_class = [] if unlabelled is None else [os.path.join(place, unlabelled) for place in places]
        without_class = [path for path in without_class if os.path.isdir(os.path.join(root, path))]
        if unlabelled is not None and not without_class:
            raise UserError(f"there is no folder `{unlabelled}` in {root}", key="data.unlabelled")
        split_of = _splits_of_places(root, places, unlabelled)
        if split_of and group_by is not None:
            splits_found = ", ".join(sorted({os.path.basename(path) for path in split_of}))
            raise UserError(f"{root} is split already, into {splits_found}", key="data.group_by")
        names = {parent: _class_names(root, parent, None) for parent in split_of}
        names = names or {place: _class_names(root, place, unlabelled) for place in places}
        self.classes = tuple(sorted(set().union(*names.values())))
        _check_names(self.classes, root)
        # A source with one of the splits only is split anew.
        splits = split_of if set(split_of.values()) == {"train", "eval"} else {}
        self._folders = [
            _Folder(os.path.join(parent, name), self.classes.index(name), splits.get(parent))
            for parent in sorted(names)
            for name in sorted(names[parent])
        ]
        for label, name in enumerate(self.classes):
            folders = [folder for folder in self._folders if folder.label == label]
            if not any(next(self._entries(folder), None) for folder in folders):
                path = os.path.join(root, folders[0].path)
                raise UserError(f"class folder {path} is empty; put images of `{name}` in it, or remove it")
        self._folders += [_Folder(path, None, None) for path in without_class]
        unlabelled_folders = [folder for folder in self._folders if folder.label is None]
        if without_class and not any(next(self._entries(folder), None) for folder in unlabelled_folders):
            raise UserError(f"{os.path.join(root, without_class[0])} is empty", key="data.unlabelled")
        for place in places if spans else ():
            if not any(next(self._entries(folder), None) for folder in self._folders if _is_below(folder.path, place)):
                raise UserError(f"span {os.path.join(root, place)} has no images; fill it, or remove it", "data.root")

    def fingerprint(self) -> str:
        """Of the paths, sizes and times of all files."""
        # A sum, because the order in which a file system lists its files means nothing.
        total = 0
        for folder in self._folders:
            for entry in self._entries(folder):
                try:
                    found = entry.stat()
                    text = f"{folder.path}/{entry.name}\0{found.st_size}\0{found.st_mtime_ns}"
                except OSError as error:
                    text = f"{folder.path}/{entry.name}\0{error.errno}"
                total += int.from_bytes(hashlib.blake2b(os.fsencode(text), digest_size=16).digest(), "big")
        return f"{total % 2**128:032x}"

    def chunks(self) -> list[bytes]:
        """Paths below the root, joined by NUL: some 30 bytes an image, for there may be millions."""
        count = chunk_count(sum(1 for folder in self._folders for _ in self._entries(folder)))
        buffers = [bytearray() for _ in range(count)]
        for folder in self._folders:
            for entry in self._entries(folder):
                path = os.fsencode(os.path.join(folder.path, entry.name))
                buffers[_digest(path) % count] += path + b"\0"
        return [bytes(buffer[:-1]) for buffer in buffers if buffer]

    def read(self, chunk: bytes) -> Iterator[RawImage]:
        """Reads the files of a part, in the order of the hashes of their paths."""
        folders = {os.fsencode(folder.path): folder for folder in self._folders}
        for path in sorted(chunk.split(b"\0"), key=lambda path: (_digest(path), path)):
            folder = folders[os.path.dirname(path)]
            key = os.fsdecode(path)
            yield RawImage(key, folder.label, self._data(key), folder.split, self._group(os.path.basename(key)))

    def _entries(self, folder: _Folder) -> Iterator[os.DirEntry]:
        """Streams the files of a class folder, in no order."""
        path = os.path.join(self._root, folder.path)
        for entry in _visible(path):
            if _is_dir(entry):
                raise UserError(f"{entry.path} is a folder inside a class folder; images lie directly in {path}")
            yield entry

    def _data(self, key: str) -> bytes | BadImage:
        path = os.path.join(self._root, key)
        try:
            found = os.stat(path)
            if not stat.S_ISREG(found.st_mode):
                return BadImage("not a regular file")
            if found.st_size > self._max_bytes:
                return BadImage(f"{found.st_size} bytes are more than max_pixels allows")
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            return BadImage(error.strerror or str(error))

    def _group(self, name: str) -> str | None:
        found = self._group_by.search(name) if self._group_by else None
        return found[1 if found.re.groups else 0] if found else None


def _splits_of_places(root: str, places: list[str], unlabelled: str | None) -> dict[str, Split]:
    """{folder: split} if all folders in the places, but for the one named, are named after splits; else nothing."""
    found: dict[str, Split] = {}
    unsplit = []
    for place in places:
        names = _class_names(root, place, unlabelled)
        if all(name.casefold() in SPLIT_NAMES for name in names):
            found |= {os.path.join(place, name): SPLIT_NAMES[name.casefold()] for name in names}
        else:
            unsplit.append(place)
    if found and unsplit:
        raise UserError(
            f"{os.path.join(root, os.path.dirname(next(iter(found))))} is split already, and "
            f"{os.path.join(root, unsplit[0])} is not",
            key="data.root",
        )
    return found


def _is_below(path: str, place: str) -> bool:
    return path.startswith(place + os.sep)


def _class_names(root: str, parent: str, unlabelled: str | None) -> list[str]:
    """Names of the folders in the root itself (`parent` is empty), or in a folder of it, but for the one named."""
    path = os.path.join(root, parent) if parent else root
    names = [name for name in _folder_names(path) if name != unlabelled]
    if not names:
        raise UserError(f"there is no class folder in {path}; images lie in CLASS/, a folder a class", key="data.root")
    return names


def _folder_names(path: str) -> list[str]:
    """Names of the folders in one, which must not hold images itself."""
    folders, loose = [], []
    for entry in _visible(path):
        if _is_dir(entry):
            folders.append(entry.name)
        elif entry.name.lower().endswith(_IMAGE_SUFFIXES):
            loose.append(entry.name)
    if loose:
        shown = ", ".join(sorted(loose)[:3]) + (f" and {len(loose) - 3} more" if len(loose) > 3 else "")
        raise UserError(f"images lie directly in {path}: {shown}; each belongs in the folder of its class")
    return folders


def _check_names(classes: tuple[str, ...], root: str) -> None:
    """Refuses names that could be taken for one another, or not be written down."""
    seen: dict[str, str] = {}
    for name in classes:
        if not name.isprintable():
            raise UserError(f"class folder {name!r} in {root}: a name of a class is made of printable characters")
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise UserError(f"classes `{other}` and `{name}` in {root} differ in nothing but upper and lower case")


def _visible(path: str) -> Iterator[os.DirEntry]:
    try:
        with os.scandir(path) as entries:
            yield from (e for e in entries if not e.name.startswith(".") and e.name not in _DEBRIS)
    except OSError as error:
        raise UserError(f"{path} cannot be listed: {error.strerror}", key="data.root") from error


def _is_dir(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link that leads nowhere; reading it will say so.
        return False


def _digest(path: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(path, digest_size=8).digest(), "big")
