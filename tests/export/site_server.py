"""A static host on the loopback that can go away."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_KNOWN = {".mjs": "text/javascript", ".wasm": "application/wasm"}
_UNKNOWN = dict.fromkeys(_KNOWN, "application/octet-stream")  # what some hosts say of them


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        self.server.asked.append(self.path)


class Site:
    """Serves a folder until `stop`; `asked` are the paths that were asked for."""

    def __init__(self, folder: Path, *, knows_types: bool = True) -> None:
        types = {**Quiet.extensions_map, **(_KNOWN if knows_types else _UNKNOWN)}
        handler = type("Typed", (Quiet,), {"extensions_map": types})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        self._server.asked = self.asked = []
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
