"""Prediction log: what was asked and answered, and what was true."""
