"""Actions that read what happened: runs, their logs, and refusals."""
