"""The page's server: its files, what the network is, and a prediction per uploaded picture."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mnv2_dense.errors import UserError
from mnv2_dense.serving.guard import Guard
from mnv2_dense.serving.uploads import MAX_BYTES, UploadError, receive_picture
from mnv2_dense.serving.viewer import Viewer

MAX_WAITING = 8
"""Pictures that are there and wait, or are looked at, at once."""
MAX_RECEIVING = 32
"""Pictures that are on their way at once; each and those that wait take `max_bytes` of the disk."""
ASSETS = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/canvas.js": ("canvas.js", "text/javascript"),
}
_TOO_SLOW, _GONE = 408, 499
"""Nobody reads the answer of a browser that has gone; nginx calls it so in its logs."""


class Places:
    """As many as may be taken at once.

    Args:
        most: Of them.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Takes one meanwhile.

        Raises:
            UploadError: None is free.
        """
        if self.taken >= self.most:
            raise UploadError(503, "busy with other pictures; try again in a moment")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class Answers:
    """Answers uploads one after the other, on one thread of its own.

    An upload waits from when it is all there, so that one that stalls is in nobody's way.

    Args:
        viewer: What looks at the pictures.
        max_bytes: Of one picture.
    """

    def __init__(self, viewer: Viewer, max_bytes: int = MAX_BYTES) -> None:
        self.viewer = viewer
        self.max_bytes = max_bytes
        self.worker = ThreadPoolExecutor(1, "prediction")
        self.receiving, self.waiting = Places(MAX_RECEIVING), Places(MAX_WAITING)
        self.turn = asyncio.Lock()

    async def answer(self, request: Request) -> Response:
        """What the network sees in the picture that is the request's body, or why it cannot."""
        try:
            return JSONResponse(await self._receive_and_predict(request))
        except UploadError as error:
            return _refuse(error.status, str(error))
        except UserError as error:
            return _refuse(422, str(error))
        except ClientDisconnect:
            return Response(status_code=_GONE)
        except asyncio.CancelledError:  # By uvicorn, which would show it as a bug.
            return _refuse(503, "the server has ended")

    async def _receive_and_predict(self, request: Request) -> dict[str, Any]:
        with TemporaryDirectory(prefix="mnv2_dense-") as folder:
            path = Path(folder, "picture")
            with self.receiving.take():
                await receive_picture(request, path, self.max_bytes)
            with self.waiting.take():
                return await self._predict(request, path)

    async def _predict(self, request: Request, path: Path) -> dict[str, Any]:
        async with self.turn:
            if await request.is_disconnected():  # The user has given another picture meanwhile.
                raise ClientDisconnect
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.worker, self.viewer.look, path)


def build_app(viewer: Viewer, names: Collection[str] = (), max_bytes: int = MAX_BYTES) -> Starlette:
    """The server of the page.

    Args:
        viewer: What looks at the pictures.
        names: Hosts that it is asked for by, beside `localhost` and addresses.
        max_bytes: Of one picture.
    """
    answers = Answers(viewer, max_bytes)
    model = {**viewer.describe(), "max_bytes": max_bytes}

    async def describe(_: Request) -> Response:
        return JSONResponse(model)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        answers.worker.shutdown(wait=False, cancel_futures=True)

    routes = [Route(place, _asset(*asset)) for place, asset in ASSETS.items()]
    routes += [Route("/model", describe), Route("/predict", answers.answer, methods=["POST"])]
    return Starlette(routes=routes, middleware=[Middleware(Guard, names=names)], lifespan=lifespan)


def _asset(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    """Answers with a file of this package, read once."""
    content = files("mnv2_dense.serving").joinpath(name).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(content, media_type=media_type)

    return answer


def _refuse(status: int, message: str) -> Response:
    # Whoever was too slow could go on being so.
    headers = {"connection": "close"} if status == _TOO_SLOW else None
    return JSONResponse({"error": message}, status_code=status, headers=headers)
