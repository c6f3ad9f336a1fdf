"""What a server gives and takes beside the game: pictures, the page, and nothing else."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playable_world import SIZE, check_it_lives, connected, neutral_frames, player, request
from tiny_world import picture  # pyright: ignore[reportMissingImports]
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from infer.playing.gallery import MAX_BYTES


def png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def upload(address: str, content: bytes, name: str = "mine.png") -> tuple[int, dict[str, Any]]:
    status, body = request(address, "POST", f"/first-frames?name={name}", content)
    return status, json.loads(body)


def test_a_picture_is_brought_and_played(server: str) -> None:
    brought = picture(9, (SIZE, SIZE))
    status, found = upload(server, png(brought))
    assert (status, found["name"], found["message"]) == (200, "mine.png", "")
    assert request(server, "GET", f"/first-frames/{found['id']}")[1] == png(brought)
    with player(server) as (client, welcome):
        assert found["id"] in [frame["id"] for frame in welcome["first_frames"]]
        client.begin(found["id"], seed=3)
        assert np.array_equal(client.see()[1], neutral_frames(3, 1, 9)[0])


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_other_sizes_and_modes_are_fitted_and_it_is_said(server: str, mode: str) -> None:
    status, found = upload(server, png(picture(1, (40, 24)).convert(mode)))
    assert status == 200
    assert (
        "mine.png is 40 x 24 (height x width), this world 16 x 16: it was scaled and cut" in found["message"]
    )
    assert (f"the mode {mode}, expected RGB" in found["message"]) == (mode != "RGB")
    shown = Image.open(BytesIO(request(server, "GET", f"/first-frames/{found['id']}")[1]))
    assert (shown.mode, shown.size) == ("RGB", (SIZE, SIZE))


@pytest.mark.parametrize(
    ("content", "status", "expected"),
    [
        (b"not a picture", 422, "mine.png: not a whole picture"),
        (b"", 422, "not a whole picture"),
        (png(picture(1, (64, 64)))[:500], 422, "not a whole picture"),
        (png(Image.new("1", (4097, 4097))), 422, "4097 x 4097.*expected at most 16,777,216 pixels"),
        (bytes(MAX_BYTES + 1), 413, "more than 8,388,608 bytes"),
    ],
)
def test_pictures_that_cannot_be_used(server: str, content: bytes, status: int, expected: str) -> None:
    found, answer = upload(server, content)
    assert found == status
    assert all(part in answer["message"] for part in expected.split(".*")), answer
    check_it_lives(server)


def test_of_many_uploads_the_oldest_are_forgotten(server: str) -> None:
    ids = [upload(server, png(picture(seed, (SIZE, SIZE))))[1]["id"] for seed in range(17)]
    assert request(server, "GET", f"/first-frames/{ids[0]}")[0] == 404
    assert request(server, "GET", f"/first-frames/{ids[-1]}")[0] == 200


def test_the_page_needs_nothing_from_elsewhere(server: str) -> None:
    status, page = request(server, "GET", "/")
    text = page.decode()
    assert status == 200
    assert "<canvas" in text
    assert "http://" not in text and "https://" not in text and "import " not in text


@pytest.mark.parametrize(
    "path", ["/recordings/../video", "/recordings/..%2Fframes/video", "/recordings/none/video", "/nothing"]
)
def test_files_elsewhere_are_not_given(server: str, folder: Path, path: str) -> None:
    (folder / "video.mp4").write_bytes(b"private")
    status, content = request(server, "GET", path)
    assert status == 404
    assert b"private" not in content


def test_other_sites_are_kept_out(server: str) -> None:
    port = server.split(":")[1]
    assert request(server, "GET", "/", headers={"Host": f"localhost:{port}"})[0] == 200
    for headers in ({"Host": f"evil.example:{port}"}, {"Host": "[:::"}, {"Origin": "http://evil.example"}):
        status, answer = request(server, "GET", "/", headers=headers)
        assert status == 403
        assert b"expected" in answer
    status, _ = request(server, "POST", "/first-frames", png(picture()), {"Origin": "null"})
    assert status == 403
    for origin in ("http://evil.example", f"http://localhost:{port}", "null"):
        with pytest.raises(InvalidStatus) as refused, connect(f"ws://{server}/play", origin=origin):  # type: ignore[arg-type]
            pass
        assert refused.value.response.status_code == 403
    with connected(server, origin=f"http://{server}") as client:
        client.wait()
