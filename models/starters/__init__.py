"""What `overnight new` copies: whole models in as few lines as they can have."""
