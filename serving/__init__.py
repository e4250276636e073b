"""A local endpoint that speaks TensorFlow Serving's protocol. It imports nothing else of this project."""
