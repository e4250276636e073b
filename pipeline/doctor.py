"""What `tailgan doctor` looks at: whether a pipeline can run on this machine and installation, and if not, what to do.

Only the standard library is imported here, and `packaging` where it is there: the installation may be broken, and
what a native library does to its process must not end this one.
"""

import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal

State = Literal["ok", "hint", "bad"]

PYTHONS = ((3, 11), (3, 13))  # first and last that are supported
HOME = Path(__file__).resolve().parent.parent
LOCK = HOME / "requirements.txt"
INSTALL = "`make install` in the project's folder installs what was tested"
# Builds of a package under another name: TensorFlow's for CPUs alone is what the image of kubeflow/Dockerfile has.
STAND_INS = {"tensorflow": "tensorflow-cpu"}
GB = 1e9
DISK_NEED = 2 * GB  # Fashion-MNIST takes less than 0.1 a run; photographs and many runs take more
DISK_LEAST = 0.5 * GB
MEMORY_NEED = 4 * GB
MEMORY_LEAST = 2 * GB  # a run on the digits takes 1.1
IMPORT_SECONDS = 300  # from a cold disk they take a minute
WIDTH = 100

# Each step is named before it is taken, so that the last name is what a crash happened in.
_PROBE = """
import json, sys
def step(name): print(json.dumps({"step": name}), flush=True)
step("import tensorflow")
import tensorflow as tf
step("a product of two matrices in TensorFlow")
assert float(tf.reduce_sum(tf.ones((8, 8)) @ tf.ones((8, 8)))) == 512
gpus = [device.name for device in tf.config.list_physical_devices("GPU")]
print(json.dumps({"gpus": gpus}), flush=True)
for name in sys.argv[1:]:
    step("import " + name)
    __import__(name)
step("")
"""
_PROBED = ("keras", "tf_keras", "ml_metadata", "apache_beam", "tfx.v1", "tensorflow_probability",
           "tensorflow_datasets", "models.tfgan")  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
      name: of the check.
      state: `ok`; `hint`, works without; `bad`, a run would fail.
      found: what is there.
      do: what to do about it; "" where there is nothing to do.
    """

    name: str
    state: State
    found: str
    do: str = ""


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """The interpreter's version."""
    (first, last), found = PYTHONS, ".".join(map(str, version))
    if first <= version[:2] <= last:
        return Finding("python", "ok", found)
    allowed = " to ".join(".".join(map(str, each)) for each in PYTHONS)
    return Finding("python", "bad", found, f"install one of {allowed}; {INSTALL}, with the first of them it finds")


def packages(lock: Path = LOCK) -> Finding:
    """Installed versions, against those that were tested and those that the project asks for."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return Finding("packages", "bad", "`packaging` is not installed", INSTALL)
    wrong = list(_differences(map(Requirement, _required())))
    if not lock.is_file():
        if wrong:
            return Finding("packages", "bad", "; ".join(wrong), INSTALL)
        return Finding("packages", "hint", f"no {lock.name} beside the project to compare with", INSTALL)
    lines = (line.partition("#")[0].strip() for line in lock.read_text(encoding="utf-8").splitlines())
    locked = [Requirement(line) for line in lines if line]
    untested = [line for line in _differences(locked) if line.split()[0] not in {each.split()[0] for each in wrong}]
    if wrong or untested:
        return Finding("packages", "bad" if wrong else "hint", "; ".join(wrong + untested), INSTALL)
    count = sum(requirement.marker is None or requirement.marker.evaluate() for requirement in locked)
    return Finding("packages", "ok", f"{count} packages as tested")


def _required() -> list[str]:
    """What this project's metadata asks for; nothing where it is not installed."""
    try:
        return metadata.requires("tailgan") or []
    except metadata.PackageNotFoundError:
        return []


def _differences(requirements: Iterable) -> Iterable[str]:
    """One phrase for each requirement of this platform that is not met."""
    for requirement in requirements:
        if requirement.marker and not requirement.marker.evaluate():
            continue
        version = _version(requirement.name)
        if version is None:
            yield f"{requirement.name} is missing, {requirement.specifier or 'any version'} wanted"
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name} is {version}, {requirement.specifier} wanted"


def _version(name: str) -> str | None:
    """Version of a package, or of one that stands in for it; None where neither is installed."""
    for each in (name, STAND_INS.get(name, name)):
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(each)
    return None


@dataclass(frozen=True)
class Probe:
    """How importing the stack in a process of its own went: seconds, the step that failed and why, and the GPUs."""

    seconds: float
    failed: str = ""
    why: str = ""
    gpus: tuple[str, ...] | None = None


@cache
def probe(interpreter: str = sys.executable, seconds: float = IMPORT_SECONDS) -> Probe:
    """Imports the stack and computes with it, in a process that may crash or hang."""
    start = time.monotonic()
    command = [interpreter, "-c", _PROBE, *_PROBED]
    path = os.pathsep.join(filter(None, (str(HOME), os.environ.get("PYTHONPATH"))))
    environment = {"TF_USE_LEGACY_KERAS": "0", "TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "PYTHONPATH": path}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment)
        out, code, error = done.stdout, done.returncode, done.stderr
    except subprocess.TimeoutExpired as late:
        out, code, error = (late.stdout or b"").decode(), None, f"took more than {seconds:g} s"
    except OSError as broken:
        return Probe(0.0, f"starting {interpreter}", broken.strerror or str(broken))
    took = time.monotonic() - start
    said = [json.loads(line) for line in out.splitlines() if line.startswith(('{"step"', '{"gpus"'))]
    gpus = next((tuple(line["gpus"]) for line in said if "gpus" in line), None)
    last = next((line["step"] for line in reversed(said) if "step" in line), "starting Python")
    if code == 0 and not last:
        return Probe(took, gpus=gpus)
    if code is not None and code < 0:
        why = f"ended by {signal.Signals(-code).name} ({signal.strsignal(-code)})"
    else:
        why = (error.strip().splitlines() or [f"exit code {code}"])[-1]
    return Probe(took, last or "the end of the process", why, gpus)


def imports(interpreter: str = sys.executable, seconds: float = IMPORT_SECONDS) -> Finding:
    """Whether TensorFlow computes and the rest of the stack imports."""
    result = probe(interpreter, seconds)
    if not result.failed:
        return Finding("imports", "ok", f"TensorFlow computes, TFX and the rest import ({result.seconds:.0f} s)")
    if "SIGILL" in result.why:
        do = "this CPU, or this virtual one, lacks instructions such as AVX that TensorFlow is built with; use another"
    elif "GLIBC" in result.why:
        do = "the C library is older than this build asks for; packages for Python 3.11 ask for the oldest"
    elif "SIGKILL" in result.why:
        do = "most often out of memory: free some, or raise the limit of the container"
    elif "took more than" in result.why:
        do = "a cold or networked disk may be that slow: try again; otherwise " + INSTALL
    else:
        do = f"{INSTALL}; `{Path(interpreter).name} -c '{_statement(result.failed)}'` shows all of it"
    return Finding("imports", "bad", f"{result.failed}: {result.why}", do)


def _statement(step: str) -> str:
    return step if step.startswith("import ") else "import tensorflow"


def gpu(interpreter: str = sys.executable, seconds: float = IMPORT_SECONDS) -> Finding:
    """What TensorFlow sees; none is fine."""
    gpus = probe(interpreter, seconds).gpus
    if gpus is None:
        return Finding("gpu", "hint", "not known, because TensorFlow does not work", "see `imports`")
    return Finding("gpu", "ok", ", ".join(gpus) or "none; training runs on the CPU")


def disk(root: Path, need: float = DISK_NEED, least: float = DISK_LEAST) -> Finding:
    """Free space where the root lies, or would."""
    place = _existing(root)
    free = shutil.disk_usage(place).free
    found = f"{free / GB:.1f} GB free in {place}"
    if free >= need:
        return Finding("disk", "ok", found)
    do = f"{need / GB:g} GB are enough for the shipped configurations; `tailgan clean` frees what old runs left"
    return Finding("disk", "bad" if free < least else "hint", found, do)


def _existing(path: Path) -> Path:
    """The path itself, or its nearest parent that is there."""
    path = path.absolute()
    return next(each for each in (path, *path.parents) if os.path.exists(each))  # where nothing may be read, too


def memory(
    meminfo: Path = Path("/proc/meminfo"),
    cgroup: Path = Path("/proc/self/cgroup"),
    mount: Path = Path("/sys/fs/cgroup"),
) -> Finding:
    """Memory of the machine, or of the container where that has less."""
    if not meminfo.is_file():
        return Finding("memory", "hint", f"not known: no {meminfo}", f"see that {MEMORY_NEED / GB:g} GB are free")
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in meminfo.read_text(encoding="utf-8").splitlines()}
    total, available = kilobytes["MemTotal"] * 1024, kilobytes["MemAvailable"] * 1024
    limited = ""
    for limit, used in _cgroup_limits(cgroup, mount):
        if limit < total:
            total, limited = limit, " (limit of the control group)"
        available = min(available, max(0, limit - used))
    found = f"{available / GB:.1f} GB available of {total / GB:.1f}{limited}"
    if available >= MEMORY_NEED:
        return Finding("memory", "ok", found)
    do = f"a run wants {MEMORY_NEED / GB:g} GB: end other programs, or raise the limit of the container"
    return Finding("memory", "bad" if available < MEMORY_LEAST else "hint", found, do)


def _cgroup_limits(cgroup: Path, mount: Path) -> Iterable[tuple[int, int]]:
    """(limit, used without what the kernel can drop) of this process's control groups, versions 1 and 2."""
    for line in cgroup.read_text(encoding="utf-8").splitlines() if cgroup.is_file() else ():
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            top, names, cached = mount, ("memory.max", "memory.current"), "inactive_file"
        elif "memory" in controllers.split(","):
            names, cached = ("memory.limit_in_bytes", "memory.usage_in_bytes"), "total_inactive_file"
            top = mount / "memory"
        else:
            continue
        here = top / group.lstrip("/")
        for directory in (here, *here.parents):  # a limit of any of them holds; in a container only the mount is there
            if directory.is_relative_to(top) and all((directory / name).is_file() for name in names):
                limit, used = ((directory / name).read_text(encoding="utf-8").strip() for name in names)
                if limit != "max":
                    yield int(limit), int(used) - _statistic(directory / "memory.stat", cached)


def _statistic(path: Path, key: str) -> int:
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines()) if path.is_file() else ()
    return next((int(line[1]) for line in lines if line[0] == key), 0)


def cores() -> Finding:
    """Processors that this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Finding("cores", "ok", f"{allowed} of {os.cpu_count()}")


def writable(root: Path) -> Finding:
    """Whether a file can be written, flushed to the disk and locked in the root, or where it would be made."""
    place = _existing(root)
    doing = "write"
    try:
        with tempfile.NamedTemporaryFile("w", dir=place, prefix=".doctor-") as file:
            file.write("x")
            file.flush()
            os.fsync(file.fileno())
            doing = "lock"
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        do = "mount the file system with locks, or name another root" if doing == "lock" else "name another root"
        return Finding("root", "bad", f"cannot {doing} a file in {place}: {error.strerror}", f"{do} with --root")
    return Finding("root", "ok", f"{place} can be written and locked")


def store(root: Path) -> Finding:
    """Whether the metadata store of the root, where there is one, is whole."""
    path = root / "metadata.db"
    if not os.path.isfile(path) or os.path.getsize(path) == 0:
        return Finding("store", "ok", f"none yet in {root}")
    do = "put back a copy, or move it away: every node then runs anew, and what serves stays"
    try:
        # May write, because what a killed process left half written must be rolled back to be read.
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=1)
        try:
            answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        finally:
            connection.close()
    except sqlite3.Error as error:
        if "locked" in str(error):
            return Finding("store", "hint", f"{path}: in use by another process", "ask again when its run has ended")
        if "unable to open" in str(error):
            return Finding("store", "bad", f"{path}: {error}", "see that you may read and write it and its folder")
        if error.sqlite_errorcode not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return Finding("store", "bad", f"{path}: cannot be read: {error}", "see to the disk, and try again")
        answer = str(error)
    if answer != "ok":
        return Finding("store", "bad", f"{path}: the metadata store is damaged ({' '.join(answer.split())})", do)
    if "MLMDEnv" not in tables:
        return Finding("store", "bad", f"{path}: not a store of ML Metadata", do)
    return Finding("store", "ok", f"{path} is whole")


def browser(search: str | None = None) -> Finding:
    """Chromium, with which the tests open the report."""
    return _program("browser", ("chromium",), "chromium", search)


def database(search: str | None = None) -> Finding:
    """MariaDB, with which tests run a metadata store on a server."""
    return _program("database", ("mariadbd", "mysqld"), "mariadb-server", search)


def _program(name: str, programs: Sequence[str], package: str, search: str | None) -> Finding:
    found = next((path for path in (shutil.which(program, path=search) for program in programs) if path), None)
    if found:
        return Finding(name, "ok", found)
    return Finding(name, "hint", f"no {programs[0]}; only tests want it", f"`apt-get install {package}` installs it")


def checks(root: Path) -> list[tuple[str, Callable[[], Finding]]]:
    """All checks by name, the quick ones first."""
    return [
        ("python", python),
        ("packages", packages),
        ("cores", cores),
        ("memory", memory),
        ("disk", lambda: disk(root)),
        ("root", lambda: writable(root)),
        ("store", lambda: store(root)),
        ("browser", browser),
        ("database", database),
        ("imports", imports),
        ("gpu", gpu),
    ]


def examine(checks: Iterable[tuple[str, Callable[[], Finding]]]) -> Iterable[Finding]:
    """Runs the checks one by one; one that fails itself is a finding, and the others go on."""
    for name, check in checks:
        try:
            yield check()
        except Exception as error:
            yield Finding(name, "bad", f"could not be checked: {type(error).__name__}: {error}", "mend what it names")


def text(finding: Finding) -> str:
    """A finding in lines of at most 100 columns."""
    lines = textwrap.wrap(
        finding.found, WIDTH, initial_indent=f"{finding.state:<5} {finding.name:<9} ", subsequent_indent=" " * 16
    )
    if finding.do and finding.state != "ok":
        lines += textwrap.wrap(finding.do, WIDTH, initial_indent=" " * 16 + "-> ", subsequent_indent=" " * 19)
    return "\n".join(lines)


def as_json(findings: Iterable[Finding]) -> str:
    """A list of {name, state, found, do}."""
    return json.dumps([asdict(finding) for finding in findings], indent=2)
