"""A definition needs one import, which is quick and brings nothing of training or serving."""

import subprocess
import sys
from pathlib import Path

from overnight import api
from overnight.models import gates

ROOT = Path(__file__).parents[1]


def test_every_listed_name_is_there_and_sorted() -> None:
    assert api.__all__ == sorted(api.__all__)
    assert all(hasattr(api, name) for name in api.__all__)


def test_the_definition_and_all_that_its_fields_are_made_of_are_listed() -> None:
    expected = {"ModelDefinition", "TrainingSettings", "Schema", "TensorSpec", "Examples"}

    assert expected <= set(api.__all__)
    kinds = {name for name in gates.__all__ if name[0].isupper() and not name.isupper()}
    assert kinds <= set(api.__all__), "a gate that users may declare is not listed"


def test_importing_it_imports_neither_training_nor_serving() -> None:
    program = (
        "import sys; import overnight.api;"
        "print([name for name in ('tensorflow', 'keras', 'prefect', 'flask', 'pandas', 'scipy',"
        " 'matplotlib', 'deltalake', 'adbc_driver_manager', 'overnight.serving')"
        " if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert ended.stdout.strip() == "[]"
