"""From a run and pictures to predictions, with ONNX Runtime and without torch: the engine, out-of-distribution
detection, the predictor, and its results as JSON and CSV.
"""
