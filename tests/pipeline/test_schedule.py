"""Schedules, against a small server that speaks the API of Kubeflow Pipelines with the models of its own client."""

import datetime
import email
import itertools
import json
import re
import socket
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import kfp_server_api as api
import ml_metadata
import pytest
from ml_metadata.proto import metadata_store_pb2 as pb

from pipeline import cli, metadata
from pipeline.config import ConfigError
from pipeline.schedule import Service, ServiceError

PACKAGE = "pipelineInfo: {name: digits}\nschemaVersion: 2.1.0\n"
CRON = "0 0 3 * * 1"
MODELS = api.ApiClient()


class Answer:
    """What the client reads of an HTTP answer, to have its models read a request."""

    def __init__(self, text):
        self.data = text


def parsed(text, model):
    """A body as a model; a field that the model does not know is refused."""
    found = MODELS.deserialize(Answer(text), model)
    known = set(type(found).attribute_map.values())
    assert set(json.loads(text)) <= known, set(json.loads(text)) - known
    return found


def equal(one, other):
    """As the database behind the service compares."""
    return one.lower() == other.lower()


class Kubeflow(ThreadingHTTPServer):
    """Experiments, pipelines, versions and recurring runs, in memory."""

    page = 2  # however many are asked for

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.kinds = {"experiments": [], "pipelines": [], "pipeline_versions": [], "recurring_runs": [], "runs": []}
        self.calls = []
        self.status = 200
        self.to_log_in = b""
        self.cookie = None
        self._ids = itertools.count(1)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, kind, model):
        """Gives an object an id and keeps it."""
        key = {"pipeline_versions": "pipeline_version_id"}.get(kind, f"{kind.removesuffix('s')}_id")
        setattr(model, key, f"{kind}-{next(self._ids)}")
        model.created_at = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        self.kinds[kind].append(model)
        return model

    def changes(self):
        """The calls since the last time that were no reading."""
        made = [call for call in self.calls if not call.startswith("GET")]
        self.calls.clear()
        return made


class Handler(BaseHTTPRequestHandler):
    server: Kubeflow

    def log_message(self, *_):
        pass

    def do(self):
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = parts.path.removeprefix("/apis/v2beta1")
        assert path != parts.path
        self.server.calls.append(f"{self.command} {path}")
        if self.server.to_log_in:
            return self.send(200, "text/html", self.server.to_log_in)
        if self.server.status != 200:
            return self.answer(self.server.status, {"error_message": "upstream connect error"})
        if self.server.cookie and self.headers.get("Cookie") != self.server.cookie:
            return self.answer(401, {"message": "who are you?"})
        try:
            found = self.route(path, query, body)
        except Exception as error:
            return self.answer(400, {"error_message": f"{type(error).__name__}: {error}"})
        return self.answer(200, found)

    do_GET = do_POST = do_DELETE = do

    def answer(self, status, found):
        self.send(status, "application/json", json.dumps(MODELS.sanitize_for_serialization(found)).encode())

    def send(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def route(self, path, query, body):
        if path == "/healthz":
            return api.V2beta1GetHealthzResponse(multi_user=False)
        if path.startswith("/pipelines/upload"):
            return self.upload(path, query, body)
        if match := re.fullmatch("/pipelines/([^/]+)/versions", path):
            return self.listed(
                "pipeline_versions", query, api.V2beta1ListPipelineVersionsResponse, pipeline_id=match[1]
            )
        if self.command == "GET":
            kind, response = {
                "/experiments": ("experiments", api.V2beta1ListExperimentsResponse),
                "/pipelines": ("pipelines", api.V2beta1ListPipelinesResponse),
                "/recurringruns": ("recurring_runs", api.V2beta1ListRecurringRunsResponse),
                "/runs": ("runs", api.V2beta1ListRunsResponse),
            }[path]
            same = {"experiment_id": query["experiment_id"]} if "experiment_id" in query else {}
            return self.listed(kind, query, response, **same)
        if path == "/experiments":
            return self.server.add("experiments", parsed(body, "V2beta1Experiment"))
        if path == "/runs":
            return self.server.add("runs", self.referring(parsed(body, "V2beta1Run")))
        if path == "/recurringruns":
            made = self.referring(parsed(body, "V2beta1RecurringRun"))
            assert len(made.trigger.cron_schedule.cron.split()) == 6
            made.status = f"{made.mode}D"
            return self.server.add("recurring_runs", made)
        match = re.fullmatch("/recurringruns/([^/:]+)(?::(enable|disable))?", path)
        made = next(each for each in self.server.kinds["recurring_runs"] if each.recurring_run_id == match[1])
        if self.command == "DELETE":
            self.server.kinds["recurring_runs"].remove(made)
        else:
            made.mode = match[2].upper()
            made.status = f"{made.mode}D"
        return {}

    def referring(self, made):
        """An object whose experiment and version are there."""
        reference = made.pipeline_version_reference
        versions = {(each.pipeline_id, each.pipeline_version_id) for each in self.server.kinds["pipeline_versions"]}
        assert (reference.pipeline_id, reference.pipeline_version_id) in versions
        assert made.experiment_id in {each.experiment_id for each in self.server.kinds["experiments"]}
        return made

    def upload(self, path, query, body):
        message = email.message_from_bytes(b"Content-Type: " + self.headers["Content-Type"].encode() + b"\n\n" + body)
        (part,) = [
            each
            for each in message.get_payload()
            if each.get_param("name", header="content-disposition") == "uploadfile"
        ]
        assert b"schemaVersion" in part.get_payload(decode=True)
        if path == "/pipelines/upload":
            assert query["name"] not in {each.display_name for each in self.server.kinds["pipelines"]}
            made = self.server.add("pipelines", api.V2beta1Pipeline(display_name=query["name"]))
            first = api.V2beta1PipelineVersion(pipeline_id=made.pipeline_id, display_name=query["name"])
            self.server.add("pipeline_versions", first)
            return made
        made = api.V2beta1PipelineVersion(pipeline_id=query["pipelineid"], display_name=query["name"])
        taken = {(each.pipeline_id, each.display_name) for each in self.server.kinds["pipeline_versions"]}
        assert (made.pipeline_id, made.display_name) not in taken
        return self.server.add("pipeline_versions", made)

    def listed(self, kind, query, response, **same):
        if "filter" in query:
            (predicate,) = json.loads(query["filter"])["predicates"]
            assert predicate["operation"] in ("EQUALS", 1) and predicate["key"] == "display_name"
            same = {**same, "display_name": predicate["stringValue"]}
        found = [each for each in self.server.kinds[kind] if all(equal(getattr(each, k), v) for k, v in same.items())]
        if query.get("sort_by") == "created_at desc":
            found.reverse()
        start = int(query.get("page_token") or 0)
        size = self.server.page if kind != "runs" else int(query["page_size"])
        more = {"next_page_token": str(start + size)} if start + size < len(found) else {}
        return response(**{kind: found[start : start + size] or None}, **more)


@pytest.fixture
def kubeflow(tmp_path, monkeypatch):
    """The server. A person's own cookies and proxies are none of its business."""
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    server = Kubeflow()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def service(kubeflow):
    return Service(kubeflow.url)


def test_the_first_time_all_is_created_and_the_second_time_nothing(kubeflow, service):
    assert service.set("digits", CRON, PACKAGE) == "created"
    assert kubeflow.changes() == [
        "POST /experiments", "POST /pipelines/upload", "POST /pipelines/upload_version", "POST /recurringruns"
    ]  # fmt: skip
    (made,) = kubeflow.kinds["recurring_runs"]
    assert (made.display_name, made.max_concurrency, made.no_catchup, made.mode) == ("digits", "1", True, "ENABLE")
    assert made.trigger.cron_schedule.cron == CRON
    version = kubeflow.kinds["pipeline_versions"][-1]
    assert made.pipeline_version_reference.pipeline_version_id == version.pipeline_version_id

    assert service.set("digits", CRON, PACKAGE) == "unchanged"
    assert Service(kubeflow.url).set("digits", CRON, PACKAGE) == "unchanged"
    assert kubeflow.changes() == []


@pytest.mark.parametrize(("cron", "package"), [("0 30 4 * * *", PACKAGE), (CRON, PACKAGE + "# other\n")])
def test_what_changed_is_replaced_the_new_one_first(kubeflow, service, cron, package):
    service.set("digits", CRON, PACKAGE)
    (old,) = kubeflow.kinds["recurring_runs"]
    kubeflow.changes()
    assert service.set("digits", cron, package) == "replaced"
    assert kubeflow.changes()[-2:] == ["POST /recurringruns", f"DELETE /recurringruns/{old.recurring_run_id}"]
    (new,) = service.schedules("digits")
    assert new.id != old.recurring_run_id and new.cron == cron
    assert service.set("digits", cron, package) == "unchanged"


@pytest.mark.parametrize("broken", ["max_concurrency", "no_catchup"])
def test_one_that_lets_runs_overlap_or_pile_up_is_replaced(kubeflow, service, broken):
    service.set("digits", CRON, PACKAGE)
    setattr(kubeflow.kinds["recurring_runs"][0], broken, {"max_concurrency": "5", "no_catchup": False}[broken])
    assert service.set("digits", CRON, PACKAGE) == "replaced"
    (now,) = kubeflow.kinds["recurring_runs"]
    assert now.max_concurrency == "1" and now.no_catchup is True


def test_namesakes_are_reduced_to_one_also_over_pages(kubeflow, service):
    service.set("digits", CRON, PACKAGE)
    (kept,) = kubeflow.kinds["recurring_runs"]
    for _ in range(4):
        twin = MODELS.deserialize(Answer(json.dumps(MODELS.sanitize_for_serialization(kept))), "V2beta1RecurringRun")
        kubeflow.add("recurring_runs", twin).trigger.cron_schedule.cron = "0 0 0 1 1 *"
    kubeflow.kinds["recurring_runs"].reverse()  # so that the one to keep is on the last page
    other = kubeflow.add(
        "recurring_runs", api.V2beta1RecurringRun(display_name="Digits", experiment_id=kept.experiment_id)
    )
    assert service.set("digits", CRON, PACKAGE) == "replaced"
    assert kubeflow.kinds["recurring_runs"] == [kept, other]
    assert service.set("digits", CRON, PACKAGE) == "unchanged"


def test_an_interrupted_replacement_is_finished_by_the_next(kubeflow, service, monkeypatch):
    service.set("digits", CRON, PACKAGE)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(service._client, "delete_recurring_run", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        service.set("digits", "0 0 5 * * *", PACKAGE)
    assert len(service.schedules("digits")) == 2
    assert service.set("digits", "0 0 5 * * *", PACKAGE) == "replaced"
    assert [each.cron for each in service.schedules("digits")] == ["0 0 5 * * *"]


def test_paused_it_starts_nothing_until_it_is_set_again(kubeflow, service):
    service.set("digits", CRON, PACKAGE)
    assert service.pause("digits") == 1
    assert kubeflow.kinds["recurring_runs"][0].mode == "DISABLE" and not service.schedules("digits")[0].enabled
    assert service.set("digits", CRON, PACKAGE) == "replaced"
    assert [each.enabled for each in service.schedules("digits")] == [True]


def test_deleted_it_is_gone_and_pipeline_and_experiment_stay(kubeflow, service):
    assert service.delete("digits") == 0 and kubeflow.changes() == []
    service.set("digits", CRON, PACKAGE)
    assert service.delete("digits") == 1
    assert kubeflow.kinds["recurring_runs"] == [] and kubeflow.kinds["pipelines"] and kubeflow.kinds["experiments"]
    assert service.set("digits", CRON, PACKAGE) == "created"


def test_schedules_of_other_names_are_left_alone(kubeflow, service):
    service.set("digits", CRON, PACKAGE)
    service.set("Digits", "0 0 5 * * *", PACKAGE)
    assert [each.display_name for each in kubeflow.kinds["pipelines"]] == ["digits", "Digits"]
    assert service.delete("digits") == 1
    assert [each.display_name for each in kubeflow.kinds["recurring_runs"]] == ["Digits"]


def test_a_run_is_started_at_once_and_listed(kubeflow, service):
    run_ids = [service.run_now("digits", PACKAGE) for _ in range(3)]
    assert [run.run_id for run in service.runs(2)] == run_ids[:0:-1]
    assert [run.run_id for run in service.runs(9, "digits")] == run_ids[::-1]
    with pytest.raises(ConfigError, match="no experiment `none`"):
        service.runs(9, "none")


def test_a_cookie_of_the_clients_own_file_lets_in(kubeflow, tmp_path):
    kubeflow.cookie = "authservice_session=abc"
    with pytest.raises(ConfigError, match=r"refused \(401 .*context\.json"):
        Service(kubeflow.url).schedules("digits")
    context = {"namespace": "", "client_authentication_cookie": kubeflow.cookie}
    (tmp_path / "context.json").write_text(json.dumps(context))
    assert Service(kubeflow.url).schedules("digits") == []


def test_a_page_to_log_in_is_no_answer(kubeflow):
    kubeflow.to_log_in = b"<!DOCTYPE html><title>Log in</title>"
    with pytest.raises(ConfigError, match=r"answers with a page; .*context\.json"):
        Service(kubeflow.url)


def test_a_service_that_does_not_work_is_told_with_what_it_says(kubeflow, service):
    kubeflow.status = 503
    with pytest.raises(ServiceError, match="503 Service Unavailable: upstream connect error"):
        service.set("digits", CRON, PACKAGE)
    with pytest.raises(ServiceError, match="503"):
        Service(kubeflow.url)
    assert kubeflow.changes() == []


def test_a_request_that_is_refused_is_told_with_the_reason(kubeflow, service):
    with pytest.raises(ServiceError, match="400 Bad Request: AssertionError"):
        service.set("digits", "0 3 * * 1", PACKAGE)  # five fields, which the service would take for six


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("http://127.0.0.1:{port}", "127.0.0.1:{port} cannot be reached: Connection refused"),
        ("http://nowhere.invalid", "nowhere.invalid:80 cannot be reached: no such host"),
        ("ftp://127.0.0.1", "not an address such as http://localhost:8080"),
        ("http://127.0.0.1:port", "Port could not be cast"),
    ],
)
def test_a_host_that_cannot_be_reached_is_told_with_the_cause(host, expected):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConfigError) as caught:
        Service(host.format(port=port))
    assert expected.format(port=port) in str(caught.value)


def tailgan(capsys, *args):
    code = cli.main(list(args))
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_line_refuses_bad_times_before_it_asks_anyone(capsys):
    code, _, err = tailgan(
        capsys, "schedule", "configs/digits.yaml", "--host", "http://nowhere.invalid", "--cron", "0 25 * * 1"
    )
    assert code == 2 and "--cron `0 25 * * 1`: character 3, hour: `25`" in err


def test_the_command_line_lists_pauses_and_deletes(kubeflow, service, capsys, monkeypatch):
    command = ("schedule", "configs/digits.yaml")
    assert tailgan(capsys, *command, "--list")[0] == 2  # no host
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", kubeflow.url)
    assert tailgan(capsys, *command, "--list")[1] == "digits: not scheduled\n"
    service.set("digits", CRON, PACKAGE)
    assert f"digits  enabled  cron {CRON}  version " in tailgan(capsys, *command, "--list")[1]
    assert tailgan(capsys, *command, "--pause")[1] == "digits: paused\n"
    assert "digits  paused  cron" in tailgan(capsys, *command, "--list")[1]
    assert tailgan(capsys, *command, "--delete")[1] == "digits: deleted\n"
    assert tailgan(capsys, *command, "--delete")[1] == "digits: not scheduled\n"


def test_the_command_line_shows_the_last_runs(kubeflow, service, capsys, monkeypatch):
    monkeypatch.delenv("TAILGAN_METADATA_URI", raising=False)
    assert tailgan(capsys, "runs", "--host", kubeflow.url)[:2] == (0, "no runs\n")
    run_id = service.run_now("digits", PACKAGE)
    kubeflow.kinds["runs"][0].state = "FAILED"
    kubeflow.kinds["runs"][0].error = api.GooglerpcStatus(message="task gan failed")
    code, out, err = tailgan(capsys, "runs", "--host", kubeflow.url)
    assert code == 0 and re.search(rf"{run_id}  digits  2026-01-01T00:00:00\+00:00  FAILED +- ", out)
    assert "task gan failed" in out and "TAILGAN_METADATA_URI names it" in err
    (row,) = json.loads(tailgan(capsys, "runs", "--host", kubeflow.url, "--json")[1])
    assert row["run_id"] == run_id and row["verdict"] is None and row["fid"] is None


def test_the_command_line_shows_verdict_and_figures_of_the_metadata_store(
    kubeflow, service, capsys, monkeypatch, tmp_path
):
    blessed, figures = {"verdict": "blessed", "fid": 1.25}, ["-", "-", "1.250", "-", "-"]
    expected = {}
    monkeypatch.setenv("TAILGAN_METADATA_URI", f"sqlite:///{tmp_path}/store.db")
    store = ml_metadata.MetadataStore(metadata.connect())
    run_type = store.put_context_type(pb.ContextType(name="pipeline_run"))
    fields = {str: "string_value", float: "double_value", int: "int_value"}
    for shown, evaluation, validation in (
        (["rejected", *figures], {**blessed, "verdict": "rejected"}, {"blessed": 0}),  # no server was started
        (["refused_by_server", *figures], blessed, {"blessed": 0}),
        (["blessed", *figures], blessed, {"blessed": 1}),
        (["blessed", *figures], blessed, {}),
        (["-"] * 6, {}, {}),
    ):
        run_id = service.run_now("digits", PACKAGE)
        expected[run_id] = shown
        (context,) = store.put_contexts([pb.Context(type_id=run_type, name=run_id)])
        for kind, noted in (
            ("ModelEvaluation", evaluation), ("ModelBlessing", {"fid": 9.0}), ("InfraBlessing", validation),
        ):  # fmt: skip
            artifact = pb.Artifact(type_id=store.put_artifact_type(pb.ArtifactType(name=kind)), uri=f"{kind}-{run_id}")
            for key, value in noted.items():
                setattr(artifact.custom_properties[key], fields[type(value)], value)
            (id,) = store.put_artifacts([artifact])
            store.put_attributions_and_associations([pb.Attribution(artifact_id=id, context_id=context)], [])
    code, out, err = tailgan(capsys, "runs", "--host", kubeflow.url)
    assert code == 0 and not err
    assert {line.split()[0]: line.split()[-6:] for line in out.splitlines()[1:]} == expected


def test_the_command_line_compiles_and_schedules_once(kubeflow, capsys):
    command = ("schedule", "configs/digits.yaml", "--host", kubeflow.url)
    code, out, err = tailgan(capsys, *command, "--cron", "0 3 * * 1")
    assert (code, out) == (0, "digits: created\n") and "names no digest" in err
    assert tailgan(capsys, *command, "--cron", "0 3 * * 1")[1] == "digits: unchanged\n"
    assert kubeflow.kinds["recurring_runs"][0].trigger.cron_schedule.cron == "0 0 3 * * 1"
    (run,) = re.findall(r"digits: run (\S+)\n", tailgan(capsys, *command, "--run-now")[1])
    (made,) = kubeflow.kinds["runs"]
    assert made.run_id == run and len(kubeflow.kinds["pipeline_versions"]) == 2
