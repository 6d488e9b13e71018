"""Documentation of the HTTP API: an OpenAPI 3.1 document, and a page rendered from it."""
