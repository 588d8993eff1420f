"""int8 by calibration: images are read once, ranges are measured once, each runtime gets the flavour that it computes.

`calibration` chooses the images, `ranges` measures the activations, `calibrators` turn histograms into ranges, a
`quantiser` writes the quantised file, `held_out` and `trials` judge it. `choosing` takes the best calibrator with its
biases corrected (`bias_correction`); where a gate asks for more, `recovery` equalises weights across layers
(`equalising`), rounds them adaptively (`adaptive_rounding`) and puts the layers that cost too much (`layers`) back into
float. `qdq_quantiser` does so with ONNX graphs, `litert_quantiser`, by what is called `litert_...`, with .tflite files.
"""
