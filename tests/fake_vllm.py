"""A `vllm` for tests: a real process with vLLM's arguments and paths, whose answers come from the test's own process.

    with Upstream(answer) as upstream:                # answer(folder, name, body) -> {"text": ..., "logprobs": ...}
        upstream.install(tmp_path / "bin")            # writes an executable `vllm`; its path is returned
    upstream.commands, .asked, .steered               # argument lists, (model, content), paths such as "/sleep?level=1"

The environment variable FAKE_VLLM says how it misbehaves: "never" is ready; "exit" ends at once with a message;
"die:N" ends in the middle of the N-th answer; "deaf" ignores SIGTERM. It has a child process, as vLLM has.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = Callable[[str, str, dict[str, Any]], dict[str, Any]]

SCRIPT = r"""#!@PYTHON@ -IS
import json, os, signal, subprocess, sys, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
args, mode = sys.argv[1:], os.environ.get("FAKE_VLLM", "")
def value(name, default=None):
    return args[args.index(name) + 1] if name in args else default
def upstream(path, body):
    request = urllib.request.Request("@URL@" + path, json.dumps(body).encode())
    return json.loads(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).read())
environment = {k: v for k, v in os.environ.items() if k.startswith(("VLLM", "CUDA", "RANK", "MASTER"))}
upstream("/started", {"args": args, "environment": environment, "pid": os.getpid()})
assert args[0] == "serve" and value("--host") == "127.0.0.1"
print("INFO loading", args[1], flush=True)
child = subprocess.Popen([sys.executable, "-IS", "-c", "import time; time.sleep(600)"])
upstream("/child", {"pid": child.pid})
if mode == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if mode == "exit":
    sys.exit("ValueError: Free memory on device cuda:0 (3.1/79.2 GiB) is less than desired")
models = {value("--served-model-name"): args[1]}
if "--lora-modules" in args:
    lora = json.loads(value("--lora-modules"))
    models[lora["name"]] = lora["path"]
asked, lock = 0, threading.Lock()
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def send(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        if self.path == "/health":
            self.send({}, 503 if mode == "never" else 200)
        elif self.path == "/v1/models":
            self.send({"data": [{"id": name} for name in models]})
        else:
            self.send({"error": {"message": "no " + self.path}}, 404)
    def do_POST(self):
        global asked
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(raw) if raw else {}
        if self.path == "/v1/load_lora_adapter":
            upstream("/steered", {"path": self.path})
            if not os.path.isdir(body["lora_path"]):
                return self.send({"error": {"message": "no adapters at " + body["lora_path"]}}, 400)
            models[body["lora_name"]] = body["lora_path"]
            return self.send({})
        if not self.path.startswith("/v1/"):
            upstream("/steered", {"path": self.path})
            return self.send({})
        if body["model"] not in models:
            return self.send({"error": {"message": "The model does not exist."}}, 404)
        with lock:
            asked += 1
            if mode.startswith("die:") and asked >= int(mode[4:]):
                print("torch.OutOfMemoryError: CUDA out of memory", flush=True)
                os._exit(1)
        self.send(upstream("/answer", {"folder": models[body["model"]], "body": body}))
ThreadingHTTPServer.daemon_threads = True
ThreadingHTTPServer(("127.0.0.1", int(value("--port"))), Handler).serve_forever()
"""


class Upstream:
    """What the fake executables of a test talk to."""

    def __init__(self, answer: Answer):
        self.answer = answer
        self.commands: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        self.pids: list[int] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.steered: list[str] = []
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Upstream:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def install(self, folder: Path) -> Path:
        """The path of an executable `vllm` in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "vllm"
        path.write_text(SCRIPT.replace("@PYTHON@", sys.executable).replace("@URL@", self.url))
        path.chmod(0o755)
        return path

    def hear(self, path: str, told: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            if path == "/started":
                self.commands.append(told["args"])
                self.environments.append(told["environment"])
            if path in ("/started", "/child"):
                self.pids.append(told["pid"])
            elif path == "/steered":
                self.steered.append(told["path"])
            elif path == "/answer":
                body = told["body"]
                self.asked.append((body["model"], body))
                said = self.answer(told["folder"], body["model"], body)
                message = {"role": "assistant", "content": said["text"]}
                choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": said.get("logprobs")}
                images = sum(part["type"] == "image_url" for part in body["messages"][-1]["content"])
                usage = {"prompt_tokens": 20 + 64 * images, "completion_tokens": 3}
                return {"object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}
        return {}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps(upstream.hear(self.path, told)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler
