"""A stand-in for the W&B server on the loopback interface: keeps what it is sent, and can refuse keys or die."""

import base64
import gzip
import json
import re
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote, urlsplit

__all__ = ["StubArtifact", "StubRun", "WandbStub"]

Answer = dict[str, Any]


@dataclass
class StubRun:
    """What the server knows of a run."""

    id: str
    project: str
    entity: str
    name: str | None = None
    group: str | None = None
    job_type: str | None = None
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None

    def values(self, key: str) -> list[Any]:
        """Return the history of one metric."""
        return [row[key] for row in self.history if key in row]


@dataclass
class StubArtifact:
    """What the server knows of an artifact; `files` holds what was uploaded."""

    id: str
    name: str
    type: str
    run: str | None
    aliases: list[str]
    metadata: dict[str, Any]
    committed: bool = False
    files: dict[str, bytes] = field(default_factory=dict)


class WandbStub:
    """The server; use as a context manager.

    Args:
        refuse_keys: answer every API call with 401.
        die_early: die as soon as a run has begun.
    """

    def __init__(self, *, refuse_keys: bool = False, die_early: bool = False) -> None:
        self.refuse_keys, self.die_early = refuse_keys, die_early
        self.runs: dict[str, StubRun] = {}
        self.artifacts: dict[str, StubArtifact] = {}
        self.views: dict[str, Answer] = {}
        self.requests: list[str] = []
        self.unknown: list[str] = []
        self.dead = threading.Event()
        self._lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), type("Bound", (_Handler,), {"stub": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "WandbStub":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.die()

    @property
    def run(self) -> StubRun:
        """The only run there is."""
        (run,) = self.runs.values()
        return run

    @property
    def artifact(self) -> StubArtifact:
        """The only artifact there is."""
        (artifact,) = self.artifacts.values()
        return artifact

    def die(self) -> None:
        """Refuse new connections and answer nothing on the old ones."""
        if not self.dead.is_set():
            self.dead.set()
            self._server.shutdown()
            self._server.server_close()

    def graphql(self, query: Answer) -> Answer:
        """Answer one GraphQL request; operations not known here get an empty answer and are noted in `unknown`."""
        found = re.search(r"(?:query|mutation)\s+(\w+)", query["query"])
        operation = query.get("operationName") or (found[1] if found else "")
        variables = query.get("variables") or {}
        answer: Callable[[Answer], Answer] | None = getattr(self, f"_on_{operation}", None)
        if answer is None:
            self.unknown.append(operation)
            return {}
        with self._lock:
            return answer(variables.get("input") or variables)

    def file_stream(self, run_id: str, sent: Answer) -> None:
        """Take rows of history, the summary and the exit code."""
        run = self.runs[run_id]
        for name, chunk in (sent.get("files") or {}).items():
            if name == "wandb-history.jsonl":
                del run.history[chunk["offset"] :]
                run.history += [json.loads(line) for line in chunk["content"]]
            elif name == "wandb-summary.json":
                run.summary = json.loads(chunk["content"][-1])
        if sent.get("complete"):
            run.exit_code = sent.get("exitcode")

    def upload(self, kind: str, owner: str, name: str, content: bytes) -> None:
        """Take a file of a run or of an artifact."""
        (self.runs if kind == "runs" else self.artifacts)[owner].files[name] = content  # type: ignore[index]

    def _upload_url(self, kind: str, owner: str, name: str) -> str:
        return f"{self.url}/storage/{kind}/{quote(owner)}/{quote(name)}"

    def _on_Viewer(self, sent: Answer) -> Answer:
        return {"viewer": {
            "id": "user", "entity": "stub", "username": "stub", "email": "stub@localhost", "flags": "{}",
            "teams": {"edges": []}, "admin": False,
        }}  # fmt: skip

    def _on_GetDefaultEntity(self, sent: Answer) -> Answer:
        return {"viewer": {"id": "user", "entity": "stub"}}

    def _on_UpsertView2(self, sent: Answer) -> Answer:
        self.views[sent["name"]] = {**sent, "spec": json.loads(sent["spec"])}
        return {"upsertView": {"view": {"id": f"view-{len(self.views)}", "name": sent["name"]}, "inserted": True}}

    def _on_ServerFeaturesQuery(self, sent: Answer) -> Answer:
        return {"serverInfo": {"features": []}}

    def _on_RunStoppedStatus(self, sent: Answer) -> Answer:
        return {"project": {"run": {"stopped": False}}}

    def _on_OrganizationCoreWeaveOrganizationID(self, sent: Answer) -> Answer:
        return {"entity": None}

    def _on_RunResumeStatus(self, sent: Answer) -> Answer:
        run = self.runs.get(sent["name"])
        model = {"id": "project", "name": sent.get("project"), "entity": {"id": "entity", "name": "stub"}}
        if run is None:
            return {"model": {**model, "bucket": None}}
        config = json.dumps({k: {"value": v} for k, v in run.config.items()})
        return {"model": {**model, "bucket": {
            "id": _node_id(run.id), "name": run.id, "displayName": run.id, "summaryMetrics": json.dumps(run.summary),
            "logLineCount": 0, "historyLineCount": len(run.history), "eventsLineCount": 0, "eventsTail": "[]",
            "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]), "config": config, "tags": [],
            "wandbConfig": json.dumps({"t": 1}),  # without it, the run counts as one that never started
        }}}  # fmt: skip

    def _on_UpsertBucket(self, sent: Answer) -> Answer:
        new = sent["name"] not in self.runs
        run = self.runs.setdefault(sent["name"], StubRun(sent["name"], sent["project"], sent.get("entity") or "stub"))
        run.name = sent.get("displayName") or run.name
        run.group = sent.get("groupName") or run.group
        run.job_type = sent.get("jobType") or run.job_type
        run.tags = sent.get("tags") or run.tags
        for key, value in json.loads(sent.get("config") or "{}").items():
            run.config[key] = value["value"]
        run.summary.update(json.loads(sent.get("summaryMetrics") or "{}"))
        bucket = {
            "id": _node_id(run.id), "name": run.id, "displayName": sent.get("displayName") or run.id,
            "description": None, "config": "{}", "sweepName": None, "historyLineCount": len(run.history),
            "project": {"id": "project", "name": run.project, "entity": {"id": "entity", "name": run.entity}},
        }  # fmt: skip
        return {"upsertBucket": {"bucket": bucket, "inserted": new}}

    def _on_CreateRunFiles(self, sent: Answer) -> Answer:
        files = [{"name": n, "uploadUrl": self._upload_url("runs", sent["run"], n)} for n in sent["files"]]
        return {"createRunFiles": {"runID": sent["run"], "uploadHeaders": [], "files": files}}

    def _on_ArtifactType(self, sent: Answer) -> Answer:
        return {"project": {"artifact": None}}

    def _on_CreateArtifact(self, sent: Answer) -> Answer:
        name = sent.get("artifactCollectionName") or sent["artifactCollectionNames"][0]
        earlier = [a for a in self.artifacts.values() if a.name == name and a.committed]
        artifact = StubArtifact(
            id=f"artifact-{len(self.artifacts)}", name=name, type=sent["artifactTypeName"], run=sent.get("runName"),
            aliases=[alias["alias"] for alias in sent.get("aliases") or []],
            metadata=json.loads(sent.get("metadata") or "{}"),
        )  # fmt: skip
        self.artifacts[artifact.id] = artifact
        latest = {"id": earlier[-1].id, "versionIndex": len(earlier) - 1} if earlier else None
        sequence = {"id": f"sequence-{name}", "latestArtifact": latest}
        return {"createArtifact": {"artifact": {"id": artifact.id, "state": "PENDING", "artifactSequence": sequence}}}

    def _on_CreateArtifactManifest(self, sent: Answer) -> Answer:
        owner, name = sent["artifactID"], sent.get("name") or "wandb_manifest.json"
        return {"createArtifactManifest": {"artifactManifest": self._manifest(owner, name)}}

    def _on_UpdateArtifactManifest(self, sent: Answer) -> Answer:
        owner = sent["artifactManifestID"].removeprefix("manifest-")
        return {"updateArtifactManifest": {"artifactManifest": self._manifest(owner, "wandb_manifest.json")}}

    def _manifest(self, owner: str, name: str) -> Answer:
        url = self._upload_url("artifacts", owner, name)
        file = {"id": "file", "name": name, "displayName": name, "uploadUrl": url, "uploadHeaders": []}
        return {"id": f"manifest-{owner}", "file": file}

    def _on_CreateArtifactFiles(self, sent: Answer) -> Answer:
        edges = [
            {"node": {
                "id": "file", "name": file["name"], "displayName": file["name"], "uploadHeaders": [],
                "uploadUrl": self._upload_url("artifacts", file["artifactID"], file["name"]),
                "uploadMultipartUrls": None, "storagePath": f"{file['artifactID']}/{file['name']}",
                "artifact": {"id": file["artifactID"]},
            }}
            for file in sent["artifactFiles"]
        ]  # fmt: skip
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _on_CommitArtifact(self, sent: Answer) -> Answer:
        self.artifacts[sent["artifactID"]].committed = True
        return {"commitArtifact": {"artifact": {"id": sent["artifactID"], "digest": ""}}}

    def _on_ArtifactMembershipByName(self, sent: Answer) -> Answer:
        name, _, alias = sent["name"].partition(":")
        versions = [a for a in self.artifacts.values() if a.name == name and a.committed]
        found = [i for i, a in enumerate(versions) if alias in (*a.aliases, f"v{i}")]
        if not found:
            return {"project": {"artifactCollectionMembership": None}}
        index, artifact = found[-1], versions[found[-1]]
        project = {"id": "project", "internalId": "1", "name": sent["project"], "entity": {"name": sent["entity"]}}
        home = {"__typename": "ArtifactSequence", "name": name, "project": project}
        aliases = [
            {"__typename": "ArtifactAlias", "id": a, "alias": a, "artifactCollection": home} for a in artifact.aliases
        ]
        common = {"id": artifact.id, "versionIndex": index, "createdAt": "2026-01-01T00:00:00"}
        node = common | {
            "__typename": "Artifact", "artifactSequence": home, "artifactType": {"name": artifact.type},
            "description": None, "metadata": json.dumps(artifact.metadata), "ttlDurationSeconds": -2,
            "ttlIsInherited": False, "tags": [], "historyStep": None, "state": "COMMITTED", "fileCount": 1,
            "size": sum(map(len, artifact.files.values())), "digest": "", "digestAlgorithm": "MANIFEST_MD5",
            "commitHash": "", "updatedAt": None, "aliases": aliases,
        }  # fmt: skip
        member = {"__typename": "ArtifactCollectionMembership", "artifactCollection": home, "aliases": aliases}
        return {"project": {"artifactCollectionMembership": common | member | {"artifact": node}}}

    def _on_FetchArtifactManifest(self, sent: Answer) -> Answer:
        url = self._upload_url("artifacts", sent["id"], "wandb_manifest.json")
        return {"artifact": {"currentManifest": {"id": f"manifest-{sent['id']}", "file": {"directUrl": url}}}}

    def _on_GetArtifactMembershipFileUrls(self, sent: Answer) -> Answer:
        versions = [a for a in self.artifacts.values() if a.name == sent["collection"] and a.committed]
        artifact = versions[int(sent["alias"].removeprefix("v"))]
        edges = [
            {"node": {"__typename": "File", "name": n, "directUrl": self._upload_url("artifacts", artifact.id, n)}}
            for n in artifact.files if n != "wandb_manifest.json"
        ]  # fmt: skip
        page = {"pageInfo": {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}, "edges": edges}
        collection = {"__typename": "ArtifactSequence", "artifactMembership": {"files": page}}
        return {"project": {"artifactCollection": collection}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet about clients that are killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Routes: /graphql, /files/ENTITY/PROJECT/RUN/file_stream, and PUT and GET of the upload addresses."""

    stub: WandbStub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""

    def do_GET(self) -> None:
        self._serve(self._get)

    def do_POST(self) -> None:
        self._serve(self._post)

    def do_PUT(self) -> None:
        self._serve(self._put)

    def _get(self, path: str, body: bytes) -> Answer | bytes:
        if not path.startswith("/storage/artifacts/"):
            return {}
        owner, name = path.removeprefix("/storage/artifacts/").split("/", 1)
        return self.stub.artifacts[owner].files[name]

    def _post(self, path: str, body: bytes) -> Answer:
        if path == "/graphql":
            if self.stub.refuse_keys:
                return {"errors": [{"message": "invalid API key"}]}
            return {"data": self.stub.graphql(json.loads(body))}
        if stream := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", path):
            with self.stub._lock:
                self.stub.file_stream(stream[1], json.loads(body))
        return {}

    def _put(self, path: str, body: bytes) -> Answer:
        _, storage, kind, owner, name = path.split("/", 4)
        assert storage == "storage"
        self.stub.upload(kind, owner, name, body)
        return {}

    def _serve(self, answer: Callable[[str, bytes], Answer | bytes]) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self._body()
        self.stub.requests.append(path)
        answered = answer(path, body)
        reply = answered if isinstance(answered, bytes) else json.dumps(answered).encode()
        if self.stub.dead.is_set():
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        refused = self.stub.refuse_keys and path == "/graphql"
        self.send_response(401 if refused else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)
        if self.stub.die_early and self.stub.runs:
            self.stub.die()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(chunks)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body


def _node_id(name: str) -> str:
    return base64.b64encode(name.encode()).decode()
