"""From a configuration to a pipeline of Kubeflow Pipelines: one task a node, and the graph that they launch it from."""

import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from kfp import compiler, dsl, kubernetes
from kfp.dsl import container_component_class, placeholders, structures

from models.files import write_whole
from pipeline import graph, metadata
from pipeline.config import Config, ConfigError
from pipeline.kubeflow_options import KubeflowOptions, NodeOptions

# Key of the secret that has the password of the metadata store.
SECRET_KEY = "password"
LONGEST_WAIT = "3600s"
# The task that removes older runs, where the configuration has a `retention`; it is no node of the graph.
CLEAN = "Clean"


@dataclass(frozen=True)
class Package:
    """A compiled pipeline.

    Attributes:
      pipeline: what Kubeflow Pipelines is given, specification 2.1.0 in YAML; its second document is about Kubernetes.
      graph: what the image holds; it does not depend on the image.
      graph_name: file name of the graph.
      sha256: of the graph.
      warnings: what should be otherwise, a line each.
    """

    pipeline: str
    graph: bytes
    graph_name: str
    sha256: str
    warnings: tuple[str, ...]

    def write(self, path: Path) -> Path:
        """Writes the pipeline to `path`, and beside it the graph, whose path is returned."""
        beside = path.parent / self.graph_name
        try:
            write_whole(beside, self.graph)
            write_whole(path, self.pipeline)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
        return beside


def compile(config: Config, where: Callable[[str], str]) -> Package:
    """Compiles an experiment; equal configurations and sources give equal bytes.

    Args:
      config: the experiment.
      where: from a key to where it was read, for messages (see `pipeline.config.locate`).

    Raises:
      ConfigError: if `kubeflow.nodes` names a node that is not there.
    """
    from pipeline import build, node

    options = config.kubeflow
    name, root = f"{config.name}.ir.json", f"{options.mount}/{config.name}"
    ir = node.to_json(node.compile_pipeline(build.create_pipeline(config, root)))
    upstream = graph.upstream(ir)
    for node_id in options.nodes:
        if node_id not in upstream:
            raise ConfigError(
                f"{where(f'kubeflow.nodes.{node_id}')}: `kubeflow.nodes`: no node `{node_id}`; "
                f"nodes: {', '.join(upstream)}"
            )
    args = ["node", "--ir", f"{options.ir_folder}/{name}", "--ir-sha256", graph.sha256(ir)]
    keep = config.retention.runs
    clean = ["clean", "--root", root, "--keep", str(keep), "--yes"] if keep else None
    text = _to_yaml(sanitized(config.name), upstream, args, clean, options)
    found = []
    if "@sha256:" not in options.image:
        found.append(
            f"{where('kubeflow.image')}: `kubeflow.image`: {options.image} names no digest (@sha256:...); "
            "what it stands for may change between two tasks of a run"
        )
    return Package(text, ir, name, graph.sha256(ir), tuple(found))


def sanitized(name: str) -> str:
    """A name as Kubernetes has them: lower-case letters, digits and `-`."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "tailgan"


def check_names(node_ids: Iterable[str]) -> None:
    """Makes sure that no two nodes get the name of one task, to which KFP would add a number.

    Raises:
      ConfigError: with the nodes that do.
    """
    tasks = defaultdict(list)
    for node_id in node_ids:
        tasks[sanitized(node_id)].append(node_id)
    for task, same in tasks.items():
        if len(same) > 1:
            raise ConfigError(f"nodes {' and '.join(same)} would be one task, `{task}`; give one of them another id")


def _to_yaml(
    name: str, upstream: dict[str, list[str]], args: list[str], clean: list[str] | None, options: KubeflowOptions
) -> str:
    check_names([*upstream, *([CLEAN] if clean else [])])

    def prepared(task: dsl.PipelineTask, name: str, before: Iterable[dsl.PipelineTask]) -> dsl.PipelineTask:
        task.after(*before)
        _equip(task, options)
        _ask(task, options.of_node(name))
        task.set_display_name(name)
        task.set_caching_options(False)  # TFX does that, and looks at what the outputs hang on
        return task

    @dsl.pipeline(name=name)
    def pipeline() -> None:
        tasks: dict[str, dsl.PipelineTask] = {}
        for node_id, before in upstream.items():
            task = _of_node(node_id, args, options.image)(run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
            tasks[node_id] = prepared(task, node_id, [tasks[each] for each in before])
        if clean:
            prepared(_component(CLEAN, clean, options.image, {})(), CLEAN, list(tasks.values()))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        return path.read_text(encoding="utf-8")


def _of_node(node_id: str, args: list[str], image: str) -> container_component_class.ContainerComponent:
    """The program of a node. KFP tells the id of a run to an input only, never to an argument itself."""
    args = [*args, "--node-id", node_id, "--run-id", placeholders.InputValuePlaceholder("run_id")]
    return _component(node_id, args, image, {"run_id": structures.InputSpec("String")})


def _component(
    name: str, args: list[str], image: str, inputs: dict[str, structures.InputSpec]
) -> container_component_class.ContainerComponent:
    container = structures.ContainerSpecImplementation(image=image, command=["tailgan"], args=args)
    spec = structures.ComponentSpec(
        name=name, inputs=inputs, implementation=structures.Implementation(container=container)
    )
    return container_component_class.ContainerComponent(spec, lambda **given: None)


def _equip(task: dsl.PipelineTask, options: KubeflowOptions) -> None:
    """The volume and the metadata store."""
    kubernetes.mount_pvc(task, pvc_name=options.pvc, mount_path=options.mount)
    task.set_env_variable(metadata.URI, options.metadata_uri)
    if options.metadata_secret:
        kubernetes.use_secret_as_env(task, options.metadata_secret, {SECRET_KEY: metadata.PASSWORD})


def _ask(task: dsl.PipelineTask, options: NodeOptions) -> None:
    """Resources, tolerated taints and retries."""
    if options.cpu:
        task.set_cpu_request(options.cpu).set_cpu_limit(options.cpu)
    if options.memory:
        task.set_memory_request(options.memory).set_memory_limit(options.memory)
    if options.accelerator:
        task.set_accelerator_type(options.accelerator.type).set_accelerator_limit(options.accelerator.count)
    for toleration in options.tolerations or ():
        kubernetes.add_toleration(task, **toleration.model_dump())
    if options.retries:
        task.set_retry(
            options.retries,
            backoff_duration=f"{options.retry_seconds}s",
            backoff_factor=2.0,
            backoff_max_duration=LONGEST_WAIT,
        )
