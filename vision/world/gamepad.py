"""The ten controls of a first-person shooter on a gamepad, and their places in a row of telemetry.

Rows have four sticks in [-1, 1] and six buttons in {0, 1}, always in the order below. LX < 0 strafes to the
left, RX < 0 turns to the left, RY < 0 looks up; LY < 0 walks forward unless a setting says otherwise, since
sources disagree about it.
"""

#: Left stick (strafe, walk), right stick (turn, look).
STICKS = ("LX", "LY", "RX", "RY")
#: The columns of a CrossFPS table that hold pairs of :data:`STICKS`.
STICK_COLUMNS = ("j_left", "j_right")
#: What each button does: RT, LT, A, R3, X, Y.
BUTTONS = ("fire", "aim", "jump", "melee", "reload", "switch")
#: Their columns in a CrossFPS table.
BUTTON_COLUMNS = ("right_trigger", "left_trigger", "south", "right_thumb", "west", "north")


def checked_sign(forward_sign: int) -> int:
    """A sign of LY, that of walking forward: -1 or +1."""
    if forward_sign not in (-1, 1):
        raise ValueError(f"the sign of LY that walks forward is -1 or 1, found {forward_sign!r}")
    return forward_sign
