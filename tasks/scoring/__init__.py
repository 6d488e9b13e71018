"""Batch scoring: the answers of a version to rows of files and tables of any length."""
