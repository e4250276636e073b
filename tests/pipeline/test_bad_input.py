"""What is wrong with a configuration or a folder is told by the command at once: what, where, and what is allowed."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HOME = Path(__file__).parent.parent.parent
FOLDER = "data: {source: image_folder, root: images, image_size: 8}\n"


def tailgan(*args: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *args],
        capture_output=True, text=True, cwd=cwd, env={"PYTHONPATH": str(HOME), "PATH": ""}, timeout=120,
    )  # fmt: skip


def refused(tmp_path, *args: str) -> str:
    """What the command says when it refuses to run: in short lines, without a traceback, leaving no run behind."""
    result = tailgan("run", *args, cwd=tmp_path)
    assert result.returncode == 2, result.stdout + result.stderr
    assert "Traceback" not in result.stderr and len(result.stderr) < 2000
    assert all(line.startswith("tailgan: ") for line in result.stderr.splitlines())
    assert not list(tmp_path.glob("runs/*/run.json")) and not list(tmp_path.glob("runs/*/artifacts"))
    return result.stderr.replace("\ntailgan: ", "\n").removeprefix("tailgan: ").rstrip("\n")


def laughs() -> str:
    """A value that is a gigabyte when it is written out."""
    levels = "".join(f"  - &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]\n" for i in range(1, 10))
    return f"gan:\n  steps:\n  - &l0 [x]\n{levels}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gan:\n  steps: [1,\n", r"bad\.yaml:3:1: not YAML: .*"),
        ("gan:\n\tsteps: 1\n", r"bad\.yaml:2:1: not YAML: .*"),
        ("- 1\n", r"bad\.yaml:1: a configuration is a mapping of sections \(name, seed, data, .*\)"),
        ("gan:\n  stepz: 1\n", r"bad\.yaml:2: unknown key `gan\.stepz`; did you mean `gan\.steps`\? known here: .*"),
        ("gan:\n  steps: many\n", r"bad\.yaml:2: `gan\.steps`: .*valid integer.*, not 'many'"),
        ("gan:\n  steps: 1\n  steps: 2\n", r"bad\.yaml:3: key `steps` stands in line 2 already"),
        ("gan: 3\n", r"bad\.yaml:1: `gan`: a section of keys \(.*steps.*\), not 3"),
        ("seed: -1\n", r"bad\.yaml:1: `seed`: .*greater than or equal to 0, not -1"),
        ("data:\n  image_size: 3\n", r"bad\.yaml:2: `data\.image_size`: sides must be 4 to 512 pixels, not 3 x 3"),
        ("gan: {loss: acgan}\n", r"bad\.yaml:1: `gan`: `loss: acgan` .* needs `discriminator\.conditioning: acgan`"),
        ("gan: {discriminator: {conditioning: acgan}}\n", r".*no loss but `acgan` trains; not `loss: hinge`"),
        ("gan: {discriminator: {norm: batch}}\n", r".*`gan\.discriminator`: .* set `joint_batch: false`, .*"),
        ("gan: {generator: {norm: layer}}\n", r".*no place where `generator\.conditioning` is conditional_.*"),
        (
            "gan: {latent: {tail_noise: 1}, generator: {conditioning: none}}\n",
            r".*`latent\.tail_noise` needs a class to act on.*",
        ),
        ("gate:\n  rules: [fidd <= 2]\n", r"bad\.yaml:2: `gate\.rules`: unknown figure `fidd`; did you mean `fid`\?.*"),
        (
            "gate: {rules: [label_agreement >= 1.5]}\n",
            r".*rule `label_agreement >= 1\.5`: `label_agreement` lies between 0 and 1, and 1\.5 does not",
        ),
        ("gate: {rules: [fid <= -1]}\n", r".*`fid` lies between 0 and inf, and -1 does not"),
        ("gate: {not_worse: {kid: -1}}\n", r".*the margin of `kid` must be at least 0, not -1"),
        ("data: {eval_fraction: 1.5}\n", r"bad\.yaml:1: `data\.eval_fraction`: .*less than 1, not 1\.5"),
        ("data: {source: image_folder}\n", r"bad\.yaml:1: `data`: source `image_folder` needs `data\.root`"),
        ("data: {group_by: '('}\n", r".*`data\.group_by`: not a regular expression: .*"),
        ("seed: !!python/object/apply:os.system [exit]\n", r"bad\.yaml:1:7: not YAML: could not determine.*"),
        (laughs(), r"bad\.yaml:2: `gan\.steps`: .*valid integer, not \[.{,300}"),
        ("[" * 100_000, r"bad\.yaml: nested too deeply"),
        ("gan: &a\n  steps: *a\n", r"bad\.yaml:2: `gan\.steps`: .*"),
        ("gan: &a {steps: *a}\n", r"bad\.yaml:1: `gan\.steps`: .*"),
        ("data: {max_seconds: .inf}\n", r"bad\.yaml:1: `data\.max_seconds`: .*finite number, not inf"),
        ("\0", r"bad\.yaml: not YAML: .*"),
        ("\udcff", r"bad\.yaml: cannot be read: .*"),
    ],
)  # fmt: skip
def test_a_faulty_configuration_is_refused_with_file_and_line(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_bytes(text.encode(errors="surrogateescape"))
    said = refused(tmp_path, "bad.yaml")
    assert re.fullmatch(message, said), said


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("gan.steps", r"--set gan\.steps: not of the form dotted\.path=value"),
        ("gan.steps=x", r"--set gan\.steps=x: `gan\.steps`: .*, not 'x'"),
        ("seed.deep=1", r"--set seed\.deep=1: `seed` holds a value, not a section"),
        ("gan.steps=[", r"--set gan\.steps=\[: the value is not YAML: .*"),
    ],
)
def test_a_faulty_override_is_refused_by_name(tmp_path, override, message):
    (tmp_path / "good.yaml").write_text("seed: 1\n")
    said = refused(tmp_path, "good.yaml", "--set", override)
    assert re.fullmatch(message, said), said


def test_a_configuration_that_is_not_there_or_no_file_is_refused(tmp_path):
    assert refused(tmp_path, "none.yaml") == "none.yaml: no such configuration file"
    assert re.match(r"\.: cannot be read: .*directory", refused(tmp_path, "."))


def test_a_job_server_that_is_not_there_is_told_before_anything_heavy_is_loaded(tmp_path):
    beam = "{runner: PortableRunner, environment_type: LOOPBACK,\n  job_endpoint: 'localhost:1'}"
    (tmp_path / "good.yaml").write_text(f"seed: 1\nbeam: {beam}\n")
    said = refused(tmp_path, "good.yaml")
    assert said == "good.yaml:3: `beam.job_endpoint`: localhost:1 cannot be reached: Connection refused"


def image(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)).save(path)


def fine(root: Path) -> None:
    for i in range(20):
        image(root / "fray" / f"{i}.png", i)
        image(root / "free" / f"{i}.png", 100 + i)


def nothing(root):
    pass


def empty(root):
    root.mkdir()


def a_file(root):
    root.write_text("")


def loose(root):
    fine(root)
    image(root / "1.png")


def one_class(root):
    image(root / "fray" / "1.png")


def empty_class(root):
    fine(root)
    (root / "uneven").mkdir()


def only_case(root):
    fine(root)
    image(root / "Fray" / "1.png")


def control_character(root):
    fine(root)
    image(root / "a\nb" / "1.png")


def loop(root):
    fine(root)
    (root / "again").symlink_to(root, target_is_directory=True)


def split_without_classes(root):
    fine(root / "train")
    (root / "test").mkdir()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (nothing, r"`data\.root`: images cannot be listed: No such file or directory"),
        (a_file, r"`data\.root`: images cannot be listed: Not a directory"),
        (empty, r"`data\.root`: there is no class folder in images; images lie in CLASS/, a folder a class"),
        (loose, r"images lie directly in images: 1\.png; each belongs in the folder of its class"),
        (one_class, r"there is one class only, `fray`; two or more are needed"),
        (empty_class, r"class folder images/uneven is empty; put images of `uneven` in it, or remove it"),
        (only_case, r"classes `Fray` and `fray` in images differ in nothing but upper and lower case"),
        (control_character, r"class folder 'a\\nb' in images: a name of a class is made of printable characters"),
        (loop, r"images/again/fray? is a folder inside a class folder; .*|images/again/\w+ is a folder inside .*"),
        (split_without_classes, r"`data\.root`: there is no class folder in images/test; .*"),
    ],
)
def test_a_folder_not_laid_out_as_it_should_be_is_refused_before_anything_runs(tmp_path, make, message):
    (tmp_path / "folder.yaml").write_text(FOLDER)
    make(tmp_path / "images")
    said = refused(tmp_path, "folder.yaml")
    assert re.fullmatch(r"folder\.yaml:1: (" + message + ")", said), said


@pytest.mark.parametrize(("section", "key"), [("rebalance", "strategy"), ("gan", "fake_labels")])
def test_a_class_that_is_not_there_is_refused_with_the_nearest(tmp_path, section, key):
    fine(tmp_path / "images")
    (tmp_path / "folder.yaml").write_text(FOLDER + f"{section}:\n  {key}: {{fary: 30}}\n")
    said = refused(tmp_path, "folder.yaml")
    assert said == f"folder.yaml:3: `{section}.{key}`: unknown class `fary`; did you mean `fray`? known: fray, free"


def test_a_group_rule_without_file_names_is_refused_where_it_stands(tmp_path):
    (tmp_path / "digits.yaml").write_text("data:\n  source: digits\n")
    said = refused(tmp_path, "digits.yaml", "--set", "data.group_by=x")
    assert said == "--set data.group_by=x: `data.group_by`: source `digits` has no file names to search in"


def test_a_root_that_cannot_be_written_is_refused(tmp_path):
    fine(tmp_path / "images")
    (tmp_path / "folder.yaml").write_text(FOLDER)
    assert refused(tmp_path, "folder.yaml", "--root", "a[b]").endswith(
        "/a[b]: TFX takes [ ] in a path for a pattern; --root names another directory"
    )
    (tmp_path / "file").write_text("")
    said = refused(tmp_path, "folder.yaml", "--root", "file/root")
    assert said == f"{tmp_path}/file/root: cannot be written: Not a directory; --root names another directory"


def test_docker_that_is_asked_for_and_not_there_is_told_before_anything_runs(tmp_path):
    (tmp_path / "a.yaml").write_text("data: {source: digits}\nserving:\n  validation:\n    server: docker\n")
    said = refused(tmp_path, "a.yaml")
    assert said.startswith("a.yaml:4: `serving.validation.server`: `docker` needs Docker's command line")
