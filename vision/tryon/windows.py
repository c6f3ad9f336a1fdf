"""Long videos in windows that overlap."""

from vision.tryon.segments import RATE, latent_frames


def windows(num_frames: int, length: int, overlap: int) -> list[tuple[int, int]]:
    """First frames and frames after the last of windows that cover a video.

    All have the same length; the last is moved back to end with the video. What a window shares with those
    before it is known when it is drawn.

    Args:
        num_frames: of the video, 4n + 1.
        length: frames of a window, 4n + 1.
        overlap: frames shared with the window before, at least; 4n + 1 below ``length``.

    Raises:
        ValueError: a number that is not 4n + 1, an overlap that leaves nothing new.
    """
    latent_frames(num_frames)
    latent_frames(length, "a window (window_frames)")
    latent_frames(overlap, "an overlap (window_overlap)")
    if overlap >= length:
        raise ValueError(f"windows of {length} frames cannot share {overlap}; lower the overlap")
    starts = [0]
    while starts[-1] + length < num_frames:
        starts.append(min(starts[-1] + length - overlap, num_frames - length))
    assert all(start % RATE == 0 for start in starts)
    return [(start, min(start + length, num_frames)) for start in starts]
