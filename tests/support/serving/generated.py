"""Modules generated from TensorFlow's and TensorFlow Serving's own .proto files.

They come with `tensorflow-serving-api`, as they are; TensorFlow itself is not imported for them.
"""

import importlib
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from types import ModuleType

_PACKAGES = ("tensorflow", "tensorflow.core")


def module(name: str) -> ModuleType:
    """A module of generated messages by its full name."""
    before = {each: sys.modules.get(each) for each in _PACKAGES}
    path = None
    try:
        for each in _PACKAGES:
            found = PathFinder.find_spec(each, path)
            assert found is not None
            sys.modules[each] = module_from_spec(found)
            path = found.submodule_search_locations
        return importlib.import_module(name)
    finally:
        for each, known in before.items():
            if known is None:
                sys.modules.pop(each, None)
            else:
                sys.modules[each] = known
