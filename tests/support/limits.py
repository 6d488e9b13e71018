"""The limit of reads whose length a test does not look at."""

LIMIT = 1_000_000_000
