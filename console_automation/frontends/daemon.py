"""The daemon: one engine, served to whoever dials its socket, until it is told to end.

Everything it knows is in the state directory, so it may be killed at any moment: the next one takes
up where it stopped. SIGTERM lets go of running jobs, which go on, unless a setting says otherwise.
"""

import asyncio
import faulthandler
import gc
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, NoReturn

from console_automation import __version__, config
from console_automation.adapters.prometheus import Metrics
from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.adapters.state_directory import StateDirectory
from console_automation.adapters.threads import in_thread
from console_automation.app import build_engine
from console_automation.config import Settings
from console_automation.engine.commands import inherited
from console_automation.engine.engine import Engine
from console_automation.engine.recordings import recording
from console_automation.errors import BadRequest, ConsoleAutomationError
from console_automation.frontends.handshake import LONGEST_LINE, PROTOCOL, must_retire
from console_automation.frontends.hello import Hello, introduced, is_ours
from console_automation.frontends.launch import dial
from console_automation.frontends.lines import LinesAhead, LineTooLong, read_line
from console_automation.joining import worker_host, worker_labels
from console_automation.operations.attaching import ATTACHING
from console_automation.operations.submission import Call
from console_automation.operations.table import OPERATIONS, invoke
from console_automation.operations.webhooks import receive

log = logging.getLogger(__name__)

_HELLO_SECONDS = 10.0
_ENDING_SECONDS = 10.0  #: beside what the settings give running jobs
_LOCK_SECONDS = 20.0
_LOG_BYTES = 4 << 20
_OFFERED = {**OPERATIONS, **ATTACHING}  #: to the command line


class Daemon:
    """Serves one state directory."""

    def __init__(self, directory: StateDirectory, settings: Settings) -> None:
        self._directory = directory
        self._settings = settings
        self._stop = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._mcp: asyncio.Future[Any]
        self._engine: Engine
        self._metrics: Metrics
        self.http_url: str | None = None

    async def run(self, ready: int | None) -> None:
        """Serve until SIGTERM, SIGINT or a client ends it; `ready` is told when clients may dial."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        store = SqliteStore(self._directory.home)
        self._engine = build_engine(self._directory, self._settings, store=store)
        self._metrics = Metrics(self._engine)
        store.on_commit(self._metrics.committed)
        await self._engine.open()
        http = None
        try:
            if self._settings.http:
                http = self._start_http()
            worker = self._start_worker()
            server = await self._listen()
            log.info("daemon %s is ready", __version__, extra={"action": "ready"})
            _tell(ready, "ready")
            self._mcp = asyncio.ensure_future(self._load_mcp())
            self._mcp.add_done_callback(self._mcp_loaded)
            await self._stop.wait()
            log.info("daemon is ending", extra={"action": "ending"})
            self._end_in_time()
            server.close()
            self._socket_path().unlink(missing_ok=True)
            if worker:
                await worker.close()
            if http:
                await http.close()
        finally:
            await self._engine.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    def _end_in_time(self) -> None:
        """See to it that this process ends whatever hangs: it would hold the lock, and serve nobody.

        The next daemon finds all as after a crash, and the log has what was in the way.
        """
        limit = self._engine.longest_end + _ENDING_SECONDS
        asyncio.get_running_loop().call_later(0.9 * limit, _tell_what_is_left)
        stacks = self._directory.log_file.open("ab")  # left open: the end of the process closes it
        faulthandler.dump_traceback_later(limit, exit=True, file=stacks)

    def _socket_path(self) -> Path:
        return self._directory.runtime / "daemon.sock"

    async def _listen(self) -> asyncio.Server:
        path = self._socket_path()
        path.unlink(missing_ok=True)  # stale: whoever bound it does not hold the lock any more
        return await asyncio.start_unix_server(
            self._connected, path=str(path), limit=LONGEST_LINE, backlog=1024
        )

    async def _load_mcp(self) -> Any:
        """Import the SDK, which takes most of a second, while clients are served already."""
        serving = await in_thread(_import_mcp)
        return serving(self._engine)

    def _mcp_loaded(self, loading: "asyncio.Future[Any]") -> None:
        if not loading.cancelled() and loading.exception() is not None:
            log.error("MCP cannot be served", exc_info=loading.exception())
            self._stop.set()
        gc.freeze()
        gc.enable()

    def _start_worker(self) -> Any:
        """Offer this machine to the cluster, if it is to be."""
        cluster, settings = self._engine.cluster, self._settings
        if not settings.cluster_worker:
            return None
        if cluster is None:
            raise BadRequest("setting nats_url: a worker needs the address of the cluster's NATS.")
        from console_automation.core.cluster_job import Holder
        from console_automation.frontends.worker.service import WorkerService

        host = worker_host(settings)
        me = Holder(host=host, instance=self._directory.instance())
        labels = worker_labels(settings)
        worker = WorkerService(self._engine, cluster, me=me, labels=labels)
        worker.open()
        return worker

    def _start_http(self) -> Any:
        from console_automation.adapters.tokens import Tokens
        from console_automation.frontends.http import HttpServer, read_token
        from console_automation.frontends.http_jobs import JobRoutes
        from console_automation.frontends.mcp.server import McpServer

        mcp = McpServer(self._engine)
        home = self._directory.home
        hook = partial(receive, self._engine)
        tokens, jobs = Tokens(home), JobRoutes(self._engine)
        token = read_token(home)
        http = HttpServer(self._settings, token, tokens, mcp, self._metrics, hook, jobs)
        self.http_url = http.bind()
        log.info("serving %s", self.http_url, extra={"action": "http"})
        http.open()
        return http

    # -- connections -------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if is_ours(writer.get_extra_info("socket")):
                await self._greet(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            pass  # the daemon is ending
        except Exception:
            log.exception("a connection failed")
        finally:
            self._connections.discard(task)
            writer.close()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HELLO_SECONDS):
                hello = introduced(await read_line(reader))
        except (LineTooLong, TimeoutError):
            return
        if hello is None:
            return
        others = len(self._connections) - 1
        answer: dict[str, Any] = {
            "ok": True,
            "protocol": PROTOCOL,
            "version": __version__,
            "pid": os.getpid(),
        }
        if must_retire(hello.protocol, hello.version, PROTOCOL, __version__, others=others):
            answer |= {"ok": False, "retiring": True, "error": "making room for a newer daemon"}
            self._stop.set()
        elif hello.protocol != PROTOCOL:
            answer["ok"] = False
            answer["error"] = (
                f"the running daemon is version {__version__}, this client {hello.version} is too old"
                " for it; upgrade the client, or stop the daemon with"
                " `console-automation daemon stop`"
            )
        await _write(writer, answer)
        if answer["ok"]:
            serve = self._serve_mcp if hello.kind == "mcp" else self._serve_api
            await serve(reader, writer, hello)

    async def _serve_mcp(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: Hello
    ) -> None:
        from console_automation.frontends.mcp.server import Caller

        mcp = await asyncio.shield(self._mcp)
        environment = inherited(hello.environment, self._settings.environment)
        caller = Caller(name=f"stdio:{hello.pid}", environment=environment, cwd=hello.cwd)
        await mcp.serve(reader, writer, caller)

    async def _serve_api(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: Hello
    ) -> None:
        settings = self._settings
        allowed = settings.cli_environment if hello.command_line else settings.environment
        environment = inherited(hello.environment, allowed)
        call = Call(client=f"cli:{hello.pid}", environment=environment, cwd=hello.cwd)
        lines = LinesAhead(reader)
        try:
            while True:
                try:
                    line = await lines.next()
                    if line is None:
                        return
                    answer = await lines.unless_gone(self._reply(json.loads(line), writer, call))
                except (LineTooLong, ValueError, RecursionError) as error:
                    answer = {"error": f"not a request: {error}"}
                await _write(writer, answer)
        finally:
            lines.close()

    async def _reply(
        self, request: object, writer: asyncio.StreamWriter, call: Call
    ) -> dict[str, Any]:
        if isinstance(request, dict) and request.get("ask") == "recording":
            return await self._send_recording(writer, str(request.get("sessionId")))
        return await self._answer(request, call)

    async def _send_recording(
        self, writer: asyncio.StreamWriter, session_id: str
    ) -> dict[str, Any]:
        """Send a recording line by line, as fast as it is taken; return what is to follow it."""
        try:
            async for line in recording(self._engine.session_output, session_id):
                await _write(writer, {"line": line})
        except ConsoleAutomationError as error:
            return {"error": error.message, "code": error.code}
        return {"end": True}

    async def _answer(self, request: object, call: Call) -> dict[str, Any]:
        if not isinstance(request, dict):
            raise ValueError("it is no object")
        match request.get("ask"):
            case "metrics":
                return {"text": self._metrics.text().decode()}
            case "status":
                return {
                    "pid": os.getpid(),
                    "version": __version__,
                    "home": str(self._directory.home),
                    "connections": len(self._connections),
                    "http": self.http_url,
                }
            case "stop":
                self._stop.set()
                return {"stopping": True}
        name, arguments = str(request.get("operation")), request.get("arguments")
        answer = await invoke(self._engine, name, arguments, call, offered=_OFFERED)
        return {"view": answer.view, "text": answer.text, "isError": answer.is_error}


def _tell_what_is_left() -> None:
    for task in asyncio.all_tasks():
        inner: Any = task.get_coro()
        where = []
        while frame := getattr(inner, "cr_frame", None):
            where.append(f"{inner.cr_code.co_qualname}, line {frame.f_lineno}")
            inner = inner.cr_await
        log.warning("the daemon should have ended by now, but for %s", " > ".join(where))


def _import_mcp() -> Any:
    from console_automation.frontends.mcp.server import McpServer

    return McpServer


async def _write(writer: asyncio.StreamWriter, message: Mapping[str, Any]) -> None:
    writer.write(json.dumps(message).encode("ascii") + b"\n")
    await writer.drain()


def _tell(ready: int | None, sentence: str) -> None:
    if ready is not None:
        os.write(ready, sentence.encode() + b"\n")
        os.close(ready)


def _set_up_logging(directory: StateDirectory, level: str, *, foreground: bool) -> None:
    if level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise BadRequest(f"setting log_level: {level!r} is not debug, info, warning or error")
    handlers: list[logging.Handler] = [
        RotatingFileHandler(
            directory.log_file, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8"
        )
    ]
    if foreground:
        handlers.append(logging.StreamHandler())
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=level.upper(), format=form, handlers=handlers)
    logging.getLogger("mcp").setLevel(max(logging.WARNING, logging.getLogger().level))


def run(home: Path, overrides: Mapping[str, Any], *, ready: int | None) -> int:
    """Run a daemon on a state directory in this process; returns the exit code."""
    directory = StateDirectory(home)
    try:
        if ready is not None:
            os.chdir("/")  # the directory of the client that started it shall not stay in use
        if not _take(directory, ready):
            return 0
        settings = config.load(home, overrides=overrides)
        _set_up_logging(directory, settings.log_level, foreground=ready is None)
        gc.disable()  # until everything is loaded, which then is never looked through again
        sys.setswitchinterval(0.001)  # the store's thread must not wait 5 ms for a busy loop
        asyncio.run(Daemon(directory, settings).run(ready))
    except ConsoleAutomationError as error:
        _tell(ready, error.message)
        if ready is None:
            sys.stderr.write(f"console-automation: {error.message}\n")
        else:
            log.error("%s", error.message)
        return 4
    finally:
        directory.release()
    return 0


def main(home: Path, overrides: Mapping[str, Any], *, ready: int | None) -> NoReturn:
    """Run a daemon on a state directory and end this process with its exit code.

    A thread that nobody waits for may stand in the middle of anything, an import or a name server's
    answer: the interpreter is not taken down around it.
    """
    code = run(home, overrides, ready=ready)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _take(directory: StateDirectory, ready: int | None) -> bool:
    """Take the lock; False when another daemon has come to serve meanwhile.

    A daemon that a client started waits for one that has the lock and does not answer: that one is
    just starting, or ending.
    """
    limit = time.monotonic() + _LOCK_SECONDS
    while ready is not None and time.monotonic() < limit:
        if directory.try_acquire():
            return True
        line = dial(str(directory.home))
        if line is not None:
            line.close()
            _tell(ready, "ready")
            return False
        time.sleep(0.02)
    directory.acquire()
    return True
