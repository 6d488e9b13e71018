"""What a model's logged answers show: joined with their labels, measured, and learned from."""
