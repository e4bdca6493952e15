"""Who may ask the page's server, and what a browser may do with its answers."""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data: blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer: the page loads its own three files and nothing else."""
_OWN = ("same-origin", "none")
"""What a browser says of requests of our own page and of the user."""
_READING = ("GET", "HEAD")


class Guard:
    """Refuses what other sites ask through the user's browser, and adds `HEADERS`.

    A site may point a name of its own at this machine (DNS rebinding); the browser then takes our
    answers for that site's. It still sends the site's name as the host. An address as host can
    only be of who really asked for it.

    Args:
        app: What answers.
        names: Hosts that are allowed beside `localhost` and addresses.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        self.app = app
        self.names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; see ASGI."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] == "http" and (refusal := self._refusal(scope)):
            refused = PlainTextResponse(refusal, status_code=403)
            await refused(scope, receive, send_guarded)
        else:
            await self.app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = _host_of(headers.get("host", ""))
        if not (host in self.names or _is_address(host)):
            return "this server does not go by that name; ask for it by its address"
        if _is_foreign(headers) and not _follows_link(scope["method"], headers):
            return "only the page of this server may ask it"
        return None


def _is_foreign(headers: Headers) -> bool:
    """Whether a browser asks for another site's page; what is no browser says nothing of it.

    Of a server that is neither this machine nor encrypted, browsers tell only the origin, and
    that only where something is sent.
    """
    if site := headers.get("sec-fetch-site", ""):
        return site not in _OWN
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2].lower() != headers["host"].lower()


def _follows_link(method: str, headers: Headers) -> bool:
    """Whether the page comes to a window of its own, where no other site sees it."""
    return method in _READING and headers.get("sec-fetch-dest") == "document"


def _host_of(header: str) -> str:
    """The name or address of a Host header, without port and brackets; empty if it is none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
