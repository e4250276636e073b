"""What a real TensorFlow Serving answered, asked again of the local endpoint; skips where the recordings are not.

`TAILGAN_DATA` names the folder that has them in `tf_serving/`, with the program that made their models. README.md names
the rows that are not compared, and says why.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
)

DATA = Path(os.environ.get("TAILGAN_DATA", Path(__file__).resolve().parents[3] / "shared")) / "tf_serving"
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings in {DATA}; TAILGAN_DATA names another place"),
]
# Rows that are not compared: README.md says why.
ANSWERED_OTHERWISE = {
    "predict_method_BREW": "the HTTP parser",
    "path_root": "our page",
    "session_run_unknown_service": "gRPC's own text",
    "unknown_method": "gRPC's own text",
    "reflection": "gRPC's own text",
    "status_after_5_and_7_removed": "we roll back at once",
    "reload_broken_model": "a broken version does not end the good one",
    "reload_after_broken": "a broken version does not end the good one",
    "health_check_when_not_enabled": "health is always there",
    "good_config_afterwards reload_no_platform": "a bad configuration changes nothing",
    "good_config_afterwards reload_missing_base_path": "a bad configuration changes nothing",
}
# Which of several faults is named first, in the server's hash order.
VOLATILE = {"column_scalar_for_vector", "by_name_unknown_binary"}
GEN = (
    'config {{ name: "gen" base_path: "{models}/gen" model_platform: "tensorflow" model_version_policy '
    "{{ {policy} }} {labels} }}"
)
BOTH = "specific { versions: 1 versions: 3 }"
RESPONSES = {
    "Predict": predict_pb2.PredictResponse,
    "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataResponse,
    "GetModelStatus": get_model_status_pb2.GetModelStatusResponse,
    "HandleReloadConfigRequest": model_management_pb2.ReloadConfigResponse,
}


def recorded(file: str, *servers: str) -> Iterator[dict]:
    for line in (DATA / file).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        names = (row["name"], f"{row['name']} {row['server']}")
        if row["server"] in servers and not any(name in ANSWERED_OTHERWISE for name in names):
            yield row


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """The models that were asked: gen (1 and 3), gen_broken (1, and 2 which is empty), nodef."""
    folder = tmp_path_factory.mktemp("recorded")
    program = (
        "import runpy, sys, tensorflow as tf\n"
        f"sys.argv = ['make_model.py', {str(folder / 'gen')!r}, '1', '3']\n"
        f"made = runpy.run_path({str(DATA / 'make_model.py')!r})\n"
        "gen = made['Gen'](1)\n"
        f"tf.saved_model.save(gen, {str(folder / 'nodef' / '1')!r}, signatures={{'array': gen.array}})\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    shutil.copytree(folder / "gen" / "1", folder / "gen_broken" / "1")
    (folder / "gen_broken" / "2").mkdir()
    (folder / "empty").mkdir()
    return folder


def config(models: Path, policy: str = BOTH, labels: dict[str, int] | None = None, others: str = "") -> str:
    texts = " ".join(f'version_labels {{ key: "{key}" value: {value} }}' for key, value in (labels or {}).items())
    return f"model_config_list {{ {GEN.format(models=models, policy=policy, labels=texts)} {others} }}\n"


def asked_body(request: dict) -> bytes | None:
    """The body of a recorded request; long ones are described only."""

    def rows(count: int) -> list:
        return [{"label": i % 10, "seed": i} for i in range(count)]

    if "body_text" in request:
        return request["body_text"].encode()
    if "body_base64" in request:
        return base64.b64decode(request["body_base64"])
    if "body_text_head" in request:
        depth = (request["body_bytes"] - 34) // 2
        return b'{"signature_name":"one","inputs":' + b"[" * depth + b"]" * depth + b"}"
    described = {
        "array, rows (i % 10, i) for i in range(50)": {"signature_name": "array", "instances": rows(50)},
        "array, rows (i % 10, i) for i in range(5000)": {"signature_name": "array", "instances": rows(5000)},
        "array, 1001 rows (0, 7)": {"signature_name": "array", "instances": [{"label": 0, "seed": 7}] * 1001},
        "array, 20000 rows label 1, seeds range(20000)": {
            "signature_name": "array",
            "inputs": {"label": [1] * 20000, "seed": list(range(20000))},
        },
        "one, inputs: list(range(20000))": {"signature_name": "one", "inputs": list(range(20000))},
        "size, one string of 20e6 letters a": {"signature_name": "size", "instances": ["a" * 20_000_000]},
    }
    body = described[request["body_elided"]] if "body_elided" in request else request.get("body")
    return None if body is None else json.dumps(body).encode()


def comparable(value: object, models: Path) -> str:
    return json.dumps(value, sort_keys=True).replace(str(models), "/models")


def differences_of_rest(server, models: Path, row: dict) -> list:
    asked, wanted = row["request"], row["response"]
    answer = server.ask(asked["method"], asked["path"], asked_body(asked), asked.get("headers"))
    if row.get("volatile") or row["name"] in VOLATILE:
        return [] if answer.status == wanted["status"] else [(row["name"], answer.status)]
    got: list = [answer.status, answer.headers.get("content-type")]
    want: list = [wanted["status"], wanted["content_type"]]
    if wanted.get("body") is not None:
        got.append(comparable(json.loads(answer.body), models))
        want.append(comparable(wanted["body"], models))
    elif row["name"] == "large_batch_one_20000":  # several outputs, in any order
        got.append(len(answer.body))
        want.append(wanted["body_bytes"])
    elif "body_sha256" in wanted:
        got.append(hashlib.sha256(answer.body).hexdigest())
        want.append(wanted["body_sha256"])
    elif "body_text_base64" in wanted:
        got.append(answer.body)
        want.append(base64.b64decode(wanted["body_text_base64"]))
    elif not row["name"].startswith("metrics_") or wanted["status"] != 200:
        got.append(answer.body.decode())
        want.append(wanted["body_text"])
    told_elsewhere = row["name"].startswith("metrics_") or str(models) in answer.body.decode("latin-1")
    if asked["method"] != "HEAD" and not told_elsewhere:
        got.append(len(answer.body))  # layout and white space
        want.append(wanted["body_bytes"])
    return [] if got == want else [(row["name"], got, want)]


def rest_rows(*servers: str) -> Iterator[dict]:
    """Those that another client can ask, of servers that answered."""
    for row in recorded("rest.jsonl", *servers):
        if "method" in row["request"] and row["response"].get("status"):
            yield row


def test_rest_and_grpc(start_server, models, tmp_path):
    others = (
        f'config {{ name: "gen_broken" base_path: "{models}/gen_broken" model_platform: "tensorflow" '
        f"model_version_policy {{ all {{ }} }} }} "
        f'config {{ name: "nodef" base_path: "{models}/nodef" model_platform: "tensorflow" }}'
    )
    (tmp_path / "models.config").write_text(config(models, labels={"stable": 1, "canary": 3}, others=others))
    (tmp_path / "monitoring.config").write_text("prometheus_config { enable: true }")
    server = start_server(
        f"--model_config_file={tmp_path}/models.config",
        f"--monitoring_config_file={tmp_path}/monitoring.config",
        "--allow_version_labels_for_unavailable_models=true",
        "--max_num_load_retries=0",
    )
    for name, version in (("gen", 1), ("gen", 3), ("gen_broken", 1), ("nodef", 1)):
        server.wait_for(name, version)
    server.wait_for("gen_broken", 2, "END")
    found = [difference for row in rest_rows("main", "deep") for difference in differences_of_rest(server, models, row)]
    for row in recorded("grpc.jsonl", "main"):
        if row["name"] == "reload_still_works_2":
            break  # what follows was asked after reloads that are not recorded
        found += differences_of_grpc(server, models, row)
    assert found == []


def differences_of_grpc(server, models: Path, row: dict) -> list:
    asked, wanted = row["request"], row["response"]
    if "body_elided_bytes" in asked:
        return []
    body = base64.b64decode(asked.get("body_base64", ""))
    if "ReloadConfig" in asked["method"]:
        # The recording's base paths have other names in the bytes than in the text.
        request = model_management_pb2.ReloadConfigRequest.FromString(body)
        for entry in request.config.model_config_list.config:
            if entry.base_path.startswith("/"):
                entry.base_path = str(models / Path(entry.base_path).name)
        body = request.SerializeToString()
    with grpc.insecure_channel(server.grpc) as channel:
        try:
            answer = channel.unary_unary(asked["method"])(body, timeout=60)
            got: tuple = ("OK", "")
        except grpc.RpcError as error:
            got = (error.code().name, (error.details() or "").replace(str(models), "/models"))
    want = (wanted["code"], wanted["message"])
    if row.get("volatile") or row["name"] in VOLATILE:
        got, want = got[:1], want[:1]
    if got != want:
        return [(row["name"], got, want)]
    kind = RESPONSES.get(asked["method"].rpartition("/")[2])
    if want[0] != "OK" or kind is None or "body" not in wanted:
        return []
    told = json_format.MessageToDict(kind.FromString(answer), preserving_proto_field_name=True)
    same = comparable(told, models) == comparable(wanted["body"], models)
    return [] if same else [(row["name"], told, wanted["body"])]


def test_one_model_and_its_new_versions(start_server, models, tmp_path):
    base = tmp_path / "gen"
    shutil.copytree(models / "gen", base)
    server = start_server("--model_name=gen", f"--model_base_path={base}", "--file_system_poll_wait_seconds=0.2")
    server.wait_for("gen", 3)
    found = []
    for row in rest_rows("single"):
        if row["name"] == "status_after_new_version_5":
            shutil.copytree(models / "gen" / "3", base / "5")
            server.wait_for("gen", 5)
            server.wait_for("gen", 3, "END")
        if row["name"] == "predict_after_empty_version_7":
            (base / "7").mkdir()
            server.wait_for("gen", 7, "LOADING")
        found += differences_of_rest(server, models, row)
    assert found == []
    # Where the real server waits for the end of its retries, ours goes back.
    shutil.rmtree(base / "5")
    shutil.rmtree(base / "7")
    server.wait_for("gen", 3)
    server.wait_for("gen", 5, "END")


def test_a_time_limit(start_server, models):
    server = start_server("--model_name=gen", f"--model_base_path={models}/gen", "--rest_api_timeout_in_ms=1")
    server.wait_for("gen", 3)
    assert [d for row in rest_rows("timeout_1ms") for d in differences_of_rest(server, models, row)] == []


def test_batching(start_server, models, tmp_path):
    (tmp_path / "batching.config").write_text(
        "max_batch_size { value: 4 } batch_timeout_micros { value: 2000 } max_enqueued_batches { value: 2 } "
        "num_batch_threads { value: 1 } allowed_batch_sizes: 2 allowed_batch_sizes: 4"
    )
    flags = ("--model_name=gen", f"--model_base_path={models}/gen", "--enable_batching")
    found = []
    for name, more in (
        ("batching", (f"--batching_parameters_file={tmp_path}/batching.config",)),
        ("batching_default", ()),
    ):
        server = start_server(*flags, *more)
        server.wait_for("gen", 3)
        for row in rest_rows(name):
            found += differences_of_rest(server, models, row)
        for row in recorded("grpc.jsonl", name):
            found += differences_of_grpc(server, models, row)
    assert found == []


def test_a_file_of_models_that_changes(start_server, models, tmp_path):
    file = tmp_path / "models.config"
    file.write_text(config(models))
    server = start_server(f"--model_config_file={file}", "--model_config_file_poll_wait_seconds=0.2")
    server.wait_for("gen", 1)
    server.wait_for("gen", 3)
    labels = {"stable": 1, "canary": 3}
    ghost = 'config { name: "ghost" base_path: "/ghost" model_platform: "tensorflow" }'
    steps = {
        "reload_1": config(models, labels=labels),
        "reload_2": config(models, labels={"stable": 3, "canary": 3}),
        "reload_3": config(models, labels={"stable": 9}),
        "reload_4": "model_config_list { config { name: ",
        "reload_5": config(models, "latest { num_versions: 1 }"),
        "reload_6": f'model_config_list {{ config {{ name: "nodef" base_path: "{models}/nodef" '
        'model_platform: "tensorflow" } }',
        "reload_7": config(models, others=ghost),
    }
    found = []
    done = "reload_0"
    for row in rest_rows("reload"):
        step = re.match(r"reload_\d", row["name"])
        assert step
        for name in [name for name in steps if done < name <= step[0]]:
            told = server.log.read_text().count(str(file))
            file.write_text(steps[name])
            deadline = time.monotonic() + 60
            while server.log.read_text().count(str(file)) == told and time.monotonic() < deadline:
                time.sleep(0.1)
            time.sleep(1)  # what is no longer wanted is closed after that
        done = max(done, step[0])
        found += differences_of_rest(server, models, row)
    assert found == []


@pytest.mark.parametrize("fault", ["no_platform", "unknown_platform", "no_name", "missing_base_path"])
def test_a_bad_reload_changes_nothing(start_server, models, fault):
    server = start_server("--model_name=gen", f"--model_base_path={models}/gen")
    server.wait_for("gen", 3)
    entry = {
        "no_platform": dict(name="x", base_path=str(models / "gen")),
        "unknown_platform": dict(name="x", base_path=str(models / "gen"), model_platform="other"),
        "no_name": dict(base_path=str(models / "gen"), model_platform="tensorflow"),
        "missing_base_path": dict(name="ghost", base_path=str(models / "ghost"), model_platform="tensorflow"),
    }[fault]
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(name="gen", base_path=str(models / "gen"), model_platform="tensorflow")
    request.config.model_config_list.config.add(**entry)
    with grpc.insecure_channel(server.grpc) as channel, pytest.raises(grpc.RpcError):
        model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(request, timeout=30)
    rows = list(recorded("grpc.jsonl", f"reload_{fault}"))
    assert rows
    assert [difference for row in rows for difference in differences_of_grpc(server, models, row)] == []
