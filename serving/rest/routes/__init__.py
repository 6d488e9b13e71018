"""What clients may ask. HTTP codes are chosen here and nowhere else."""
