"""The documentation of the HTTP API: an OpenAPI 3.1 document, and a page made from it."""
