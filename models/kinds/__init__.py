"""Kinds of models: bundles of metrics, gates and outputs that most definitions are made of."""
