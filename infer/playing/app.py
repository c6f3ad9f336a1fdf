"""The page, its pictures, its recordings, and the websocket of the player."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse
from starlette.websockets import WebSocketDisconnect

from infer.playing.connection import Connection
from infer.playing.gallery import MAX_BYTES, Gallery
from infer.playing.model_thread import FILES, ModelThread
from infer.playing.origin_guard import OriginGuard

PAGE = Path(__file__).with_name("page.html")
# Who waits for the player to leave.
_MOST_WAITING = 8
_TRY_AGAIN_LATER = 1013
# The page has all that it needs in itself and talks to its own server alone.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src 'self' blob: data:; media-src 'self'; connect-src 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


def make_app(
    model: ModelThread, gallery: Gallery, welcome: dict[str, Any], frame_rate: float, out: Path, host: str
) -> FastAPI:
    """The server's application.

    Args:
        model: the world; closed when the server ends.
        gallery: its first frames.
        welcome: what a page is told when its turn comes.
        frame_rate: at which the world is shown.
        out: folder of recordings.
        host: that the server is bound to.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        await model.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=life)
    app.add_middleware(OriginGuard, host=host)
    turn = asyncio.Lock()
    connected: set[Connection] = set()

    @app.get("/")
    async def page() -> Response:
        return HTMLResponse(PAGE.read_text("utf-8"), headers=_HEADERS)

    @app.get("/first-frames/{key}")
    async def first_frame(key: str) -> Response:
        found = gallery.get(key)
        if found is None:
            return PlainTextResponse(f"there is no first frame {key!r}", 404)
        return Response(found.png, media_type="image/png", headers=_HEADERS)

    @app.post("/first-frames")
    async def upload(request: Request) -> Response:
        content = bytearray()
        async for part in request.stream():
            content += part
            if len(content) > MAX_BYTES:
                message = f"the file has more than {MAX_BYTES:,} bytes; scale the picture down"
                # The rest is not read: the connection ends with the answer.
                return JSONResponse({"message": message}, 413, {"Connection": "close"})
        name = request.query_params.get("name", "")[:80] or "upload"
        try:
            frame, note = await asyncio.to_thread(gallery.fit, bytes(content), name)
        except ValueError as error:
            return JSONResponse({"message": str(error)}, 422)
        return JSONResponse({"id": gallery.add(frame), "name": name, "message": note})

    @app.get("/recordings/{name}/{kind}")
    async def recording(name: str, kind: str) -> Response:
        file = FILES.get(kind)
        known = any(made["name"] == name for made in model.recordings)
        if file is None or not known or not (out / name / file).is_file():
            return PlainTextResponse(f"there is no recording {name!r} with a file {kind!r}", 404)
        # Shown in the page, or saved under a name that tells one from another.
        return FileResponse(out / name / file, filename=f"{name}-{file}", content_disposition_type="inline")

    @app.websocket("/play")
    async def play(socket: WebSocket) -> None:
        await socket.accept()
        if len(connected) > _MOST_WAITING:
            await socket.close(_TRY_AGAIN_LATER, f"{_MOST_WAITING} players are waiting already")
            return
        connection = Connection(socket, model, gallery, welcome, frame_rate)
        connected.add(connection)
        try:
            await connection.serve(turn)
        except WebSocketDisconnect:
            return
        finally:
            connected.discard(connection)

    return app
