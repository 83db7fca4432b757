"""A small HTTP server that lives inside somebody else's event loop and leaves signals alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to whoever runs the loop."""
        yield


class HttpServer:
    """Serves an ASGI application on host and port (0 for any); `port` is known after `start`."""

    def __init__(self, app: Any, host: str, port: int) -> None:  # noqa: ANN401 - any ASGI callable
        self.host, self.port = host, port
        config = uvicorn.Config(app, log_level="warning", lifespan="off", ws="none", http="h11")
        self._server = _QuietServer(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; raises OSError when the port is taken. Answers from now on."""
        listener = socket.create_server((self.host, self.port), reuse_port=False)
        self.port = listener.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))

    async def stop(self) -> None:
        """Finish what is being answered, then close."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task
            self._task = None
