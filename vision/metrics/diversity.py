"""How different the samples of one prompt are, which few-step students tend to lose."""

import torch
from torch import Tensor


def diversity(features: Tensor, prompts: int) -> float:
    """Mean Euclidean distance between two different samples of one prompt, over the prompts.

    Args:
        features: shape (N, D); sample i has prompt i modulo ``prompts``, and each prompt two or more.
        prompts: how many there are.
    """
    return float(
        torch.stack([torch.pdist(features[p::prompts].double()).mean() for p in range(prompts)]).mean()
    )
