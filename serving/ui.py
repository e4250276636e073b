"""The page of the local endpoint, at `/` and below `/ui/`: TensorFlow Serving has none.

It makes images by the same REST interface as any client. What that does not tell comes from here: class names, the
model card, and the questions of "real or made?".
"""

import asyncio
import base64
import io
import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from serving.errors import ServingError
from serving.human_evaluation import Guessing, Kind, Question, RealImages, tally
from serving.model import DEFAULT_SIGNATURE
from serving.predictor import Predictor
from serving.version import Version

FOLDER = Path(__file__).with_name("page")
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
MAX_BODY_BYTES = 2**12
MAX_CARD_BYTES = 2**20


def routes(predictor: Predictor, guessing: Guessing | None) -> list[BaseRoute]:
    """What is answered outside `/v1/`.

    Args:
      predictor: runs the models.
      guessing: of "real or made?"; without it, the page does not offer that.
    """
    ui = _Ui(predictor, guessing)
    files = {path.name: path for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}
    made: list[BaseRoute] = [
        Route("/" if name == "index.html" else f"/ui/{name}", _file(path)) for name, path in files.items()
    ]
    made.append(Route("/ui/models", _answered(ui.models)))
    if guessing:
        made += [
            Route("/ui/results", _answered(ui.results)),
            Route("/ui/question", _answered(ui.question), methods=["POST"]),
            Route("/ui/answer", _answered(ui.answer), methods=["POST"]),
        ]
    return made


class _Refused(Exception):
    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class _Ui:
    def __init__(self, predictor: Predictor, guessing: Guessing | None):
        self._predictor = predictor
        self._guessing = guessing

    async def models(self, request: Request) -> Any:
        """The models that are served, by name."""
        names = self._predictor.versions.names()
        return await asyncio.to_thread(lambda: [self._model(name) for name in names])

    def _model(self, name: str) -> dict[str, Any]:
        try:
            with self._predictor.versions.use(name) as version:
                assert version.model is not None, "a version that was taken is loaded"
                described = _description(version)
                card = version.path / "assets.extra" / "modelcard.md"
                return {
                    "name": name,
                    "version": str(version.number),
                    "signatures": sorted(key for key in version.model.signatures if not key.startswith("__")),
                    "classes": described.get("classes"),
                    "latent_dim": described.get("latent_dim"),
                    "card": card.read_text(encoding="utf-8", errors="replace")[:MAX_CARD_BYTES]
                    if card.is_file()
                    else None,
                    "guess": sorted(self._real(described)),
                }
        except (ServingError, OSError) as error:
            return {"name": name, "version": None, "error": str(error)}

    def _real(self, described: dict[str, Any]) -> RealImages:
        """Real images of the classes that a model makes, in the size that it makes."""
        if self._guessing is None:
            return {}
        return {
            name: images
            for name, images in self._guessing.real().items()
            if name in described.get("classes", ()) and list(images.shape[1:]) == described.get("image_shape")
        }

    async def results(self, request: Request) -> Any:
        """What people made of the version that is served."""
        assert self._guessing is not None
        with self._predictor.versions.use(request.query_params.get("model", "")) as version:
            number = version.number
        return await asyncio.to_thread(tally, self._guessing.file, number)

    async def question(self, request: Request) -> Any:
        """An image of a class, real or made, and a token to answer by; or that all was seen."""
        assert self._guessing is not None
        asked = await _body(request)
        model, wanted = str(asked.get("model")), asked.get("class")
        token = asked.get("session")
        if not isinstance(token, str | None):
            raise _Refused(400, "session: allowed is a text")
        session = self._guessing.session(token)
        with self._predictor.versions.use(model) as version:
            described = await asyncio.to_thread(_description, version)
            real = await asyncio.to_thread(self._real, described)
            counts = {name: len(images) for name, images in real.items() if wanted in (None, name)}
            if not counts:
                raise _Refused(404, f"no real images of {wanted or 'any class'}")
            dealt = self._guessing.deal(session, counts)
            if dealt is None:
                return {"session": session, "token": None}
            name, number = dealt
            # One is made in any case, and both are written alike, so that neither time nor bytes tell which it is.
            seed = secrets.randbelow(2**63)
            made = await self._made(model, version, described["classes"].index(name), seed)
            pixels = made if number is None else real[name][number]
            png = await asyncio.to_thread(_png, pixels)
            shown: Kind = "made" if number is None else "real"
            question = Question(session, model, version.number, name, shown, seed if number is None else number)
        return {"session": session, "token": self._guessing.ask(question), "class": name, "image": png}

    async def _made(self, model: str, version: Version, label: int, seed: int) -> np.ndarray:
        """uint8 [H, W, C] of a label and a seed."""
        assert version.model is not None, "a version that was taken is loaded"
        inputs = {"label": np.array([label], np.int64), "seed": np.array([seed], np.int64)}
        outputs = await self._predictor.run(model, version, version.model.signature(DEFAULT_SIGNATURE), inputs)
        with Image.open(io.BytesIO(outputs["image_bytes"][0])) as image:
            pixels = np.asarray(image)
        return pixels if pixels.ndim == 3 else pixels[..., None]

    async def answer(self, request: Request) -> Any:
        """Keeps a guess; tells what the image was."""
        assert self._guessing is not None
        asked = await _body(request)
        guess = asked.get("guess")
        if guess not in ("real", "made"):
            raise _Refused(400, "guess: allowed are real, made")
        question = await asyncio.to_thread(self._guessing.answer, str(asked.get("token")), cast(Kind, guess))
        if question is None:
            raise _Refused(404, "this question is not open any more")
        return {"shown": question.shown, "class": question.name}


def _description(version: Version) -> dict[str, Any]:
    """What tailgan writes beside a model; nothing of another model."""
    try:
        found = json.loads((version.path / "assets.extra" / "tailgan.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _png(pixels: np.ndarray) -> str:
    """A PNG file, in base64."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request; of that type, no page from elsewhere may send one without asking (CORS)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _Refused(415, "Content-Type: allowed is application/json")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _Refused(413, f"the body has more than {MAX_BODY_BYTES} bytes")
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise _Refused(400, "the body is no JSON object")
    return asked


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    content = path.read_bytes()

    async def show(request: Request) -> Response:
        return Response(content, media_type=TYPES[path.suffix], headers=HEADERS)

    return show


def _answered(act: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    """As JSON, refusals too."""

    async def answer(request: Request) -> Response:
        try:
            told, status = await act(request), 200
        except _Refused as error:
            told, status = {"error": str(error)}, error.status
        except ServingError as error:
            told, status = {"error": error.message}, error.http_status
        return Response(json.dumps(told), status, HEADERS, "application/json")

    return answer
