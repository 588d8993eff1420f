"""Running a server until it is told to stop, and answering what is under way before it ends."""

import contextlib
import socket
import sys
from collections.abc import Callable
from importlib.util import find_spec

from ..errors import ConfigError, MissingDependencyError, first_line
from ..predictor import Predictor
from .limits import Limits

_NEEDED = ("fastapi", "uvicorn", "prometheus_client")


def require_server() -> None:
    """Raise MissingDependencyError unless what a server needs is installed."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise MissingDependencyError(
            f'a server needs {", ".join(missing)}, not installed here: pip install "edgedistill[serve]".'
        )


def listen(address: str, port: int) -> socket.socket:
    """A socket that is bound and not yet listening, so that nobody connects before there is an answer.

    Args:
        address: of this machine, or a name of it: `127.0.0.1` for itself alone, `0.0.0.0` or `::` for everybody.
        port: 0 for any that is free.

    Raises:
        ConfigError: there is no such address here, or the port is taken or not allowed; says which.
    """
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, where = found[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:  # UnicodeError: no name that the internet has, such as `a..b`
        why = getattr(error, "strerror", None) or first_line(error)
        raise ConfigError(f"{address}: no address of this machine ({why}).") from None
    try:
        if sys.platform != "win32":  # where it would let two servers share a port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(where)
    except OSError as error:
        bound.close()
        raise ConfigError(f"{address}:{port}: cannot be listened on ({error.strerror or error}).") from None
    return bound


def url_of(bound: socket.socket) -> str:
    """Where a bound socket is reached."""
    address, port = bound.getsockname()[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def serve(
    predictor: Predictor, bound: socket.socket, limits: Limits, *, ready: Callable[[str], None] = lambda _: None
) -> int:
    """Serve until SIGINT or SIGTERM; what is under way then is answered, within `limits.stop_seconds`.

    Args:
        predictor: what answers; closed at the end.
        bound: from `listen`; closed at the end.
        limits: what is taken at most.
        ready: called with the URL when images are taken.

    Returns:
        How many images got no answer, since `limits.stop_seconds` were over.

    Raises:
        KeyboardInterrupt: a signal before images were taken.
        ConfigError: a limit has no sense.
        InferenceError: the first inference fails.
        MissingDependencyError: FastAPI, uvicorn or prometheus_client is not installed.
    """
    require_server()
    import uvicorn

    from .answering import Answering
    from .app import app_of

    url = url_of(bound)
    with predictor, bound:
        answering = Answering(predictor, limits)
        predictor.warm_up()  # the first inference is slow: nobody waits for it
        config = uvicorn.Config(
            app_of(answering),
            log_config=None,  # warnings reach standard error as they are
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(limits.stop_seconds)),
        )
        bound.listen(config.backlog)
        ready(url)
        with contextlib.suppress(KeyboardInterrupt):  # how uvicorn ends, when all is done, after a signal
            uvicorn.Server(config).run(sockets=[bound])
        return answering.cut_off
