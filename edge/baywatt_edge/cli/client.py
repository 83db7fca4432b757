"""The command line's end of the control socket, with the standard library only (it starts fast)."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from baywatt_edge.cli.exits import CliError, NotReachableError

_CONNECT_S = 3.0
_ANSWER_S = 70.0  # longer than the daemon gives a wish, so that its own words arrive


class DaemonClient:
    """Asks the daemon at a control socket; raises CliError subclasses with one clear line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, target: str) -> Any:  # noqa: ANN401 - JSON is any of its types
        """The JSON behind a GET."""
        return self._parsed(*self._ask("GET", target))

    def post(self, target: str, body: dict[str, Any]) -> dict[str, Any]:
        """The outcome of a wish, accepted or refused."""
        status, text = self._ask("POST", target, json.dumps(body).encode())
        outcome: dict[str, Any] = self._parsed(
            200 if status == http.client.CONFLICT else status, text
        )
        return outcome

    def lines(self, target: str) -> Iterator[bytes]:
        """The non-empty lines of a streamed answer, each as soon as it is there."""
        connection = self._connect()
        try:
            response = self._request(connection, "GET", target)
            if response.status != http.client.OK:
                self._parsed(response.status, response.read())
            while line := response.readline():
                if line.strip():
                    yield line
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()

    def _ask(self, method: str, target: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = self._connect()
        try:
            response = self._request(connection, method, target, body)
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("localhost", timeout=_ANSWER_S)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(_CONNECT_S)
        try:
            sock.connect(str(self._path))
        except OSError as error:
            sock.close()
            raise self._unreachable(error) from error
        sock.settimeout(_ANSWER_S)
        connection.sock = sock
        return connection

    @staticmethod
    def _request(
        connection: http.client.HTTPConnection, method: str, target: str, body: bytes | None = None
    ) -> http.client.HTTPResponse:
        connection.request(method, target, body, {"Connection": "close"})
        return connection.getresponse()

    def _parsed(self, status: int, text: bytes) -> Any:  # noqa: ANN401
        try:
            document = json.loads(text or b"{}")
        except ValueError as error:
            raise NotReachableError(f"{self._path} answers no JSON: is it our daemon?") from error
        if status == http.client.OK:
            return document
        reason = document.get("error", f"status {status}")
        if status >= http.client.INTERNAL_SERVER_ERROR:
            raise NotReachableError(f"the daemon at {self._path} cannot answer: {reason}")
        raise CliError(reason)

    def _unreachable(self, error: Exception) -> NotReachableError:
        if isinstance(error, PermissionError):
            fix = "use sudo, or join the group baywatt"
            return NotReachableError(f"no permission for the control socket {self._path}: {fix}")
        words = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        return NotReachableError(
            f"no daemon answers at {self._path} ({words or 'no answer'}): start it "
            "(systemctl start baywatt) or name its socket with --control-socket"
        )
