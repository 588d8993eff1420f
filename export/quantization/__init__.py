"""int8 by calibration: images are read once, ranges are measured once, each runtime gets the flavour that it computes.

`calibration` chooses the images, `ranges` measures the activations, `calibrators` turn histograms into ranges, a
`quantiser` (`qdq` for ONNX) writes the quantised graph, `held_out` judges it by the metric, `choosing` takes the best
calibrator and puts the layers that cost too much back into float.
"""
