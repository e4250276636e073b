"""Cleaning between real runs: what is kept is re-used, what was removed is made again, and nothing fails."""

import pytest

pytestmark = pytest.mark.e2e

QUICK = (
    "gan.steps=50", "gan.checkpoint_every=25", "classifier.steps=20", "gate.samples_per_class=20",
    "gate.rules=[label_agreement >= 0]", "gate.not_worse={}",
)  # fmt: skip
OTHER = (*QUICK, "gan.loss=non_saturating")  # other than the default, in the GAN only


def test_the_next_run_re_uses_what_clean_kept_and_an_older_configuration_makes_again_what_it_removed(new_root):
    root = new_root("root")
    clean = ("clean", "--root", str(root.path), "--keep", "1")
    for overrides in (QUICK, OTHER, OTHER):  # the second of the same has judged what serves
        assert root.run("digits.yaml", *overrides).returncode == 0
    assert set(root.states.values()) == {"cached", "complete"} and len(root.versions) == 2
    report = root.report()

    shown = root.tailgan(*clean)
    assert shown.returncode == 0 and "--yes" in shown.stdout and len(root.versions) == 2
    done = root.tailgan(*clean, "--yes")
    assert done.returncode == 0, done.stderr
    # Of the GAN and of the Pusher one is left, of the Evaluator also what the version that serves was pushed for.
    count = {key: len(list(root.path.glob(f"artifacts/{key}/*"))) for key in
             ("ExampleGen/examples", "Judge/model", "GAN/model", "Evaluator/evaluation")}  # fmt: skip
    assert count == {"ExampleGen/examples": 1, "Judge/model": 1, "GAN/model": 1, "Evaluator/evaluation": 2}
    # The first version is the best that ever served, with which the gate compares.
    assert len(root.versions) == 2 and len(list(root.path.glob("checkpoints/*"))) == 1
    assert len(list(root.path.glob("logs/*.log"))) == 1
    assert root.report() == report
    assert root.tailgan(*clean).stdout.count("total                0") == 1

    assert root.run("digits.yaml", *OTHER).returncode == 0
    assert {node for node, state in root.states.items() if state != "cached"} == {"Pusher"}
    again = root.run("digits.yaml", *QUICK)
    assert again.returncode == 0, again.stdout + again.stderr
    assert {node for node, state in root.states.items() if state != "cached"} == {
        "GAN", "Evaluator", "ServingValidator", "Pusher",
    }  # fmt: skip
    assert len(root.versions) == 3
    kept = root.run("digits.yaml", *QUICK, "retention.runs=1")
    assert kept.returncode == 0 and "of older runs (`retention.runs: 1`)" in kept.stdout, kept.stdout + kept.stderr
    assert (
        len(list(root.path.glob("artifacts/GAN/model/*"))) == 1
        and root.versions[-1].is_dir()
        and len(root.versions) < 3
    )
