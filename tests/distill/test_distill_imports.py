"""What importing the mathematics of distillation costs."""

import subprocess
import sys

import vision.distill


def test_the_fixed_names_need_torch_alone():
    code = (
        "import sys\n"
        "from vision.distill import distribution_matching_loss, guidance_loss\n"
        "from vision.distill import off_trajectory, random_schedule\n"
        "assert 'diffusers' not in sys.modules and 'transformers' not in sys.modules"
    )
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_the_pipeline_comes_when_asked_for():
    from vision.distill.pipeline import TextToImagePipeline

    assert vision.distill.TextToImagePipeline is TextToImagePipeline
    assert not hasattr(vision.distill, "NoSuchName")
