"""The protocols: from a request's JSON to an answer's, without HTTP."""
