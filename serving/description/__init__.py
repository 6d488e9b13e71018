"""What can be asked here, as OpenAPI 3.1: one list of operations, read by programs and people."""
