"""The section `kubeflow` of a configuration."""

import pytest

from pipeline.config import ConfigError, load

DIGITS = "configs/digits.yaml"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("kubeflow.pvc=My_Claim", "`My_Claim` is no name of a Kubernetes object: lower-case letters, digits"),
        ("kubeflow.pvc=a..b", "is no name of a Kubernetes object"),
        (f"kubeflow.metadata_secret={'a' * 254}", "is no name of a Kubernetes object"),
        ("kubeflow.image=Registry/tailgan", "is no image, such as"),
        ("kubeflow.image=tailgan@sha256:12", "is no image"),
        ("kubeflow.mount=data", "`data` is no absolute path"),
        ("kubeflow.mount=/", "is no absolute path"),
        ("kubeflow.mount=/data/", "is no absolute path"),
        ("kubeflow.mount=/data/../etc", "is no absolute path"),
        ("kubeflow.mount=/data*", "is no absolute path"),
        ("kubeflow.metadata_uri=mysql://a:b@c/d", "an address holds no password"),
        ("kubeflow.metadata_uri=redis://c/d", "not an address of a metadata store"),
        ("kubeflow.defaults.cpu=two", "`kubeflow.defaults.cpu`"),
        ("kubeflow.defaults.memory=4 GB", "`kubeflow.defaults.memory`"),
        ("kubeflow.defaults.accelerator={count: 1}", "`defaults.accelerator` would lie idle: only Judge and GAN train"),
        ("kubeflow.nodes={Evaluator: {accelerator: {}}}", "`nodes.Evaluator.accelerator` would lie idle"),
        ("kubeflow.trainers.tolerations=[{key: gpu, operator: Equal}]", "`Equal` needs a `value`"),
        ("kubeflow.trainers.tolerations=[{key: gpu, effect: Never}]", "NoSchedule"),
        ("kubeflow.nodes={GAN: {gpu: 1}}", "unknown key `kubeflow.nodes.GAN.gpu`"),
    ],
)
def test_a_value_that_a_cluster_would_refuse_is_refused_here(override, expected):
    with pytest.raises(ConfigError) as caught:
        load(DIGITS, [override])
    assert expected in str(caught.value) and override.partition("=")[0].split(".")[0] in str(caught.value)


def test_what_is_given_for_a_node_comes_before_what_is_given_for_trainers_and_for_all():
    options = load(
        DIGITS,
        [
            "kubeflow.defaults={cpu: 1, memory: 2Gi, retries: 1}",
            "kubeflow.trainers={memory: 4Gi, accelerator: {}, tolerations: [{key: gpu}]}",
            "kubeflow.nodes={GAN: {memory: 8Gi, retries: 0}}",
        ],
    ).kubeflow
    gan, judge, pusher = map(options.of_node, ("GAN", "Judge", "Pusher"))
    assert (gan.cpu, gan.memory, gan.retries, gan.accelerator.type) == ("1", "8Gi", 0, "nvidia.com/gpu")
    assert (judge.cpu, judge.memory, judge.retries, judge.tolerations[0].key) == ("1", "4Gi", 1, "gpu")
    assert (pusher.memory, pusher.accelerator, pusher.tolerations) == ("2Gi", None, ())


def test_without_a_word_tasks_are_retried_and_ask_for_nothing():
    node = load(DIGITS).kubeflow.of_node("GAN")
    assert (node.cpu, node.memory, node.accelerator, node.retries, node.retry_seconds) == (None, None, None, 3, 30)


def test_the_resolved_configuration_reads_back_to_the_same_tasks(tmp_path):
    config = load(DIGITS, ["kubeflow.defaults={memory: 2Gi}", "kubeflow.trainers={cpu: 2}"])
    (tmp_path / "digits.yaml").write_text(config.as_yaml())
    again = load(tmp_path / "digits.yaml")
    assert again == config and again.kubeflow.of_node("GAN") == config.kubeflow.of_node("GAN")
