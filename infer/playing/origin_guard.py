"""Keeps other sites out of a server on this machine."""

import ipaddress
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class OriginGuard:
    """Refuses requests that a page of another site makes a browser send.

    A page's origin, where the browser tells one, must be the server's own. On loopback the server must also
    be called by a name of loopback: another name was pointed to this machine by its owner (DNS rebinding).

    Args:
        app: what answers the other requests.
        host: that the server is bound to.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._names = {*_LOOPBACK_NAMES, host} if is_loopback(host) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, a websocket's too."""
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await receive()
            await send(
                {"type": "websocket.close", "code": 1008, "reason": refusal}
            )  # a 403, before the accept
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": refusal.encode()})

    def _refusal(self, scope: Scope) -> str | None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if self._names is not None and _name(f"//{host}") not in self._names:
            return (
                f"This server was called as {host!r}, expected one of {', '.join(sorted(self._names))}; to "
                "play from elsewhere, start it with --host"
            )
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return f"The page is of {origin!r}, expected this server's own, {host!r}; open it from there"
        return None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that is bound to ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:  # of brackets that are no address
        return None
