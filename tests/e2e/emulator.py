"""Does with a compiled pipeline what open-source Kubeflow Pipelines does, and no more than that.

It is strict where a cluster is: what it does not know, a placeholder where it is not resolved, a volume or a secret
that is not there are faults. Two tasks run at once; one that fails is started again as its policy says; what depends on
one that failed for good is skipped.
"""

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

WORKERS = 2
RUN_ID = "{{$.pipeline_job_uuid}}"  # known only as all of an input's constant


@dataclass(frozen=True)
class Cluster:
    """What there is beside a pipeline.

    Attributes:
      image: the one image that can be pulled; its program is `tailgan`.
      volumes: {claim: folder}.
      secrets: {name: {key: value}}.
      start: starts the program in a process of its own, given arguments, environment and a file for what it prints;
        its pid.
      poll: exit code of a process, None while it runs.
    """

    image: str
    volumes: dict[str, Path]
    secrets: dict[str, dict[str, str]]
    start: Callable[[list[str], dict[str, str], Path], int]
    poll: Callable[[int], int | None]


@dataclass
class Run:
    """A run of a pipeline.

    Attributes:
      id: of the run.
      states: by task, `waiting`, `running`, `succeeded`, `failed` or `skipped`.
      attempts: how often each task was started.
      pids: of the tasks that run.
      order: tasks in the order in which they ended well.
    """

    id: str
    states: dict[str, str]
    attempts: Counter[str] = field(default_factory=Counter)
    pids: dict[str, int] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    not_before: dict[str, float] = field(default_factory=dict)

    def may_start(self, name: str) -> bool:
        """Whether the time that a task has to wait after it failed is over."""
        return time.monotonic() >= self.not_before.get(name, 0.0)


class Emulator:
    """Runs a compiled pipeline."""

    def __init__(self, text: str, cluster: Cluster, folder: Path):
        """Takes the YAML of a pipeline, whose unknown fields are refused, and a folder for what tasks print."""
        spec, platforms = yaml.safe_load_all(text)
        self.spec = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        assert self.spec.schema_version == "2.1.0"
        self.tasks = dict(self.spec.root.dag.tasks)
        self._containers = {
            name: executor["container"] for name, executor in spec["deploymentSpec"]["executors"].items()
        }
        (platform,) = platforms["platforms"].items()
        assert platform[0] == "kubernetes" and platform[1]["deploymentSpec"].keys() == {"executors"}
        self._pods = {
            name: json_format.ParseDict(each, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
            for name, each in platform[1]["deploymentSpec"]["executors"].items()
        }
        self._cluster, self.folder = cluster, folder
        self._mounted: Counter[str] = Counter()

    def run(self, run_id: str, meanwhile: Callable[[Run], None] = lambda run: None) -> Run:
        """Runs it to its end; `meanwhile` is called again and again."""
        run = Run(run_id, dict.fromkeys(self.tasks, "waiting"))
        while "waiting" in run.states.values() or run.pids:
            for name in [name for name, state in run.states.items() if state == "waiting"]:
                before = [run.states[each] for each in self.tasks[name].dependent_tasks]
                if {"failed", "skipped"} & set(before):
                    run.states[name] = "skipped"
                elif len(run.pids) < WORKERS and set(before) <= {"succeeded"} and run.may_start(name):
                    self._start(name, run)
            meanwhile(run)
            for name, pid in list(run.pids.items()):
                code = self._cluster.poll(pid)
                if code is not None:
                    self._end(name, code, run)
            time.sleep(0.02)
        return run

    def log(self, run: Run, name: str) -> str:
        """All that a task printed, in all its attempts."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob(f"{run.id}-{name}-*")))

    def _start(self, name: str, run: Run) -> None:
        component = self.spec.components[self.tasks[name].component_ref.name]
        container = self._containers[component.executor_label]
        assert container["image"] == self._cluster.image, f"cannot pull {container['image']}"
        assert container["command"] == ["tailgan"], container["command"]
        given = {key: _constant(value, run.id) for key, value in self.tasks[name].inputs.parameters.items()}
        assert given.keys() == component.input_definitions.parameters.keys()
        args = [_resolved(arg, given) for arg in container["args"]]
        environment = {each["name"]: each["value"] for each in container.get("env", ())}
        pod = self._pods[component.executor_label]
        for secret in pod.secret_as_env:
            for pair in secret.key_to_env:
                environment[pair.env_var] = self._cluster.secrets[secret.secret_name][pair.secret_key]
        for mount in pod.pvc_mount:
            self._mount(mount.mount_path, self._cluster.volumes[mount.constant])
        run.attempts[name] += 1
        run.states[name] = "running"
        log = self.folder / f"{run.id}-{name}-{run.attempts[name]}"
        run.pids[name] = self._cluster.start(args, environment, log)

    def _end(self, name: str, code: int, run: Run) -> None:
        del run.pids[name]
        for mount in self._pods[self.spec.components[self.tasks[name].component_ref.name].executor_label].pvc_mount:
            self._unmount(mount.mount_path)
        policy = self.tasks[name].retry_policy
        if code == 0:
            run.states[name] = "succeeded"
            run.order.append(name)
        elif run.attempts[name] <= policy.max_retry_count:
            run.states[name] = "waiting"
            wait = policy.backoff_duration.seconds * policy.backoff_factor ** (run.attempts[name] - 1)
            run.not_before[name] = time.monotonic() + min(wait, policy.backoff_max_duration.seconds)
        else:
            run.states[name] = "failed"

    def _mount(self, path: str, folder: Path) -> None:
        """A volume is there while a task runs that asked for it."""
        if not self._mounted[path]:
            Path(path).symlink_to(folder)
        self._mounted[path] += 1

    def _unmount(self, path: str) -> None:
        self._mounted[path] -= 1
        if not self._mounted[path]:
            Path(path).unlink()


def _constant(value, run_id: str) -> str:
    text = value.runtime_value.constant.string_value
    if text == RUN_ID:
        return run_id
    assert "{{" not in text, f"{text} would be handed over as it is"
    return text


def _resolved(arg: str, given: dict[str, str]) -> str:
    text = re.sub(r"\{\{\$\.inputs\.parameters\['(\w+)'\]\}\}", lambda match: given[match[1]], arg)
    assert "{{" not in text, f"{text} would be handed over as it is"
    return text
