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
    assert len(root.versions) == 1 and len(list(root.path.glob("checkpoints/*"))) == 1
    assert len(list(root.path.glob("logs/*.log"))) == 1
    after = root.report()
    assert [row["state"] for row in after.pop("versions")] == ["removed", "serving"]
    assert after == {key: value for key, value in report.items() if key != "versions"}
    assert root.tailgan(*clean).stdout.count("total                0") == 1

    assert root.run("digits.yaml", *OTHER).returncode == 0
    # The version that was removed was the best that ever served, so the gate decides anew.
    again = {node for node, state in root.states.items() if state != "cached"}
    assert again == {"Evaluator", "ServingValidator", "Pusher"}
    again = root.run("digits.yaml", *QUICK)
    assert again.returncode == 0, again.stdout + again.stderr
    assert {node for node, state in root.states.items() if state != "cached"} == {
        "GAN", "Evaluator", "ServingValidator", "Pusher",
    }  # fmt: skip
    assert len(root.versions) == 2
