"""Codecs of the inference protocols: from the bytes of a request to those of its response."""
