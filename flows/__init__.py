"""When the steps happen, and in what order. Prefect is imported here and nowhere else."""
