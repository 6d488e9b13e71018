"""Keeps TensorFlow models fresh: retrained, gated, published and served."""
