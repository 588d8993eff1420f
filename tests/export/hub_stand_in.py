"""What `push` says to a hub, answered on the loopback address: the routes of the Hub's HTTP interface that it uses."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml


class Hub:
    """Repositories in memory.

    Attributes:
        repos: files by path, by repository.
        private: whether a repository was made so.
        token: the one that may write.
        large: files of more bytes travel as large files do.
        heard: "METHOD path" of each request.
    """

    def __init__(self, token: str = "hf_right", large: int = 1_000) -> None:
        self.repos, self.token, self.large, self.heard = {}, token, large, []
        self.private, self.objects = {}, {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _answer(self, status: int, body: object = None, headers: dict | None = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(data), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _handle(self) -> None:
        body, path = self._body(), self.path.partition("?")[0]
        self.hub.heard.append(f"{self.command} {path}")
        if path.startswith("/objects/"):
            self.hub.objects[path.rpartition("/")[2]] = body
            self._answer(200)
            return
        if self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._answer(401, {"error": "Invalid credentials"})
            return
        for pattern, answer in _ROUTES:
            if found := re.fullmatch(pattern, f"{self.command} {path}"):
                answer(self, body, *found.groups())
                return
        self._answer(404, {"error": f"no route {self.command} {path}"})

    do_GET = do_POST = do_PUT = do_HEAD = _handle

    def _create(self, body: bytes) -> None:
        asked = json.loads(body)
        repo = f"{asked.get('organization') or 'me'}/{asked['name']}"
        known = repo in self.hub.repos
        self.hub.repos.setdefault(repo, {})
        private = asked.get("private") or asked.get("visibility") == "private"  # in huggingface_hub 1 and 2
        self.hub.private.setdefault(repo, bool(private))
        self._answer(409 if known else 200, {"url": f"{self.hub.url}/{repo}", "name": repo, "id": repo})

    def _validate(self, body: bytes) -> None:
        found = yaml.safe_load(json.loads(body)["content"].split("---")[1])
        errors = [] if isinstance(found, dict) and "library_name" in found else [{"message": "no metadata"}]
        self._answer(200 if not errors else 400, {"errors": errors, "warnings": []})

    def _tree(self, _: bytes, repo: str) -> None:
        files = self.hub.repos[repo]
        self._answer(
            200, [{"type": "file", "path": path, "size": len(data), "oid": "0" * 40} for path, data in files.items()]
        )

    def _preupload(self, body: bytes, repo: str) -> None:
        modes = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["size"] > self.hub.large else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for one in json.loads(body)["files"]
        ]
        self._answer(200, {"files": modes})

    def _lfs(self, body: bytes, repo: str) -> None:
        objects = [
            {
                "oid": one["oid"], "size": one["size"], "authenticated": True,
                "actions": {"upload": {"href": f"{self.hub.url}/objects/{one['oid']}", "header": {}}},
            }
            for one in json.loads(body)["objects"]
        ]  # fmt: skip
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _commit(self, body: bytes, repo: str) -> None:
        files = self.hub.repos[repo]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                data = self.hub.objects[value["oid"]]
                assert hashlib.sha256(data).hexdigest() == value["oid"]
                files[value["path"]] = data
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        self._answer(
            200, {"commitUrl": f"{self.hub.url}/{repo}/commit/{'0' * 40}", "commitOid": "0" * 40, "hookOutput": ""}
        )


_ROUTES = (
    (r"POST /api/validate-yaml", _Handler._validate),
    (r"POST /api/repos/create", _Handler._create),
    (r"GET /api/models/([^/]+/[^/]+)/tree/main", _Handler._tree),
    (r"POST /api/models/([^/]+/[^/]+)/preupload/main", _Handler._preupload),
    (r"POST /([^/]+/[^/]+)\.git/info/lfs/objects/batch", _Handler._lfs),
    (r"POST /api/models/([^/]+/[^/]+)/commit/main", _Handler._commit),
)
