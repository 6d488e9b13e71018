"""Prediction over gRPC: a call becomes a request of the application that answers HTTP."""
