"""What doctor finds on machines and installations that are broken in one way each."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as proto

from pipeline import doctor

HOME = Path(__file__).parent.parent.parent


def interpreter(tmp_path: Path, script: str) -> str:
    """A program that stands in for Python and does what the script says."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("version", "state"), [((3, 10, 14), "bad"), ((3, 11, 0), "ok"), ((3, 13, 9), "ok"), ((3, 14, 0), "bad")]
)
def test_supported_pythons(version, state):
    finding = doctor.python(version)
    assert finding.state == state and finding.found == ".".join(map(str, version))
    assert ("3.11 to 3.13" in finding.do) == (state == "bad")


def test_the_supported_pythons_are_those_of_the_project():
    text = (HOME / "pyproject.toml").read_text()
    (first, last) = doctor.PYTHONS
    assert f'requires-python = ">={first[0]}.{first[1]},<{last[0]}.{last[1] + 1}"' in text


def test_packages_that_are_not_as_tested_are_named_and_only_these(tmp_path):
    lock = tmp_path / "requirements.txt"
    lock.write_text(
        f"numpy=={metadata.version('numpy')}\n"
        "pillow==0.1 ; python_version >= '3.11'\n"
        "pydantic==0.1 ; python_version < '3.0'\n"
        "no-such-package==1.0  # of a test\n"
    )
    finding = doctor.packages(lock)
    assert finding.state == "hint" and "make install" in finding.do
    assert finding.found == (
        f"pillow is {metadata.version('pillow')}, ==0.1 wanted; no-such-package is missing, ==1.0 wanted"
    )


def test_tensorflow_for_cpus_counts_as_tensorflow(tmp_path, monkeypatch):
    def version(name):
        if name == "tensorflow-cpu":
            return "2.16.2"
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: [])
    (lock := tmp_path / "requirements.txt").write_text("tensorflow==2.16.2\n")
    assert doctor.packages(lock).state == "ok"
    lock.write_text("tensorflow==2.17.0\nnumpy==1.0\n")
    assert doctor.packages(lock).found == "tensorflow is 2.16.2, ==2.17.0 wanted; numpy is missing, ==1.0 wanted"


def test_packages_as_tested_are_counted(tmp_path):
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"numpy=={metadata.version('numpy')}\n\npydantic==0.1 ; python_version < '3.0'\n")
    assert doctor.packages(lock) == doctor.Finding("packages", "ok", "1 packages as tested")


def test_a_package_that_the_project_cannot_do_with_is_bad(tmp_path, monkeypatch):
    """Metadata of an installation that asks for more than there is, as after an upgrade without its dependencies."""
    info = tmp_path / "tailgan-9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tailgan\nVersion: 9\nRequires-Dist: numpy>=99\n"
        "Requires-Dist: nothing-like-it; extra == 'dev'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = doctor.packages(tmp_path / "none.txt")
    assert finding.state == "bad" and finding.found == f"numpy is {metadata.version('numpy')}, >=99 wanted"
    lock = tmp_path / "requirements.txt"
    lock.write_text("numpy==99.1\npillow==0.1\n")
    both = doctor.packages(lock)
    assert both.state == "bad" and both.found.count("numpy") == 1 and "pillow" in both.found


def test_an_installation_without_the_lock_says_so(tmp_path):
    finding = doctor.packages(tmp_path / "requirements.txt")
    assert finding.state == "hint" and finding.found == "no requirements.txt beside the project to compare with"


@pytest.mark.parametrize(
    ("script", "found", "do"),
    [
        ("""echo '{"step": "import tensorflow"}'; kill -ILL $$""", "import tensorflow: ended by SIGILL", "AVX"),
        ("""echo '{"step": "import tfx.v1"}'; kill -SEGV $$""", "import tfx.v1: ended by SIGSEGV", "import tfx.v1"),
        ("kill -KILL $$", "starting Python: ended by SIGKILL", "memory"),
        ("""echo "x: version 'GLIBC_2.39' not found" >&2; exit 1""", "GLIBC_2.39", "C library"),
        ("""echo '{"step": "import keras"}'; echo 'ImportError: no keras' >&2; exit 1""",
         "import keras: ImportError: no keras", "make install"),
        ("""echo '{"step": "import tensorflow"}'; exec sleep 60""", "import tensorflow: took more than 1 s", "again"),
        ("exit 0", "starting Python: exit code 0", "make install"),
    ],
)  # fmt: skip
def test_a_stack_that_does_not_import_is_a_line_that_names_the_step(tmp_path, script, found, do):
    stub = interpreter(tmp_path, script)
    finding = doctor.imports(stub, seconds=1)
    assert finding.state == "bad" and found in finding.found and do in finding.do
    assert doctor.gpu(stub, seconds=1).state == "hint"


def test_an_interpreter_that_is_not_there_is_a_line(tmp_path):
    finding = doctor.imports(str(tmp_path / "python"))
    assert finding.state == "bad" and "No such file" in finding.found


def test_a_graphics_card_is_named_and_none_is_fine(tmp_path):
    good = """echo '{"gpus": ["GPU:0"]}'; echo '{"step": ""}'"""
    assert doctor.gpu(interpreter(tmp_path, good)).found == "GPU:0"
    (tmp_path / "other").mkdir()
    stub = interpreter(tmp_path / "other", good.replace('"GPU:0"', ""))
    assert doctor.gpu(stub) == doctor.Finding("gpu", "ok", "none; training runs on the CPU")
    assert doctor.imports(stub).state == "ok"


@pytest.mark.e2e
def test_the_real_stack_imports_and_computes():
    finding = doctor.imports()
    assert finding.state == "ok", finding
    assert doctor.gpu().state == "ok"


def test_free_space_is_that_of_the_place_where_the_root_would_lie(tmp_path):
    absent = tmp_path / "runs" / "digits"
    assert str(tmp_path) in doctor.disk(absent).found and not absent.parent.exists()
    assert doctor.disk(absent, need=0).state == "ok"
    assert doctor.disk(absent, need=1e18, least=0).state == "hint"
    finding = doctor.disk(absent, need=1e18, least=1e18)
    assert finding.state == "bad" and "tailgan clean" in finding.do


def machine(tmp_path: Path, **files: str) -> doctor.Finding:
    """Memory of a machine with 16 GiB, 12 of them available, with these files below its control groups' mount."""
    (tmp_path / "meminfo").write_text(f"MemTotal: {16 << 20} kB\nMemAvailable: {12 << 20} kB\nHugePages_Total: 0\n")
    for name, text in files.items():
        path = tmp_path / "mount" / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return doctor.memory(tmp_path / "meminfo", tmp_path / "cgroup", tmp_path / "mount")


def test_memory_of_a_machine_without_limits(tmp_path):
    assert machine(tmp_path).found == "12.9 GB available of 17.2"


@pytest.mark.parametrize(
    ("cgroup", "folder", "limit", "used", "inactive"),
    [
        ("0::/a/b", "a", "memory.max", "memory.current", "inactive_file"),
        ("0::/", "", "memory.max", "memory.current", "inactive_file"),
        ("4:cpu,memory:/a", "memory/a", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ("4:memory:/not/here", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
)  # fmt: skip
def test_a_limit_of_the_control_group_or_of_one_above_it_counts(tmp_path, cgroup, folder, limit, used, inactive):
    (tmp_path / "cgroup").write_text(cgroup + "\n1:cpuset:/\n")
    files = {f"{folder}/{limit}": "3000000000", f"{folder}/{used}": "2000000000",
             f"{folder}/memory.stat": f"anon 5\n{inactive} 1500000000\n"}  # fmt: skip
    finding = machine(tmp_path, **files)
    assert finding.found == "2.5 GB available of 3.0 (limit of the control group)" and finding.state == "hint"
    assert machine(tmp_path, **files | {f"{folder}/{used}": "4400000000"}).state == "bad"


def test_a_control_group_without_a_limit_limits_nothing(tmp_path):
    (tmp_path / "cgroup").write_text("0::/a\n")
    files = {"a/memory.max": "max\n", "a/memory.current": "1\n"}
    assert machine(tmp_path, **files).found == "12.9 GB available of 17.2"


def test_cores_are_those_that_the_process_may_use():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from pipeline import doctor\n"
    done = subprocess.run(
        [sys.executable, "-c", code + "print(doctor.cores().found)"], capture_output=True, text=True, cwd=HOME
    )
    assert done.stdout == f"1 of {os.cpu_count()}\n", done.stderr


def test_a_root_that_can_be_made_is_good_and_nothing_is_left_there(tmp_path):
    finding = doctor.writable(tmp_path / "runs" / "digits")
    assert finding.state == "ok" and list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_written_is_bad(tmp_path):
    (tmp_path / "file").write_text("x")
    for root in (Path("/proc/runs"), tmp_path / "file" / "runs"):
        finding = doctor.writable(root)
        assert finding.state == "bad" and "cannot write a file in" in finding.found and "--root" in finding.do


def test_a_file_system_without_locks_is_bad(tmp_path, monkeypatch):
    """No such file system is at hand, so its answer is given by hand."""

    def no_locks(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(doctor.fcntl, "flock", no_locks)
    finding = doctor.writable(tmp_path)
    assert finding.state == "bad" and "cannot lock a file" in finding.found and list(tmp_path.iterdir()) == []


def metadata_store_in(root: Path) -> Path:
    config = proto.ConnectionConfig()
    config.sqlite.filename_uri = str(root / "metadata.db")
    config.sqlite.connection_mode = proto.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    store = metadata_store.MetadataStore(config)
    kind = store.put_artifact_type(proto.ArtifactType(name="Model"))
    store.put_artifacts([proto.Artifact(type_id=kind, uri="/" + "x" * 1000) for _ in range(300)])
    return root / "metadata.db"


def test_a_whole_store_and_none_are_good(tmp_path):
    assert doctor.store(tmp_path).state == "ok" and not list(tmp_path.iterdir())
    metadata_store_in(tmp_path)
    assert doctor.store(tmp_path).found.endswith("is whole")


def test_a_damaged_store_is_bad(tmp_path):
    path = metadata_store_in(tmp_path)
    whole = path.read_bytes()
    for damaged in (
        b"x" * 5000,
        whole[:8192] + b"\xff" * 200_000 + whole[208_192:],
        whole[: len(whole) // 2],
        whole[:36] + b"\0\0\0\5" + whole[40:],  # five free pages that are not there: only the check sees it
    ):
        path.write_bytes(damaged)
        finding = doctor.store(tmp_path)
        assert finding.state == "bad" and str(path) in finding.found and "move it away" in finding.do


def test_a_store_in_use_is_not_called_damaged(tmp_path):
    path = metadata_store_in(tmp_path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    finding = doctor.store(tmp_path)
    other.close()
    assert finding.state == "hint" and "in use by another process" in finding.found


def test_a_store_that_may_not_be_read_is_not_called_damaged():
    with tempfile.TemporaryDirectory() as folder:
        path = metadata_store_in(Path(folder))
        path.chmod(0)
        os.chmod(folder, 0o755)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            finding = doctor.store(Path(folder))
        finally:
            os.seteuid(user)
    assert finding.state == "bad" and "may read and write" in finding.do


def test_a_database_of_something_else_is_bad(tmp_path):
    with sqlite3.connect(tmp_path / "metadata.db") as connection:
        connection.execute("CREATE TABLE cats (name)")
    assert "not a store of ML Metadata" in doctor.store(tmp_path).found


def test_programs_for_the_tests_are_hints_with_the_command_that_installs_them(tmp_path):
    for check, program, package in (
        (doctor.browser, "chromium", "chromium"),
        (doctor.database, "mariadbd", "mariadb-server"),
    ):
        absent = check(str(tmp_path))
        assert absent.state == "hint" and f"apt-get install {package}" in absent.do
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
        assert check(str(tmp_path)) == doctor.Finding(absent.name, "ok", str(tmp_path / program))


def test_a_check_that_fails_itself_is_a_finding_and_the_others_go_on():
    def broken():
        raise ValueError("surprise")

    good = doctor.Finding("good", "ok", "fine")
    findings = list(doctor.examine([("broken", broken), ("good", lambda: good)]))
    assert [finding.state for finding in findings] == ["bad", "ok"] and "surprise" in findings[0].found


def test_a_finding_fits_100_columns_and_a_hint_says_what_to_do():
    words = "some words " * 40
    text = doctor.text(doctor.Finding("packages", "bad", words, words))
    assert max(map(len, text.splitlines())) <= 100 and text.split() == [
        "bad",
        "packages",
        *f"{words} -> {words}".split(),
    ]


# The command without the imports, which take a minute: the interpreter that it starts is a stub.
COMMAND = (
    "import sys; sys.executable = {stub!r}\nfrom pipeline.cli import main\ncode = main({args!r})\n"
    "heavy = {{'tensorflow', 'tfx', 'ml_metadata', 'pydantic', 'rich', 'numpy'}} & set(sys.modules)\n"
    "sys.exit(f'loads {{heavy}}' if heavy else code)"
)


@pytest.mark.parametrize(("step", "code"), [("", 0), ("import tensorflow", 1)])
def test_the_command_prints_every_check_loads_nothing_heavy_and_fails_only_for_what_is_bad(tmp_path, step, code):
    answer = json.dumps({"gpus": []}) + "\n" + json.dumps({"step": step})
    stub = interpreter(tmp_path, f"echo '{answer}'")
    args = ["doctor", "--json", "--root", str(tmp_path / "root")]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND.format(stub=stub, args=args)], capture_output=True, text=True, cwd=HOME
    )
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == code and not done.stderr, done.stdout + done.stderr
    assert list(findings) == [name for name, _ in doctor.checks(tmp_path)]
    assert all(set(each) == {"name", "state", "found", "do"} for each in findings.values())
    assert findings["imports"]["state"] == ("bad" if step else "ok")
    args.remove("--json")
    done = subprocess.run(
        [sys.executable, "-c", COMMAND.format(stub=stub, args=args)], capture_output=True, text=True, cwd=HOME
    )
    named = [line.split()[1] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert done.returncode == code and named == list(findings)
