"""Batch scoring from the command line."""
