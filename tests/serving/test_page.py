"""The page at `/`, clicked in Chromium, of `tailgan serve` and of the endpoint alone."""

import base64
import io
import json
import shutil
import time
import urllib.parse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.evaluator.constants import EVALUATION_FILE, SAMPLES_FILE
from models.dataset import DatasetInfo
from models.generator import Generator
from pipeline import report, results
from pipeline.record import NodeRecord, RunRecord
from serving.client import Client
from serving.human_evaluation import append

pytestmark = pytest.mark.e2e
CARD = """# Model card

## <img src=x onerror=document.title='caught'>

- a `b` **c**

| a | b |
| --- | --- |
| 1 | 2 |
"""
REAL = 3  # images of each class
READY = "document.querySelectorAll('#grid img').length > 0"


@pytest.fixture(scope="module")
def classes(exported) -> list[str]:
    return json.loads((exported / "assets.extra" / "tailgan.json").read_text())["classes"]


@pytest.fixture(scope="module")
def root(exported, classes, tmp_path_factory) -> Path:
    """A root with a run that pushed `exported`; its real images of class k are of grey level k."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(exported, root / "serving" / "generator" / "3")
    (root / "serving" / "generator" / "3" / "assets.extra" / "modelcard.md").write_text(CARD)
    ones = (REAL,) * len(classes)
    info = DatasetInfo(
        classes=tuple(classes), image_shape=(8, 8, 1), fingerprint="f" * 64, counts={"train": ones, "eval": ones},
        train_unique=ones, source_counts=ones, class_weights=(1.0,) * len(classes),
    )  # fmt: skip
    nodes = {}
    for node, key in (("ExampleGen", "examples"), ("Rebalancer", "examples"), ("Evaluator", "evaluation")):
        (root / node).mkdir()
        nodes[node] = NodeRecord(state="complete", seconds=1.0, outputs={key: [str(root / node)]})
        if key == "examples":
            info.save(str(root / node))
    images = np.zeros((len(classes), 10, 8, 8, 1), np.uint8)
    images[:] = np.arange(len(classes))[:, None, None, None, None]
    np.savez(root / "Evaluator" / SAMPLES_FILE, real=images, generated=images, real_count=ones)
    RunRecord(
        run_id="r", pid=1, started="now", outcome="pushed", serving_dir=str(root / "serving" / "generator"),
        config={"name": "test", "gan": {}}, nodes=nodes,
    ).save(root)  # fmt: skip
    return root


@pytest.fixture(scope="module")
def url(root, start_server_once) -> str:
    server = start_server_once(f"--root={root}", program=("pipeline.cli", "serve"))
    server.wait_for("generator")
    return f"http://{server.rest}"


@pytest.fixture
def page(browser, url):
    """The page, loaded; at the end it has complained of nothing, and asked nobody else."""
    browser.show(f"{url}/")
    browser.wait(READY)
    yield browser
    assert browser.messages == []
    assert {urllib.parse.urlsplit(asked).netloc for asked in browser.requests} <= {
        urllib.parse.urlsplit(url).netloc,
        "",
    }


def shown(page, selector: str) -> list[bytes]:
    """PNG files of images."""
    sources = page.value(f"[...document.querySelectorAll({json.dumps(selector)})].map((image) => image.src)")
    return [base64.b64decode(source.removeprefix("data:image/png;base64,")) for source in sources]


def text(page, identity: str) -> str:
    return page.value(f"document.getElementById('{identity}').textContent")


def set_to(page, identity: str, value) -> None:
    page.value(f"document.getElementById('{identity}').value = {json.dumps(str(value))}")


def test_the_images_chosen_are_those_of_the_generator(page, exported):
    generator = Generator(str(exported))
    assert shown(page, "#grid img") == generator.generate_png(np.repeat(np.arange(10), 8), np.tile(np.arange(8), 10))
    page.click("#none")
    page.click("#classes label:nth-child(3)")
    page.click("#classes label:nth-child(4)")
    set_to(page, "seed", -2)
    set_to(page, "count", 3)
    page.click("#images .main")
    page.wait("document.querySelectorAll('#grid img').length == 6")
    expected = generator.generate_png(np.array([2, 2, 2, 3, 3, 3]), np.array([-2, -1, 0] * 2))
    assert shown(page, "#grid img") == expected
    assert page.value("[...document.querySelectorAll('#grid th')].map((head) => head.textContent)") == [
        "-2", "-1", "0", "<b>two</b>", "a/b"
    ]  # fmt: skip
    assert page.value("document.querySelector('#grid img').alt") == "<b>two</b>, seed -2"
    page.click("#more")
    page.wait("document.querySelector('#grid th').textContent == '1'")


def test_truncation_is_moved_by_the_keyboard(page, url):
    page.value("document.getElementById('truncation').focus()")
    before = shown(page, "#grid img")
    page.press("ArrowLeft")
    first = json.dumps(page.value("document.querySelector('#grid img').src"))
    page.wait(f"document.querySelector('#grid img').src != {first}")
    assert text(page, "truncation-value") == "0.95"
    with Client(url) as client:
        rows = {"label": np.repeat(np.arange(10), 8), "seed": np.tile(np.arange(8), 10), "truncation": [0.95] * 80}
        assert shown(page, "#grid img") == client.predict(rows, "truncated")["image_bytes"].tolist() != before


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [("count", 60, "at most 400 images at once"), ("seed", 2**60, "seeds up to 2^53")],
)
def test_what_is_too_much_is_told(page, field, value, says):
    set_to(page, field, value)
    page.click("#images .main")
    page.wait("!document.getElementById('fault').hidden")
    assert says in text(page, "fault")
    assert len(shown(page, "#grid img")) == 80


def test_images_are_saved(page, exported, tmp_path):
    page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.click("#download")
    page.click("#grid tr:nth-child(3) td:nth-child(3) a")
    grid, single = tmp_path / "generator-3-seed-0.png", tmp_path / "0-1.png"
    deadline = time.monotonic() + 30
    while not (grid.exists() and single.exists()):
        assert time.monotonic() < deadline, list(tmp_path.iterdir())
        time.sleep(0.05)
    assert single.read_bytes() == shown(page, "#grid tr:nth-child(3) td:nth-child(3) img")[0]
    pixels = np.asarray(Image.open(grid).convert("L"))
    assert pixels.shape == (10 * 9 - 1, 8 * 9 - 1)
    assert (pixels[9:17, 9:17] == np.asarray(Image.open(single))).all() and (pixels[:, 8] == 128).all()


def test_the_slider_goes_from_one_vector_to_the_other(page, url):
    page.wait("document.getElementById('between').src")
    ends = page.value(
        "import('/ui/latent.js').then(({ normal, between }) => "
        "[0, 1].map((t) => between(normal(1, 8), normal(2, 8), t)))"
    )
    with Client(url) as client:
        images = client.predict({"label": [0, 0], "z": ends}, "latent")["image_bytes"].tolist()
    page.value("document.getElementById('position').focus()")
    first = shown(page, "#between")[0]
    page.press("ArrowRight")
    assert text(page, "position-value") == "0.03"
    for _ in range(40):
        page.press("ArrowRight")
    assert text(page, "position-value") == "1.00"

    def near(png: bytes, other: bytes) -> bool:  # another size of batch
        pixels = [np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in (png, other)]
        return np.abs(pixels[0] - pixels[1]).max() <= 1

    assert near(first, images[0]) and near(shown(page, "#between")[0], images[1]) and not near(first, images[1])
    assert len(shown(page, "#way img")) == 9


def test_latent_vectors_are_normal_and_the_way_between_them_keeps_their_length(page):
    many, way = page.value(
        "import('/ui/latent.js').then(({ normal, between }) => [normal(7, 20000), "
        "[0, 0.25, 0.5, 1].map((t) => between([1, 0, 0], [0, 0, 1], t))])"
    )
    values = np.array(many)
    assert abs(values.mean()) < 0.03 and abs(values.std() - 1) < 0.03 and abs((values**4).mean() - 3) < 0.3
    assert np.linalg.norm(way, axis=1) == pytest.approx(1) and way[2] == pytest.approx([0.5**0.5, 0, 0.5**0.5])


def test_the_card_is_text(page):
    assert page.value("document.title") == "tailgan: generator"
    assert page.value("document.querySelectorAll('#card img, #card script').length") == 0
    card = page.value("document.getElementById('card').innerHTML")
    assert card == (
        "<h2>Model card</h2><h3>&lt;img src=x onerror=document.title='caught'&gt;</h3>"
        "<ul><li>a <code>b</code> <strong>c</strong></li></ul>"
        '<div class="scroll"><table><tr><th scope="col">a</th><th scope="col">b</th></tr>'
        "<tr><td>1</td><td>2</td></tr></table></div>"
    )


def test_guesses_are_kept_counted_and_shown_in_the_report(page, root, classes):
    file = root / "human_evaluation.jsonl"
    file.unlink(missing_ok=True)
    set_to(page, "guess-class", classes[2])
    page.click("#start")
    asked = 0
    truths = []
    while asked < 20:
        page.wait("!document.getElementById('asked').hidden && document.getElementById('shown').src")
        (png,) = shown(page, "#shown")
        truths.append("real" if (np.asarray(Image.open(io.BytesIO(png))) == 2).all() else "made")
        if asked % 2:
            page.press("r")
        else:
            page.click("#made")
        asked += 1
        page.wait(f"/of {asked} times/.test(document.getElementById('told').textContent)")
        page.wait(f"document.querySelector('#results td')?.textContent == '{asked}'")
        assert f"it was {truths[-1]}" in text(page, "told")
        if "all real images" in text(page, "told"):
            break
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["guess"] for row in rows] == ["made", "real"] * (asked // 2) + ["made"] * (asked % 2)
    assert [row["shown"] for row in rows] == truths and truths.count("real") == REAL
    assert {(row["name"], row["version"], row["model"]) for row in rows} == {(classes[2], 3, "generator")}
    assert page.value("document.getElementById('asked').hidden")
    right = sum(row["guess"] == row["shown"] for row in rows)
    assert page.value("[...document.querySelectorAll('#results td')].map((cell) => cell.textContent)")[:2] == [
        str(asked), str(right)
    ]  # fmt: skip


def test_before_the_guess_nothing_tells_the_answer(url, server_at):
    server = server_at(urllib.parse.urlsplit(url).netloc, "")

    def post(path: str, **body) -> dict:
        answer = server.ask("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return {"http": answer.status, **json.loads(answer.body)}

    session, chunks = None, {"real": set(), "made": set()}
    for _ in range(12):
        got = post("/ui/question", model="generator", **{"class": None}, session=session)
        session = got["session"]
        assert set(got) == {"http", "session", "token", "class", "image"}
        png = base64.b64decode(got["image"])
        kind = post("/ui/answer", token=got["token"], guess="real")["shown"]
        chunks[kind].add(png[:33] + png[-12:])  # header, and what follows the pixels
        assert png.count(b"IDAT") == 1
        assert post("/ui/answer", token=got["token"], guess="made")["http"] == 404
    assert len(chunks["real"] | chunks["made"]) == 1 and chunks["real"] and chunks["made"]
    assert post("/ui/answer", token="x", guess="perhaps")["http"] == 400
    assert post("/ui/question", model="generator", **{"class": "nope"})["http"] == 404
    assert post("/ui/question", model="nope")["http"] == 404
    # What another site's page could send without being asked for leave.
    simple = server.ask("POST", "/ui/answer", b'{"guess": "real"}', {"Content-Type": "text/plain"})
    assert simple.status == 415
    assert server.ask("POST", "/ui/answer", b"[" * 5000, {"Content-Type": "application/json"}).status == 413
    assert server.ask("POST", "/ui/answer", b"[1]", {"Content-Type": "application/json"}).status == 400


def test_the_report_shows_what_people_said(root, document, classes):
    evaluation = document()
    fingerprint = json.loads((root / "serving/generator/3/assets.extra/tailgan.json").read_text())["fingerprint"]
    rows = dict.fromkeys(classes, next(iter(evaluation["per_class"].values())))
    (root / "Evaluator" / EVALUATION_FILE).write_text(
        json.dumps({**evaluation, "generator": fingerprint, "per_class": rows})
    )
    row = {"name": classes[2], "shown": "real", "guess": "made"}
    for version in (2, 3):
        append(root / "human_evaluation.jsonl", {**row, "version": version})
    told = results.collect(root)["human_evaluation"][classes[2]]
    assert set(told) == {"shown", "right", "lo", "hi"} and told["shown"] > told["right"]
    rendered = report.render(root)
    assert "What people take for real" in rendered and "<b>two</b>" not in rendered
    (root / "Evaluator" / EVALUATION_FILE).write_text(json.dumps({**evaluation, "per_class": rows}))
    assert results.collect(root)["human_evaluation"] == {}  # of another generator nobody said anything
    assert "What people take for real" not in report.render(root)


def test_what_an_older_export_lacks_is_not_offered(browser, start_server, exports, tmp_path):
    images = [np.full((2, 8, 8, 1), 40 * label, np.uint8) for label in range(3)]
    exports.table(tmp_path / "m" / "1", images, classes=["a", "b", "c"])
    server = start_server("--model_name=m", f"--model_base_path={tmp_path / 'm'}")
    server.wait_for("m")
    browser.show(f"http://{server.rest}/")
    browser.wait(READY)
    assert len(shown(browser, "#grid img")) == 24
    hidden = ("latent", "guess", "card", "truncation-control", "model-choice", "fault")
    assert browser.value(f"{json.dumps(hidden)}.map((id) => document.getElementById(id).hidden)") == [True] * 6
    assert server.ask("POST", "/ui/question", b"{}").status == 404 == server.ask("GET", "/ui/results").status
    assert browser.messages == []


def test_a_page_without_a_model_waits_for_one(browser, start_server, exported, tmp_path):
    (tmp_path / "m").mkdir()
    server = start_server("--model_name=m", f"--model_base_path={tmp_path / 'm'}")
    browser.show(f"http://{server.rest}/")
    browser.wait("document.getElementById('about').textContent == 'm: waiting for a version'")
    shutil.copytree(exported, tmp_path / "m" / "3")
    browser.wait(READY)
    assert "m, version 3, 10 classes" in text(browser, "about")


def test_only_what_belongs_to_the_page_is_served_and_as_its_own(url, server_at):
    server = server_at(urllib.parse.urlsplit(url).netloc, "")
    answer = server.ask("GET", "/")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert server.ask("GET", "/ui/page.js").headers["content-type"].startswith("text/javascript")
    for path in ("/ui/", "/ui/nope.js", "/ui/../ui.py", "/ui/..%2Fui.py", "/index.html", "/nope"):
        assert server.ask("GET", path).status == 404
    assert server.ask("POST", "/").status == 404
    assert server.ask("GET", "/v1/models/generator").status == 200


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (380, True)])
def test_it_fits_the_screen_and_its_text_can_be_read(page, url, width, dark):
    page.show(f"{url}/", width=width, dark=dark)
    page.wait(READY)
    assert page.value("document.documentElement.scrollWidth") <= width
    lowest = page.value(
        """(() => {
            const light = (css) => css.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
                .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
            const ground = (e) => {
                const colour = getComputedStyle(e).backgroundColor;
                return /, 0\\)/.test(colour) ? ground(e.parentElement) : colour;
            };
            const ratios = [...document.querySelectorAll("p, h1, h2, h3, label, button, th, td, li, input, select")]
                .filter((e) => e.checkVisibility() && e.textContent.trim())
                .map((e) => [light(getComputedStyle(e).color), light(ground(e))].sort((a, b) => b - a))
                .map(([a, b]) => (a + 0.05) / (b + 0.05));
            return Math.min(...ratios);
        })()"""
    )
    assert lowest >= 4.5  # WCAG 2.2, 1.4.3
    nameless = page.value(
        """[...document.querySelectorAll("input, select, button, img")]
            .filter((e) => e.checkVisibility() && !e.labels?.length && !e.textContent.trim() && !e.hasAttribute("alt"))
            .map((e) => e.id)"""
    )
    assert nameless == []
