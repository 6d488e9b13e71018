"""Prediction log of a host: answers and labels, recorded off the request path and shipped."""
