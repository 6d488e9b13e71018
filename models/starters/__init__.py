"""Templates of `overnight new`: complete models in as few lines as possible."""
