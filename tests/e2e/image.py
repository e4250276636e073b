"""Builds an image from its Dockerfile where there is no Docker, and runs programs in it.

A stage is a folder that becomes the root of its processes. The base image is this machine's `/usr`, read-only, with
Python where Docker's images of Python have it; all else a stage must bring itself. It is strict: an instruction or a
flag that is not known here is a fault. Needs root, and mount namespaces.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

PYTHON = f"python:{sys.version_info[0]}.{sys.version_info[1]}"
SHELL = ["/bin/sh", "-c"]
PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
# How this machine comes by packages; a daemon has as much from its own settings.
NETWORK = re.compile(r"(https?|no|all)_proxy|(UV|PIP)_(DEFAULT_)?INDEX(_URL)?|SSL_CERT_(FILE|DIR)", re.IGNORECASE)


class BuildFailed(Exception):
    """An instruction did not work; with what it printed."""


@dataclass(frozen=True)
class Instruction:
    """A line of a Dockerfile: `name`, its flags `--flag=value`, and the rest as it is written."""

    name: str
    flags: list[str]
    text: str


def parse(dockerfile: str) -> list[Instruction]:
    """Instructions of a Dockerfile, lines that go on put together."""
    lines = [line for line in dockerfile.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, text = line.strip().split(maxsplit=1)
        assert name.isupper(), line
        flags = []
        while match := re.match(r"(--\w+=\S+)\s+", text):
            flags.append(match[1])
            text = text[match.end() :]
        found.append(Instruction(name, flags, text))
    return found


def sent(path: str, dockerignore: str) -> bool:
    """Whether a file of the folder is sent to the daemon: the last pattern that it, or a folder above it, fits."""
    parts = path.split("/")
    above = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
    is_sent = True
    for line in dockerignore.splitlines():
        pattern = line.strip().removeprefix("!")
        if pattern and not pattern.startswith("#"):
            regex = re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
            if any(re.fullmatch(regex, each) for each in above):
                is_sent = line.startswith("!")
    return is_sent


def can_build() -> bool:
    """Whether this process may mount what it needs."""
    allowed = ["unshare", "--mount", "mount", "-o", "bind,ro", "/usr", "/usr"]
    return bool(shutil.which("unshare")) and subprocess.run(allowed, capture_output=True).returncode == 0


@dataclass
class Stage:
    """A stage of a build, and what it is for those after it."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    arguments: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    shell: list[str] = field(default_factory=lambda: [*SHELL])
    folder: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("usr", "dev", "proc", "root", "opt", "tmp"):
            (self.root / name).mkdir(parents=True)
        self.root.chmod(0o755)
        (self.root / "tmp").chmod(0o1777)
        for name in ("bin", "lib", "lib64", "sbin"):
            (self.root / name).symlink_to(f"usr/{name}")
        shutil.copytree("/etc", self.root / "etc", symlinks=True)
        for name in ("passwd", "group"):  # of which a base image has those of the system
            path = self.root / "etc" / name
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join(line for line in lines if not 1000 <= int(line.split(":")[2]) < 65534))
        self.run(["ldconfig"], user="0:0")  # as there, so that Python's own library is found

    def expand(self, text: str) -> str:
        """What an instruction means where a variable stands in it; one that is not known is empty."""
        known = {**self.arguments, **self.environment}
        return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda match: known.get(match[1] or match[2], ""), text)

    def argv(self, command: list[str], user: str = "", volumes: dict[str, Path] | None = None, **env: str) -> list[str]:
        """What runs a command in the image: as its user if no other is named, and with volumes {place: folder}."""
        mounts = {"/usr": Path("/usr"), **({"/usr/local": Path(sys.base_prefix)} if sys.base_prefix != "/usr" else {})}
        script = [f"mount -o bind,ro {shlex.quote(str(path))} {self.root}{place}" for place, path in mounts.items()]
        script += [f"mount --rbind /dev {self.root}/dev", f"mount -t proc proc {self.root}/proc"]
        for place, path in (volumes or {}).items():
            inside = shlex.quote(f"{self.root}{place}")
            script.append(f"mkdir -p {inside} && mount --rbind {shlex.quote(str(path))} {inside}")
        variables = [f"{key}={value}" for key, value in {**self.environment, **env}.items()]
        inside = f"cd {shlex.quote(self.folder)} && exec {shlex.join(['env', '-i', *variables, *command])}"
        user, _, group = (user or self.user).partition(":")
        script.append(f"exec chroot --groups= --userspec={user}:{group} {self.root} /bin/sh -c {shlex.quote(inside)}")
        return ["unshare", "--mount", "/bin/sh", "-ec", "\n".join(script)]

    def run(self, command: list[str], **how: str | dict[str, Path]) -> subprocess.CompletedProcess:
        """Runs a command in the image, to its end."""
        return subprocess.run(self.argv(command, **how), capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def size(self) -> int:
        """Bytes on the disk of what is in the image beside its base, and `/etc`, which the base has."""
        return sum(
            path.lstat().st_blocks * 512
            for part in self.root.iterdir() if part.name != "etc"
            for path in (part, *part.rglob("*"))
        )  # fmt: skip


class Builder:
    """Builds what a Dockerfile says, in a folder, out of a context that has been made ready."""

    def __init__(self, context: Path, folder: Path, cache: Path, **arguments: str):
        """Takes the cache that `--mount=type=cache` stands for, and the arguments of the build."""
        self._context, self._folder, self._cache, self._given = context, folder, cache, arguments
        self._stages: dict[str, Stage] = {}
        self._stage: Stage

    def build(self, dockerfile: str) -> Stage:
        """The last stage.

        Raises:
          BuildFailed: if an instruction fails.
        """
        for instruction in parse(dockerfile):
            getattr(self, f"_{instruction.name.lower()}")(instruction)
        return self._stage

    def _from(self, it: Instruction) -> None:
        assert not it.flags
        base, _, name = it.text.partition(" AS ")
        assert base.startswith(f"{PYTHON}-"), f"{base} is no base image that this machine can stand in for"
        name = name or "last"
        self._stage = self._stages[name] = Stage(self._folder / name)

    def _shell(self, it: Instruction) -> None:
        self._stage.shell = json.loads(it.text)

    def _arg(self, it: Instruction) -> None:
        name, _, default = it.text.partition("=")
        self._stage.arguments[name] = self._given.get(name, default)

    def _env(self, it: Instruction) -> None:
        for pair in shlex.split(self._stage.expand(it.text)):
            name, _, value = pair.partition("=")
            self._stage.environment[name] = value

    def _label(self, it: Instruction) -> None:
        self._stage.labels.update(pair.split("=", 1) for pair in shlex.split(self._stage.expand(it.text)))

    def _workdir(self, it: Instruction) -> None:
        self._stage.folder = it.text
        (self._stage.root / it.text.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _user(self, it: Instruction) -> None:
        self._stage.user = it.text

    def _entrypoint(self, it: Instruction) -> None:
        self._stage.entrypoint = json.loads(it.text)

    def _cmd(self, it: Instruction) -> None:
        self._stage.command = json.loads(it.text)

    def _run(self, it: Instruction) -> None:
        volumes = {}
        for flag in it.flags:
            place = flag.removeprefix("--mount=type=cache,target=")
            assert place.startswith("/root/"), flag
            volumes[place] = self._cache
        network = {key: value for key, value in os.environ.items() if NETWORK.fullmatch(key)}
        stage = self._stage
        command = [*stage.shell, it.text]
        done = stage.run(command, volumes=volumes, HOME="/root", **network, **stage.arguments)
        if done.returncode:
            raise BuildFailed(f"RUN {it.text}\n{done.stdout}{done.stderr}")

    def _copy(self, it: Instruction) -> None:
        source, stage = self._context, self._stage
        for flag in it.flags:
            assert flag.startswith("--from="), flag
            source = self._stages[flag.removeprefix("--from=")].root
        *names, target = stage.expand(it.text).split()
        into = stage.root / os.path.join(stage.folder, target).lstrip("/")
        if not names or (len(names) > 1 and not target.endswith("/")):
            raise BuildFailed(f"COPY {it.text}: what, and where to?")
        for path in (source / name.lstrip("/") for name in names):
            if path.is_dir():
                subprocess.run(["cp", "-a", "--no-preserve=ownership", f"{path}/.", _made(into)], check=True)
            elif path.is_file():
                shutil.copy2(path, _made(into) if target.endswith("/") else into)
            else:
                raise BuildFailed(f"COPY {it.text}: {path.name} is not in the context")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
