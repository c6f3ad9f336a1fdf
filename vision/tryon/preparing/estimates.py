"""Body, hands and outline of the person in a video's frames, by MediaPipe, offline.

Legend: H height, W width in pixels. MediaPipe 0.10.14 carries its models in its wheel; later ones may not.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np

# MediaPipe's landmarks in the order of vision.tryon.skeleton; the neck is between the shoulders.
_COCO = (0, -1, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
_SHOULDERS = (11, 12)
#: How sure an estimate must be.
_CONFIDENCE = 0.5


class FrameEstimate(NamedTuple):
    """The person in a frame.

    Attributes:
        body: (x, y, visibility from 0 to 1) of the 18 points of vision.tryon.skeleton, in pixels, points
            outside of the frame included; shape (18, 3). None where there is nobody.
        hands: landmarks of the hands by MediaPipe's names of them, "Left" and "Right", shape (21, 3): pixels,
            z towards the viewer.
        person: how surely a pixel is of a person, 0 to 1; float32, shape (H, W).
    """

    body: np.ndarray | None
    hands: dict[str, np.ndarray]
    person: np.ndarray


class PersonEstimator:
    """Looks at the frames of one video in order. A context manager, since the models hold memory.

    Raises:
        ModuleNotFoundError: MediaPipe is not installed.
        ValueError: an installed MediaPipe carries no models.
    """

    def __init__(self) -> None:
        import mediapipe

        solutions: Any = getattr(mediapipe, "solutions", None)
        if solutions is None:
            raise ValueError(
                f"mediapipe {mediapipe.__version__} carries no models; install the one that does: "
                "pip install 'mediapipe==0.10.14'"
            )
        sure = {"min_detection_confidence": _CONFIDENCE, "min_tracking_confidence": _CONFIDENCE}
        self._pose = solutions.pose.Pose(model_complexity=1, **sure)
        self._hands = solutions.hands.Hands(max_num_hands=2, model_complexity=1, **sure)
        self._outline = solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)

    def __enter__(self) -> "PersonEstimator":
        return self

    def __exit__(self, *_: object) -> None:
        for model in (self._pose, self._hands, self._outline):
            model.close()

    def estimate(self, frame: np.ndarray) -> FrameEstimate:
        """The person in the next frame.

        Args:
            frame: uint8 RGB, shape (H, W, 3).
        """
        height, width = frame.shape[:2]
        frame = np.ascontiguousarray(frame)
        with warnings.catch_warnings():
            # Of protobuf, about how MediaPipe calls it.
            warnings.filterwarnings("ignore", "SymbolDatabase", UserWarning)
            return self._estimate(frame, height, width)

    def _estimate(self, frame: np.ndarray, height: int, width: int) -> FrameEstimate:
        found = self._pose.process(frame).pose_landmarks
        body = None
        if found is not None:
            points = np.array(
                [[point.x * width, point.y * height, point.visibility] for point in found.landmark]
            )
            body = points[list(_COCO)]
            body[1] = points[list(_SHOULDERS)].mean(0)
        hands: dict[str, np.ndarray] = {}
        seen = self._hands.process(frame)
        # The surest first; a second hand of the same side is the other one.
        pairs = sorted(
            zip(seen.multi_handedness or [], seen.multi_hand_landmarks or [], strict=True),
            key=lambda pair: -pair[0].classification[0].score,
        )
        for side, points in pairs:
            name = side.classification[0].label
            name = name if name not in hands else {"Left": "Right", "Right": "Left"}[name]
            hands[name] = np.array(
                [[point.x * width, point.y * height, -point.z * width] for point in points.landmark]
            )
        person = self._outline.process(frame).segmentation_mask
        return FrameEstimate(body, hands, np.asarray(person, np.float32))
