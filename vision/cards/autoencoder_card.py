"""The facts of an autoencoder's model card."""

from pathlib import Path
from typing import Any

from vision.latents.fidelity import Fidelity
from vision.weights import parameters_text, read_json


def autoencoder_facts(recipe: dict[str, Any], model: Path, place: str) -> dict[str, Any]:
    """Summary, call, data and quality for :func:`vision.cards.model_card.write_model_card`.

    Args:
        recipe: of the run, resolved.
        model: the autoencoder's folder.
        place: where a reader will find it.
    """
    config, data, fidelity = read_json(model / "config.json"), recipe["data"], Fidelity.load(model)
    factor = config["patch_size"] * 2 ** (len(config["widths"]) - 1)
    size = f"{data['height']} x {data['width']} pixels"
    kind = "first-person clips" if data.get("layout", "crossfps") == "crossfps" else "clips"
    latents = f"{config['latent_channels']} x {data['height'] // factor} x {data['width'] // factor}"
    return {
        "summary": (
            f"A causal video autoencoder of {parameters_text(model)} parameters for {kind} of "
            f"{size}: frame 0 alone, then groups of four, each a latent of {latents}. Latents are decoded "
            "one by one as they come, or all at once, with the same result."
        ),
        "call": (
            "from vision.latents import DecodeStream, encode, load_autoencoder\n\n"
            f'vae = load_autoencoder("{place}").eval()\n'
            "latents = encode(vae, pixels)  # pixels (B, 3, 4n + 1, H, W) in [-1, 1]\n"
            "stream = DecodeStream(vae)\n"
            "for latent in latents.split(1, dim=2):\n"
            "    frames = stream(latent)  # (B, 3, 1, H, W), then (B, 3, 4, H, W) each"
        ),
        "data": {
            "training clips": Path(data["path"]).name,
            "held-out clips": fidelity.data,
            "size": size,
        },
        "quality": {
            f"PSNR on {fidelity.clips} held-out clips, mean": f"{fidelity.psnr:.2f} dB",
            "PSNR, the lowest of a clip": f"{fidelity.lowest_psnr:.2f} dB",
        },
    }
