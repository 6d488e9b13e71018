"""Pictures as rows of an input: one code reads them for training, requests and the command line."""
