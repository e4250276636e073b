"""What the page asks, in this process: odd questions are refused."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette

from serving import ui
from serving.errors import ServingError
from serving.human_evaluation import Guessing


class Nothing:
    """Serves no model."""

    def use(self, name: str):
        raise ServingError("NOT_FOUND", name)


@pytest.fixture
def app(tmp_path) -> Starlette:
    guessing = Guessing(dict, tmp_path / "guesses.jsonl")
    return Starlette(routes=ui.routes(SimpleNamespace(versions=Nothing()), guessing))


@pytest.mark.parametrize(
    "body, status",
    [
        (b"{}", 404),
        (b'{"session": "x"}', 404),
        (b'{"session": [1]}', 400),
        (b'{"session": 1}', 400),
        (b"[" * 4000, 400),
        (b'{"a": ' * 500, 400),
        (b"\xff", 400),
        (b"x" * 5000, 413),
    ],
)
def test_questions(app, body, status):
    sent = []

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/ui/question", "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == status
    assert json.loads(sent[1]["body"])["error"]
