"""Keeps TensorFlow models fresh: retrained, gated, published and served."""

# The one place of the release number: the wheel, the OpenAPI document and `/v2` read it here.
__version__ = "0.1.0"
