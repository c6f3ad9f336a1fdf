"""A real first-person engine (ViZDoom with the Freedoom games) that answers the ten controls.

Legend: T frames, H height, W width.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import vizdoom
from vizdoom import Button, GameVariable

from vision.world.engine_folder import pack_mod, write_launcher
from vision.world.footage import STATE_COLUMNS, Footage
from vision.world.gamepad import checked_sign
from vision.world.places import game_path, places
from vision.world.render_size import fit, render_size, resolution

#: The engine counts 35 tics a second and shows every second one.
FRAME_SKIP = 2
FRAME_RATE = 35 / FRAME_SKIP

_BUTTONS = [
    Button.MOVE_LEFT_RIGHT_DELTA,
    Button.MOVE_FORWARD_BACKWARD_DELTA,
    Button.TURN_LEFT_RIGHT_DELTA,
    Button.LOOK_UP_DOWN_DELTA,
    Button.ATTACK,
    Button.ALTATTACK,
    Button.JUMP,
    Button.ZOOM,
    Button.RELOAD,
    Button.SELECT_NEXT_WEAPON,
]
_TURN = _BUTTONS.index(Button.TURN_LEFT_RIGHT_DELTA)
_VARIABLES = [
    GameVariable.POSITION_X,
    GameVariable.POSITION_Y,
    GameVariable.POSITION_Z,
    GameVariable.ANGLE,
    GameVariable.PITCH,
    GameVariable.CAMERA_FOV,
    GameVariable.SELECTED_WEAPON,
    GameVariable.ON_GROUND,
]
_PITCH = STATE_COLUMNS.index("pitch")
# What a whole stick does in a tic: speed to the right and forward, degrees to the right and up.
_STICK_SCALE = np.array([40.0, 50.0, 6.0, -4.0])
# For the first tics of a level the player cannot turn, and for 17 the weapon is being raised. Its swing, at
# most 16 units, outlives a level and fades by one unit with each frame drawn at rest.
_SETTLE_FRAMES = 20
_ARGUMENTS = "-nomonsters +freelook 1 +sv_cheats 1 +sv_allowjump 1 +movebob 0.25 +god"


class EpisodeEndedError(RuntimeError):
    """The level ended under the player (an exit was walked through, say); start anew with another seed."""


class Engine:
    """One engine process on one game.

    What it shows is a function of map, seed and controls alone, whatever it has shown before.

    Args:
        game: "freedoom1" or "freedoom2".
        height: of the frames. The engine draws at the smallest size that it offers and that covers this one;
            the centre is cut out at this aspect and averaged down by area.
        width: as ``height``.
        forward_sign: the sign of LY that walks forward, -1 or 1.
        weapon_drawn: False leaves the weapon out of the picture, and nothing else.
        depth_drawn: True fills :attr:`depth` as well.

    Raises:
        ValueError: no such game, size or sign.
    """

    def __init__(
        self,
        game: str = "freedoom2",
        *,
        height: int = 64,
        width: int = 64,
        forward_sign: int = -1,
        weapon_drawn: bool = True,
        depth_drawn: bool = False,
    ) -> None:
        self.game, self.height, self.width = game, height, width
        self._places = places(game)
        self._scale = _STICK_SCALE * [1, checked_sign(forward_sign), 1, 1]
        drawn = resolution(*render_size(height, width))
        self._map = next(iter(self._places))
        self._folder = tempfile.TemporaryDirectory(prefix="atelier-engine-")
        try:
            self._engine = _configured(
                game_path(game), self._map, drawn, weapon_drawn, Path(self._folder.name)
            )
            self._engine.set_depth_buffer_enabled(depth_drawn)
            self._engine.init()
        except BaseException:
            self._folder.cleanup()
            raise

    @property
    def maps(self) -> tuple[str, ...]:
        """The names of the game's maps."""
        return tuple(self._places)

    @property
    def depth(self) -> np.ndarray:
        """How far away each pixel of the last frame is, in 255ths of the engine's range.

        Returns:
            float32 (H, W), above 0; whole steps of the engine, averaged down as the frame is.

        Raises:
            ValueError: the engine was made without ``depth_drawn``.
        """
        shown = self._engine.get_state()
        if shown is None or shown.depth_buffer is None:
            raise ValueError("this engine draws no depth; make it with depth_drawn=True")
        return fit(shown.depth_buffer.astype(np.float32) + 0.5, self.height, self.width)

    def start(self, map_name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Loads a map and puts the player on a place with an angle that the seed chooses.

        Args:
            map_name: one of :attr:`maps`.
            seed: in [0, 2**32); also that of the engine's own draws (lights, spread of shots).

        Returns:
            The first frame, uint8 (H, W, 3), and its state, float64 (8,), columns
            :data:`vision.world.footage.STATE_COLUMNS`.

        Raises:
            ValueError: no such map or seed.
        """
        if map_name not in self._places:
            raise ValueError(f"{self.game} has the maps {', '.join(self.maps)}; found {map_name!r}")
        if not 0 <= seed < 2**32:
            raise ValueError(f"seeds of the engine lie in [0, 2**32), found {seed}")
        draws = np.random.default_rng(seed)
        spots = self._places[map_name]
        x, y = spots[draws.integers(len(spots))]
        turn = draws.uniform(-180, 180)

        if map_name != self._map:
            self._engine.set_doom_map(map_name)
            self._map = map_name
        # It holds for one load of a map alone, and the line above loads one.
        self._engine.set_seed(seed)
        self._engine.new_episode()
        self._engine.send_game_command(f"warp {x:.0f} {y:.0f}")
        controls = [0.0] * len(_BUTTONS)
        for _ in range(_SETTLE_FRAMES):
            self._engine.make_action(controls, 1)
        self._engine.make_action([*controls[:_TURN], turn, *controls[_TURN + 1 :]], 1)
        return self._seen()

    def step(self, sticks: np.ndarray, buttons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Holds one row of controls for one frame.

        Args:
            sticks: shape (4,), in [-1, 1], in the order of :data:`vision.world.gamepad.STICKS`.
            buttons: shape (6,), 0 or 1, in the order of :data:`vision.world.gamepad.BUTTONS`.

        Returns:
            The frame that the row leads to and its state, as :meth:`start`.

        Raises:
            EpisodeEndedError: the level ended.
        """
        self._engine.make_action([*(self._scale * sticks), *map(float, buttons)], FRAME_SKIP)
        return self._seen()

    def play(self, map_name: str, seed: int, sticks: np.ndarray, buttons: np.ndarray) -> Footage:
        """Runs T - 1 of T rows of controls from a start, so that frames and rows are as many.

        Args:
            map_name: see :meth:`start`.
            seed: see :meth:`start`.
            sticks: shape (T, 4), in [-1, 1].
            buttons: shape (T, 6), 0 or 1.

        Returns:
            T frames and their states: row t of the controls leads from frame t to t + 1; the last is unread.

        Raises:
            ValueError: controls of another shape or outside their ranges; and as :meth:`start`.
            EpisodeEndedError: the level ended.
        """
        check_controls(sticks, buttons)
        seen = [self.start(map_name, seed)]
        seen += [self.step(*row) for row in zip(sticks[:-1], buttons[:-1], strict=True)]
        return Footage(np.stack([frame for frame, _ in seen]), np.stack([state for _, state in seen]))

    def close(self) -> None:
        """Ends the engine's process; further calls fail."""
        self._engine.close()
        self._folder.cleanup()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _seen(self) -> tuple[np.ndarray, np.ndarray]:
        shown = self._engine.get_state()
        if shown is None:
            raise EpisodeEndedError(f"the level {self._map} of {self.game} ended under the player")
        state = np.array(shown.game_variables, np.float64)
        state[_PITCH] = 0 - state[_PITCH]  # the engine counts down as positive
        return fit(shown.screen_buffer, self.height, self.width), state


def check_controls(sticks: np.ndarray, buttons: np.ndarray) -> None:
    """Refuses rows of controls of another shape or outside their ranges, as a ValueError."""
    rows = len(sticks)
    if sticks.shape != (rows, 4) or buttons.shape != (rows, 6) or rows == 0:
        raise ValueError(
            f"controls are sticks (T, 4) and buttons (T, 6), found {sticks.shape} and {buttons.shape}"
        )
    if not (np.abs(sticks) <= 1).all():
        raise ValueError("sticks lie in [-1, 1]; found values outside or NaN")
    if not np.isin(buttons, (0, 1)).all():
        raise ValueError("buttons are 0 or 1; found other values")


def _configured(
    wad: Path, map_name: str, drawn: vizdoom.ScreenResolution, weapon_drawn: bool, folder: Path
) -> vizdoom.DoomGame:
    engine = vizdoom.DoomGame()
    engine.set_vizdoom_path(str(write_launcher(folder, os.getpid())))
    engine.set_doom_game_path(str(wad))
    engine.set_doom_map(map_name)
    engine.set_doom_config_path(str(folder / "engine.ini"))
    engine.add_game_args(f"-file {pack_mod(folder)} {_ARGUMENTS}")
    engine.set_screen_resolution(drawn)
    engine.set_screen_format(vizdoom.ScreenFormat.RGB24)
    engine.set_mode(vizdoom.Mode.PLAYER)
    engine.set_window_visible(False)
    engine.set_sound_enabled(False)
    engine.set_render_hud(False)
    engine.set_render_crosshair(False)
    engine.set_render_messages(False)
    engine.set_render_screen_flashes(False)
    engine.set_render_weapon(weapon_drawn)
    engine.set_episode_timeout(0)
    engine.set_available_buttons(_BUTTONS)
    engine.set_available_game_variables(_VARIABLES)
    return engine
