"""Models of a town's utility: one package each."""
