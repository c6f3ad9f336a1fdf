"""What few-step models are made by, in words."""

#: What made a few-step model, by the kind of its recipe.
METHODS = {
    "cdm": "continuous-time distribution matching (CDM, arXiv 2605.06376)",
    "ddmd": "decoupled distribution matching distillation (D-DMD, arXiv 2511.22677)",
    "dmd": "distribution matching distillation (DMD, arXiv 2311.18828), its score losses alone",
    "consistency": "consistency distillation (arXiv 2303.01469); its scheduler adds fresh noise between the "
    "steps",
    "meanflow": "MeanFlow (arXiv 2505.13447) from the teacher's velocities",
}
