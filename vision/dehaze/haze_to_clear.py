"""The haze-to-clear loss: a picture should move, for an encoder, the way that words or examples name.

BiLaLoRA (arXiv 2603.10872), Eq. 1, with a floor under the length of the movement.

Legend: B pictures, D features of the encoder.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def haze_to_clear_loss(
    output_embedding: Tensor, input_embedding: Tensor, direction: Tensor, floor: float = 1e-3
) -> Tensor:
    """1 - cos(V_out - V_in, direction), the mean over the batch.

    Embeddings are scaled to length 1 before they are subtracted. The length of the difference is taken as at
    least ``floor``: where the output is the input the loss is 1 and its gradient finite, while the plain
    cosine has none there. A floor of 0 is the plain cosine but for movements below 1e-12.

    Args:
        output_embedding: of what the network made, as the encoder gives it, shape (B, D).
        input_embedding: of the hazy pictures, shape (B, D); no gradient goes there.
        direction: from haze to clear, of any length above 0, shape (D,) or (B, D); no gradient goes there.
        floor: smallest length that the difference is divided by.

    Returns:
        A scalar in [0, 2]: 0 for a movement along the direction, 1 across it or none, 2 against it. float64
        for float64 embeddings, else float32.

    Raises:
        ValueError: shapes that do not fit, or a direction of length 0 or with values that are not finite.
    """
    if output_embedding.ndim != 2 or output_embedding.shape != input_embedding.shape:
        raise ValueError(
            "expected embeddings of one shape (B, D), found "
            f"{tuple(output_embedding.shape)} and {tuple(input_embedding.shape)}"
        )
    if direction.shape not in (output_embedding.shape, output_embedding.shape[1:]):
        raise ValueError(
            f"embeddings of shape {tuple(output_embedding.shape)} need a direction of shape "
            f"{tuple(output_embedding.shape[1:])} or {tuple(output_embedding.shape)}, found "
            f"{tuple(direction.shape)}; it must come from the same encoder"
        )
    if not floor >= 0:
        raise ValueError(f"the floor is {floor}; expected at least 0")
    kind = torch.promote_types(output_embedding.dtype, torch.float32)
    wanted = direction.detach().to(output_embedding.device, kind)
    length = torch.linalg.vector_norm(wanted, dim=-1, keepdim=True)
    if not bool(((length > 0) & length.isfinite()).all()):
        raise ValueError(
            "the direction from haze to clear has length 0 or is not finite; the two prompts or sets of "
            "pictures must differ"
        )
    with torch.autocast(output_embedding.device.type, enabled=False):
        before = F.normalize(input_embedding.detach().to(kind), dim=-1)
        moved = F.normalize(output_embedding.to(kind), dim=-1) - before
        along = (moved * (wanted / length)).sum(-1)
        return 1 - (along / torch.linalg.vector_norm(moved, dim=-1).clamp(min=max(floor, 1e-12))).mean()
