"""The HTTP routes, a blueprint for each group of operations."""
