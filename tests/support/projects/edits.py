"""What the owners of the town's models change in their repository between two nights.

By file: a piece of its text, and what comes in its place.
"""

from collections.abc import Mapping

Changes = Mapping[str, Mapping[str, str]]


def _with_input(first: str, *added: str) -> dict[str, str]:
    """Lines before the one that begins the declaration of another input."""
    lines = "".join(f"        {line},\n" for line in added)
    return {f"        {first}": f"{lines}        {first}"}


# Before the second night: the network that was given is trained from now on.
FIRST_FIT: Changes = {
    "town/heating/network.py": {"Network(build)": 'Network(build, losses={"need": "mae"})'},
    "town/heating/__init__.py": {
        "    settings=AS_IT_IS,\n": (
            "    settings=TrainingSettings(\n"
            "        epochs=40,\n"
            "        batch_rows=32,\n"
            "        learning_rate=0.01,\n"
            "        seed=1,\n"
            "        validation_share=0.2,\n"
            "        patience_epochs=10,\n"
            "    ),\n"
        ),
        "    AS_IT_IS,\n": "",
        "    TensorSpec,\n    number,": "    TensorSpec,\n    TrainingSettings,\n    number,",
    },
}
# Before the third night, when rows begin to have another column. Earlier rows, and clients that do
# not send it, have the default.
NEW_COLUMNS: Changes = {
    "town/churn/__init__.py": _with_input(
        'number("complaints"', 'number("app", minimum=0, maximum=1, default=0)'
    ),
    "town/tickets/__init__.py": {
        **_with_input('category("channel"', 'number("stars", minimum=1, maximum=5, default=3)'),
        "    category,\n": "    category,\n    number,\n",
    },
    "town/machines/__init__.py": {
        "\nINPUTS = (SITE,": (
            '\nLOAD = number("load", minimum=0, maximum=1, default=0.5)\nINPUTS = (LOAD, SITE,'
        ),
        '        pa.field("site",': (
            '        pa.field("load", pa.float32(), nullable=False),\n        pa.field("site",'
        ),
        "    category,\n": "    category,\n    number,\n",
    },
    "town/garments/__init__.py": {
        "shape=(24, 24, 3)),)": 'shape=(24, 24, 3)), number("zoom", minimum=0, default=1.0))',
        "    slices_by,\n": "    number,\n    slices_by,\n",
    },
    "town/garments/network.py": {
        "layers.Flatten()(x)": (
            "layers.Concatenate()([layers.Flatten()(x), features(tensors, inputs)])"
        ),
        "import keras_inputs": "import features, keras_inputs",
    },
    "town/heating/__init__.py": {
        **_with_input('number("outside"', 'number("people", minimum=0, default=2)'),
    },
    "town/heating/network.py": {
        "    return keras.saving.load_model(FILE, compile=False)\n": (
            "    given = keras.saving.load_model(FILE, compile=False)\n"
            '    people = keras.Input((), name="people")\n'
            "    added = keras.layers.Dense(1)(keras.layers.Reshape((1,))(people))\n"
            '    need = keras.layers.Add(name="need")([given(given.input)["need"], added])\n'
            '    return keras.Model({**given.input, "people": people}, {"need": need})\n'
        ),
    },
    "town/flats/__init__.py": _with_input(
        'category("district"', 'number("balcony", minimum=0, maximum=1, default=0)'
    ),
}
