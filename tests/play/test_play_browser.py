"""The page in a real browser: what is shown, what keys do, recordings, and who else is there."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playable_world import SIZE, options_for, playable_world
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from tiny_world import picture  # pyright: ignore[reportMissingImports]

from infer.playing.server import served_in_thread
from vision.media import read_video
from vision.world.crossfps import VIDEO_NAME, read_clip
from vision.world.play_session import PlaySession

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,1000",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Chrome]:
    """A page that plays; one browser for all tests."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.fail(
            "the page is tested in Debian's Chromium, which is not here: apt-get install -y chromium "
            "chromium-driver (make test does it for root)"
        )
    options = ChromeOptions()
    options.binary_location = str(programs[0])
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with served_in_thread(playable_world(frame_rate=20.0), options_for(folder)) as address:
        driver = Chrome(options, Service(programs[1]))
        try:
            driver.get(f"http://{address}/")
            yield driver
            assert driver.get_log("browser") == []  # no error of the page's script
        finally:
            driver.quit()


def until(browser: Chrome, holds: Callable[[], Any]) -> Any:
    return WebDriverWait(browser, 60, 0.05).until(lambda _: holds())


def text(browser: Chrome, name: str) -> str:
    return browser.find_element(By.ID, name).text


def delays(browser: Chrome) -> list[int] | None:
    """Median and 95th percentile of input to picture in ms, as the page tells; None while it tells none."""
    told = browser.execute_script("return [$('median').textContent, $('p95').textContent]")
    return None if "–" in told else [int(value) for value in told]


def seen(browser: Chrome) -> tuple[int, np.ndarray]:
    """How many frames have been shown, and the last of them, read at one moment."""
    count, values = browser.execute_script(
        "return [seen, Array.from(pen.getImageData(0, 0, world.width, world.height).data)]"
    )
    return count, np.array(values, np.uint8).reshape(SIZE, SIZE, 4)[..., :3]


def number_seen(browser: Chrome) -> int:
    return browser.execute_script("return seen")


def begin(browser: Chrome, **settings: int) -> None:
    """A new world, of which more than the first chunk is seen."""
    for name, value in settings.items():
        field = browser.find_element(By.ID, name)
        field.clear()
        field.send_keys(str(value))
    play = browser.execute_script("return play")
    browser.find_element(By.ID, "reset").click()
    until(browser, lambda: browser.execute_script("return play") > play and number_seen(browser) > 4)


class Still:
    """The frames of a world in which nobody does anything."""

    def __init__(self, seed: int, image: Any = None) -> None:
        self._session = PlaySession(playable_world())
        self._session.reset(picture(0, (SIZE, SIZE)) if image is None else image, seed=seed)
        self._frames: list[np.ndarray] = []

    def is_seen(self, browser: Chrome) -> bool | None:
        """Whether the page shows the frame of this world that its number asks for; None before the first."""
        count, shown = seen(browser)
        while len(self._frames) < count:
            rows = np.zeros((self._session.rows_wanted, 10), np.float32)
            self._frames += list(self._session.advance(rows))
        return np.array_equal(shown, self._frames[count - 1]) if count else None


def test_the_page_plays_by_itself_and_counts(browser: Chrome) -> None:
    until(browser, lambda: number_seen(browser) > 4)
    assert len(browser.find_elements(By.CSS_SELECTOR, "#first-frames img")) == 2
    still = Still(0)
    counts = []
    for _ in range(3):
        assert still.is_seen(browser)
        counts.append(number_seen(browser))
        until(browser, lambda: number_seen(browser) > counts[-1] + 3)
    assert counts == sorted(set(counts))
    until(browser, lambda: text(browser, "rate") != "–")
    assert float(text(browser, "rate")) > 0
    assert int(text(browser, "count")) >= counts[-1]
    size = browser.find_element(By.ID, "world").size
    assert size["width"] > 10 * SIZE
    assert size["width"] == size["height"]


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("w", [0, -1, 0, 0, 0, 0, 0, 0, 0, 0]),
        (Keys.ARROW_RIGHT, [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
        ("j", [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]),
    ],
)
def test_keys_change_the_picture(browser: Chrome, key: str, row: list[int]) -> None:
    begin(browser, seed=3)
    still = Still(3)
    assert still.is_seen(browser)
    ActionChains(browser).key_down(key).perform()
    until(browser, lambda: browser.execute_script("return [...held.sticks, ...held.buttons]") == row)
    until(browser, lambda: still.is_seen(browser) is False)
    ActionChains(browser).key_up(key).perform()
    # Both at one moment, and not those of the play before, which go with its beginning.
    until(browser, lambda: browser.execute_script("return latencies.length > 0"))
    median, most = until(browser, lambda: delays(browser))
    assert 0 < median <= most


def test_a_gamepad_in_the_standard_mapping(browser: Chrome) -> None:
    """No hand holds one here, so the browser is told of one that is held."""
    browser.execute_script(
        "window.kept = navigator.getGamepads;"
        "const buttons = Array.from({ length: 17 }, () => ({ value: 0 }));"
        "for (const place of [0, 2, 3, 6, 7, 11]) buttons[place] = { value: 0.8 };"
        "navigator.getGamepads = () => [null, { mapping: 'standard', axes: [0.5, -1, 0.05, 0.25], buttons }]"
    )
    until(browser, lambda: browser.execute_script("return held.sticks[1]") == -1)
    held = browser.execute_script("return held")
    assert held == {"sticks": [0.5, -1, 0, 0.25], "buttons": [1] * 6}
    browser.execute_script("navigator.getGamepads = window.kept")
    until(browser, lambda: browser.execute_script("return held.sticks[1]") == 0)


# A browser without a screen may refuse the pointer for reasons of its own.
@pytest.mark.slow
def test_the_mouse_looks_and_fires(browser: Chrome) -> None:
    canvas = browser.find_element(By.ID, "world")
    locked = "return document.pointerLockElement === world"

    def is_locked() -> bool:
        # A browser may refuse the lock for a moment after another one.
        if not browser.execute_script(locked):
            ActionChains(browser).click(canvas).pause(0.5).perform()
        return browser.execute_script(locked)

    def has_turned() -> bool:
        # The first movement after the lock may be swallowed.
        ActionChains(browser).move_by_offset(20, 0).perform()
        return browser.execute_script("return most > 0 && held.buttons[0] === 1")

    until(browser, is_locked)
    try:
        browser.execute_script(
            "window.most = 0;"
            "window.watching = setInterval(() => { most = Math.max(most, held.sticks[2]) }, 5)"
        )
        ActionChains(browser).click_and_hold().perform()
        until(browser, has_turned)
        ActionChains(browser).release().perform()
        until(browser, lambda: browser.execute_script("return held.buttons[0] === 0 && held.sticks[2] === 0"))
    finally:
        # A page that keeps the pointer would fail every test after this one.
        browser.execute_script("clearInterval(window.watching); document.exitPointerLock()")
        until(browser, lambda: not browser.execute_script(locked))


def test_seed_steps_and_guidance_make_other_worlds(browser: Chrome) -> None:
    begin(browser, seed=11)
    assert Still(11).is_seen(browser)
    begin(browser, steps=1)
    assert Still(11).is_seen(browser) is False
    begin(browser, steps=2)
    browser.execute_script("guidance.value = 3; guidance.oninput()")
    assert text(browser, "guidance-value") == "3"
    begin(browser)
    assert Still(11).is_seen(browser) is False
    browser.execute_script("guidance.value = 1; guidance.oninput()")


def test_a_machine_that_is_too_slow_is_told(browser: Chrome) -> None:
    begin(browser)
    # No machine is as fast as that.
    browser.execute_script("window.kept = about.frame_rate; about.frame_rate = 1e6")
    until(browser, lambda: "Slower than real time" in text(browser, "status"))
    browser.execute_script("about.frame_rate = window.kept")


def test_a_recording_is_made_and_plays_back(browser: Chrome, folder: Path) -> None:
    begin(browser)
    browser.find_element(By.ID, "record").click()
    until(browser, lambda: text(browser, "record") == "End recording")
    count = number_seen(browser)
    until(browser, lambda: number_seen(browser) > count + 12)
    browser.find_element(By.ID, "record").click()
    (entry,) = until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#recordings li"))
    assert [link.text for link in entry.find_elements(By.TAG_NAME, "a")] == [
        "video",
        "actions",
        "metadata",
        "watch",
    ]
    video = "const video = document.getElementById('playback');"
    state = until(
        browser,
        lambda: browser.execute_script(
            video + "return video.readyState >= 2 && [video.videoWidth, video.duration]"
        ),
    )
    browser.execute_script(video + "video.play()")
    until(browser, lambda: browser.execute_script(video + "return video.currentTime") > 0.1)
    browser.execute_script(video + "video.pause()")
    (clip,) = (folder / "recordings").iterdir()
    frames = read_video(clip / VIDEO_NAME)[0].shape[1]
    assert state == [SIZE, pytest.approx(frames / 20, abs=0.06)]
    assert len(read_clip(clip, frames).sticks) == frames > 8


def test_first_frames_are_chosen_and_brought(browser: Chrome, folder: Path) -> None:
    begin(browser, seed=2)
    browser.find_elements(By.CSS_SELECTOR, "#first-frames button")[1].click()
    other = Still(2, picture(1, (SIZE, SIZE)))
    until(browser, lambda: other.is_seen(browser))
    picture(5, (SIZE, SIZE)).save(folder / "mine.png")
    browser.find_element(By.ID, "upload").send_keys(str(folder / "mine.png"))
    brought = Still(2, picture(5, (SIZE, SIZE)))
    until(browser, lambda: brought.is_seen(browser))
    picture(6, (40, 24)).save(folder / "large.png")
    browser.find_element(By.ID, "upload").send_keys(str(folder / "large.png"))
    until(browser, lambda: "large.png is 40 x 24" in text(browser, "message"))
    (folder / "words.png").write_text("no picture")
    browser.find_element(By.ID, "upload").send_keys(str(folder / "words.png"))
    until(browser, lambda: "words.png: not a whole picture" in text(browser, "message"))
    # The browser notes the refusal too.
    assert all("422" in line["message"] for line in browser.get_log("browser"))


def test_a_second_page_waits_until_the_first_is_closed(browser: Chrome) -> None:
    address, first = browser.current_url, browser.current_window_handle
    browser.switch_to.new_window("tab")
    second = browser.current_window_handle
    browser.get(address)
    until(browser, lambda: "Someone is playing" in text(browser, "status"))
    browser.switch_to.window(first)
    browser.close()
    browser.switch_to.window(second)
    until(browser, lambda: number_seen(browser) > 4)
