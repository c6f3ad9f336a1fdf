"""A transformer whose output layer predicts clean latents."""

from typing import Any

import pytest
import torch
from tiny_transformers import make_inputs, make_tiny

from vision.flow.path import x0_from_velocity
from vision.transformer import VideoTransformer


def predicting_samples(plain: VideoTransformer) -> VideoTransformer:
    model: Any = VideoTransformer.from_config({**plain.config, "prediction_type": "sample"})
    model.load_state_dict(plain.state_dict())
    return model.eval()


@pytest.mark.parametrize("times", ["a sample", "a frame", "a token"])
def test_the_velocity_leads_to_the_predicted_sample(times):
    plain = make_tiny().eval()
    model, inputs = predicting_samples(plain), make_inputs()
    x_t = inputs["hidden_states"]
    frames, rows, columns = (n // p for n, p in zip(x_t.shape[2:], plain.patch_size, strict=True))
    count = {"a sample": (), "a frame": (frames,), "a token": (frames * rows * columns,)}[times]
    t = 0.02 + 0.98 * torch.rand(len(x_t), *count, generator=torch.Generator().manual_seed(0))
    inputs["timestep"] = 1000 * t
    with torch.no_grad():
        predicted, velocity = plain(**inputs).sample, model(**inputs).sample
    if times == "a token":
        _, f, h, w = (1, *plain.patch_size)
        t = t.unflatten(1, (frames, rows, columns))
        t = t.repeat_interleave(f, 1).repeat_interleave(h, 2).repeat_interleave(w, 3)[:, None]
    elif times == "a frame":
        t = t.repeat_interleave(plain.patch_size[0], 1)[:, None, :, None, None]
    else:
        t = t[:, None, None, None, None]
    torch.testing.assert_close(x_t - t * velocity, predicted, rtol=0, atol=1e-5)
    if times == "a sample":
        found = x0_from_velocity(x_t, velocity, inputs["timestep"] / 1000)
        torch.testing.assert_close(found, predicted, rtol=0, atol=1e-5)


def test_a_given_frame_has_a_finite_velocity():
    model, inputs = predicting_samples(make_tiny()), make_inputs()
    inputs["timestep"] = torch.zeros_like(inputs["timestep"])
    assert model(**inputs).sample.isfinite().all()


def test_it_is_saved_and_loaded(tmp_path):
    plain = make_tiny()
    assert "prediction_type" not in plain.config
    model, inputs = predicting_samples(plain), make_inputs()
    model.save_pretrained(tmp_path)
    loaded = VideoTransformer.from_pretrained(tmp_path).eval()
    assert loaded.config["prediction_type"] == "sample"
    with torch.no_grad():
        assert torch.equal(loaded(**inputs).sample, model(**inputs).sample)
        assert not torch.allclose(loaded(**inputs).sample, plain(**inputs).sample)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="'noise'; expected one of flow_prediction, sample"):
        VideoTransformer.from_config({**make_tiny().config, "prediction_type": "noise"})
