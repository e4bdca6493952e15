"""Serves a page on this machine that shows what a network sees in pictures."""

import errno
import ipaddress
import socket
from contextlib import suppress
from pathlib import Path

from mnv2_dense.commands.stopping import ended_by_sigterm
from mnv2_dense.errors import UserError
from mnv2_dense.quoting import LONGEST_PATH, quote

LOOPBACK = "127.0.0.1"
PORT = 8000


def serve(
    weights: Path,
    *,
    host: str = LOOPBACK,
    port: int = PORT,
    engine: str | None = None,
    threads: int | None = None,
) -> None:
    """Opens a network and serves its page until Ctrl-C, which is its normal end.

    Args:
        weights: A checkpoint or an exported model.
        host: Address that it is served at.
        port: 0 for any that is free.
        engine: What runs the network; None for the best that is installed.
        threads: Of the engine; None for its own choice.

    Raises:
        UserError: A library is missing, the network cannot be opened, or the address is taken.
    """
    try:
        import uvicorn

        from mnv2_dense.serving.app import build_app
    except ModuleNotFoundError as error:
        raise UserError(
            f"the page needs {error.name}, which is not installed: pip install 'mnv2-dense[demo]'"
        ) from error
    from mnv2_dense.exporting.loading import load
    from mnv2_dense.serving.viewer import Viewer

    with ended_by_sigterm(), listen(host, port) as listener:
        predictor = load(weights, engine=engine, threads=threads)
        app = build_app(Viewer(predictor, weights.name), names=(host, socket.gethostname()))
        print(f"{quote(str(weights), LONGEST_PATH)}: {predictor.engine.name}")
        _announce(host, listener)
        # Its own logging configuration would close the handlers of other libraries.
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=1,  # An upload that has stalled is not waited for.
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _announce(host: str, listener: socket.socket) -> None:
    """Prints where the page is, and who else can see it."""
    place, port = listener.getsockname()[:2]
    if not ipaddress.ip_address(place).is_loopback:
        print(
            f"warning: at {host} everyone in the network can use this page; it asks for no "
            f"password and its pictures are sent unencrypted (without --host: {LOOPBACK} only)"
        )
    shown = f"[{host}]" if ":" in host else host
    print(f"http://{shown}:{port}  (Ctrl-C ends it)", flush=True)


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound to an address, before the network is opened for it.

    Raises:
        UserError: The address is none of this machine, or taken.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:  # UnicodeError: what could be no host's name at all.
        reason = error.strerror if isinstance(error, OSError) else "no name of a host"
        raise UserError(f"--host {host}: no address of this machine ({reason})") from error
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        reason = "another program is there" if error.errno == errno.EADDRINUSE else error.strerror
        raise UserError(
            f"cannot serve at {host} port {port}: {reason}; give another --port, 0 for any"
        ) from error
    return listener
