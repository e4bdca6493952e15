"""The page's server: its files, what the network is, and a prediction per uploaded picture."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
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
"""Pictures that are received, waited with or looked at, at once."""
ASSETS = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/canvas.js": ("canvas.js", "text/javascript"),
}
_GONE = 499
"""Nobody reads the answer of a browser that has gone; nginx calls it so in its logs."""


class Predictions:
    """Answers uploads one after the other, on one thread of its own.

    Args:
        viewer: What looks at the pictures.
        max_bytes: Of one picture.
    """

    def __init__(self, viewer: Viewer, max_bytes: int = MAX_BYTES) -> None:
        self.viewer = viewer
        self.max_bytes = max_bytes
        self.worker = ThreadPoolExecutor(1, "prediction")
        self.waiting = 0

    async def answer(self, request: Request) -> Response:
        """What the network sees in the picture that is the request's body, or why it cannot."""
        if self.waiting >= MAX_WAITING:
            return _refuse(503, "busy with other pictures; try again in a moment")
        self.waiting += 1
        try:
            return JSONResponse(await self._predict(request))
        except UploadError as error:
            return _refuse(error.status, str(error))
        except UserError as error:
            return _refuse(422, str(error))
        except ClientDisconnect:
            return Response(status_code=_GONE)
        finally:
            self.waiting -= 1

    async def _predict(self, request: Request) -> dict[str, Any]:
        with TemporaryDirectory(prefix="mnv2_dense-") as folder:
            path = Path(folder, "picture")
            await receive_picture(request, path, self.max_bytes)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.worker, self.viewer.look, path)


def build_app(viewer: Viewer, names: Collection[str] = (), max_bytes: int = MAX_BYTES) -> Starlette:
    """The server of the page.

    Args:
        viewer: What looks at the pictures.
        names: Hosts that it is asked for by, beside `localhost` and addresses.
        max_bytes: Of one picture.
    """
    predictions = Predictions(viewer, max_bytes)
    model = {**viewer.describe(), "max_bytes": max_bytes}

    async def describe(_: Request) -> Response:
        return JSONResponse(model)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        predictions.worker.shutdown(cancel_futures=True)

    routes = [Route(place, _asset(*asset)) for place, asset in ASSETS.items()]
    routes += [Route("/model", describe), Route("/predict", predictions.answer, methods=["POST"])]
    return Starlette(routes=routes, middleware=[Middleware(Guard, names=names)], lifespan=lifespan)


def _asset(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    """Answers with a file of this package, read once."""
    content = files("mnv2_dense.serving").joinpath(name).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(content, media_type=media_type)

    return answer


def _refuse(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status_code=status)
