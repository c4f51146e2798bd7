"""A hub on loopback: the few requests of `huggingface_hub` that uploads and downloads need."""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading
import urllib.parse

_COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextlib.contextmanager
def serve(repositories):
    """Yields the address of a hub of repositories: files by path, by `USER/NAME`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, content, status=200, **headers):
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
            about = re.fullmatch(r"/api/models/([^/]+/[^/]+)(/(revision|tree)/(.*))?", path)
            file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
            match = about or file
            files = repositories.get(match[1]) if match else None
            revision = (match[4] if about else match[2]) if match else None
            if files is None:
                self.answer({"error": "no"}, 404, X_Error_Code="RepoNotFound")
            elif revision not in (None, "main", _COMMIT):
                self.answer({"error": "no"}, 404, X_Error_Code="RevisionNotFound")
            elif about and about[3] == "tree":
                self.answer(
                    [
                        {"type": "file", "path": name, "size": len(x), "oid": _digest(x)}
                        for name, x in files.items()
                    ]
                )
            elif about:
                siblings = [{"rfilename": name} for name in files]
                self.answer({"id": match[1], "sha": _COMMIT, "siblings": siblings})
            elif file[3] not in files:
                self.answer({"error": "no"}, 404, X_Error_Code="EntryNotFound")
            else:
                content = files[file[3]]
                self.answer(content, ETag=f'"{_digest(content)}"', X_Repo_Commit=_COMMIT)

        def do_POST(self):
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            path = urllib.parse.urlsplit(self.path).path
            if "authorization" not in {name.lower() for name in self.headers}:
                self.answer({"error": "no token"}, 401)
            elif path == "/api/validate-yaml":
                self.answer({"errors": [], "warnings": []})
            elif path == "/api/repos/create":
                made = json.loads(sent)
                name = f"{made['organization']}/{made['name']}"
                repositories.setdefault(name, {})
                self.answer({"url": f"{address}/{name}"})
            elif "/preupload/" in path:
                files = [
                    {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for file in json.loads(sent)["files"]
                ]
                self.answer({"files": files})
            else:
                name = re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path)[1]
                for line in map(json.loads, sent.splitlines()):
                    if line["key"] == "file":
                        content = base64.b64decode(line["value"]["content"])
                        repositories[name][line["value"]["path"]] = content
                url = f"{address}/{name}/commit/{_COMMIT}"
                self.answer({"success": True, "commitOid": _COMMIT, "commitUrl": url})

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _digest(content):
    return hashlib.sha1(content).hexdigest()
