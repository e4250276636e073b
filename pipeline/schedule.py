"""Recurring runs on Kubeflow Pipelines, and what came of them.

One experiment of tailgan is one experiment, one pipeline and one recurring run there, all of the configuration's name.
"""

import contextlib
import hashlib
import io
import json
import tempfile
import urllib.parse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import kfp
import kfp_server_api
import urllib3

from pipeline.config import ConfigError
from pipeline.network import reach

PAGE = 50
VERSION_LENGTH = 12  # characters of a hash, of which a version of a pipeline is named

Done = Literal["created", "unchanged", "replaced"]


_LOG_IN = "log in as KFP's own client does: a cookie or a header in ~/.config/kfp/context.json (docs/kubeflow.md)"


class ServiceError(Exception):
    """Kubeflow Pipelines did not do what it was asked to; the message says what it answered."""


@dataclass(frozen=True)
class Schedule:
    """A recurring run: `cron` has six fields, `version` is the id of the pipeline's version."""

    id: str
    name: str
    cron: str
    version: str
    enabled: bool
    max_concurrency: int
    no_catchup: bool

    def does(self, cron: str, version: str) -> bool:
        """Whether it does what is asked for, and one run at a time."""
        return (self.cron, self.version, self.enabled, self.max_concurrency, self.no_catchup) == (
            cron, version, True, 1, True,
        )  # fmt: skip


class _Client(kfp.Client):
    def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:
        """Once; the client itself hides the cause for half a minute, and then says something else."""
        return self._healthz_api.healthz_service_get_healthz()

    def is_answered(self) -> bool:
        """Whether the service answers, and not a page for people, which the client takes for an empty answer."""
        _, _, headers = self._healthz_api.healthz_service_get_healthz_with_http_info()
        return "json" in headers.get("Content-Type", "")


class Service:
    """Kubeflow Pipelines at an address; authentication is that of its own client (`~/.config/kfp/context.json`)."""

    def __init__(self, host: str, namespace: str | None = None):
        """Connects.

        Args:
          host: address, such as `http://localhost:8080`; https where it names no protocol.
          namespace: of a deployment with several users.

        Raises:
          ConfigError: if `host` is no address, cannot be reached, or does not let us in.
          ServiceError: if it does not work.
        """
        self.host = host if "://" in host else f"https://{host}"
        try:
            address = urllib.parse.urlsplit(self.host)
            port = address.port or (443 if address.scheme == "https" else 80)
        except ValueError as error:
            raise ConfigError(f"--host {host}: {error}") from None
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ConfigError(f"--host {host}: not an address such as http://localhost:8080")
        try:
            reach(address.hostname, port).close()
        except ConfigError as error:
            raise ConfigError(f"--host {host}: {error}") from None
        self._namespace = namespace
        with self._asking(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # that services older than two years do not work
            self._client = _Client(self.host, namespace=namespace or "kubeflow")
            if not self._client.is_answered():
                raise ConfigError(f"{self.host}: answers with a page; {_LOG_IN}")

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Silences the client's links, and says what the service answered."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except kfp_server_api.ApiException as error:
            if error.status in (401, 403):
                raise ConfigError(f"{self.host}: refused ({error.status} {error.reason}); {_LOG_IN}") from None
            raise ServiceError(f"{self.host}: {error.status} {error.reason}: {_told(error.body)}") from None
        except urllib3.exceptions.HTTPError as error:
            raise ServiceError(f"{self.host}: {error}") from None

    def set(self, name: str, cron: str, package: str) -> Done:
        """Has a pipeline run at the times of `cron`, of six fields, and at no others; twice is as good as once.

        A new recurring run is there before an old one is removed, so that none is missed if this is interrupted. What
        an interrupted call left over is removed by the next.

        Args:
          name: of experiment, pipeline and recurring run.
          cron: six fields.
          package: the compiled pipeline, in YAML.
        """
        with self._asking():
            experiment = self._experiment(name)
            pipeline, version = self._upload(name, package)
            before = self._schedules(name, experiment)
            kept = next((each for each in before if each.does(cron, version)), None)
            if kept is None:
                self._client.create_recurring_run(
                    experiment_id=experiment,
                    job_name=name,
                    cron_expression=cron,
                    max_concurrency=1,
                    no_catchup=True,
                    pipeline_id=pipeline,
                    version_id=version,
                )
            others = [each for each in before if each is not kept]
            for each in others:
                self._client.delete_recurring_run(each.id)
        if kept is None:
            return "replaced" if before else "created"
        return "replaced" if others else "unchanged"

    def schedules(self, name: str) -> list[Schedule]:
        """The recurring runs of a name, of which there is one at most unless others made more."""
        with self._asking():
            experiment = self._find_experiment(name)
            return self._schedules(name, experiment) if experiment else []

    def pause(self, name: str) -> int:
        """Stops recurring runs from starting, until they are set again; how many there are."""
        found = self.schedules(name)
        with self._asking():
            for each in found:
                self._client.disable_recurring_run(each.id)
        return len(found)

    def delete(self, name: str) -> int:
        """Removes recurring runs; their pipeline, and what ran, stay. How many there were."""
        found = self.schedules(name)
        with self._asking():
            for each in found:
                self._client.delete_recurring_run(each.id)
        return len(found)

    def run_now(self, name: str, package: str) -> str:
        """Starts one run; its id."""
        with self._asking():
            experiment = self._experiment(name)
            pipeline, version = self._upload(name, package)
            run = self._client.run_pipeline(experiment, job_name=name, pipeline_id=pipeline, version_id=version)
            return run.run_id

    def runs(self, count: int, name: str | None = None) -> list[Any]:
        """The last runs, V2beta1Run, the newest first; of one experiment or of all.

        Raises:
          ConfigError: if there is no experiment of that name.
        """
        with self._asking():
            experiment = self._find_experiment(name) if name else None
            if name and not experiment:
                raise ConfigError(f"{self.host}: no experiment `{name}`")
            found = self._client.list_runs(
                page_size=count, sort_by="created_at desc", experiment_id=experiment, namespace=self._namespace
            )
            return found.runs or []

    def _find_experiment(self, name: str) -> str | None:
        found = _pages(
            lambda token: self._client.list_experiments(token, PAGE, namespace=self._namespace, filter=_named(name)),
            "experiments",
        )
        return next((each.experiment_id for each in found if each.display_name == name), None)

    def _experiment(self, name: str) -> str:
        found = self._find_experiment(name)
        return found or self._client.create_experiment(name, namespace=self._namespace).experiment_id

    def _upload(self, name: str, package: str) -> tuple[str, str]:
        """Ids of the pipeline of this name and of its version with these bytes; what is not there is uploaded."""
        version = hashlib.sha256(package.encode()).hexdigest()[:VERSION_LENGTH]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pipeline.yaml"
            path.write_text(package, encoding="utf-8")
            pipeline = self._find_pipeline(name)
            if pipeline is None:  # comes with a version of the pipeline's own name, which tells nothing of its bytes
                pipeline = self._client.upload_pipeline(str(path), name, namespace=self._namespace).pipeline_id
            found = _pages(
                lambda token: self._client.list_pipeline_versions(pipeline, token, PAGE, filter=_named(version)),
                "pipeline_versions",
            )
            for each in found:
                if each.display_name == version:
                    return pipeline, each.pipeline_version_id
            made = self._client.upload_pipeline_version(str(path), version, pipeline_id=pipeline)
            return pipeline, made.pipeline_version_id

    def _find_pipeline(self, name: str) -> str | None:
        found = _pages(
            lambda token: self._client.list_pipelines(token, PAGE, namespace=self._namespace, filter=_named(name)),
            "pipelines",
        )
        return next((each.pipeline_id for each in found if each.display_name == name), None)

    def _schedules(self, name: str, experiment: str) -> list[Schedule]:
        found = _pages(
            lambda token: self._client.list_recurring_runs(token, PAGE, experiment_id=experiment, filter=_named(name)),
            "recurring_runs",
        )
        return [_schedule(each) for each in found if each.display_name == name]


def _pages(ask: Callable[[str], Any], key: str) -> Iterator[Any]:
    """What is listed, page by page."""
    token = ""
    while True:
        page = ask(token)
        yield from getattr(page, key) or ()
        token = page.next_page_token
        if not token:
            return


def _named(name: str) -> str:
    """A filter of the service."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _schedule(found: Any) -> Schedule:
    trigger, version = found.trigger, found.pipeline_version_reference
    cron = trigger.cron_schedule.cron if trigger and trigger.cron_schedule else ""
    return Schedule(
        id=found.recurring_run_id,
        name=found.display_name,
        cron=cron,
        version=version.pipeline_version_id if version else "",
        # What it was told to, and what is told of it, which for a moment after its creation is nothing.
        enabled=found.mode != "DISABLE" and found.status != "DISABLED",
        max_concurrency=int(found.max_concurrency or 1),
        no_catchup=bool(found.no_catchup),
    )


def _told(body: Any) -> str:
    """The sentence in an answer of the service."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    try:
        answer = json.loads(text)
        return str(answer.get("error_message") or answer.get("message") or text)
    except (ValueError, AttributeError):
        return text.strip().partition("\n")[0][:200]
