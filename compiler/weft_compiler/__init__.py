"""From quantised ONNX networks to micro-code, instruction streams and host code."""
