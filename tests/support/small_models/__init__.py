"""Models small enough for tests of what happens before and after training."""
