"""Run by extract.weights.tfhub in a process of its own: what a TF-Hub SavedModel holds and answers.

TensorFlow takes all GPU memory and many seconds to import, so it never enters our process. This
file is run as a script and must import nothing of ours.
"""

import csv
import sys
from pathlib import Path


def main(folder: str, heard: str, told: str) -> None:
    """Write the variables, the output for a signal and the class names of a SavedModel.

    Args:
        folder: of the SavedModel, whose object takes a waveform: float32 [n] at 16 kHz.
        heard: .npy file with that waveform.
        told: .npz file to write: `variable:<name>` each, `output`, and `classes` if there are any.
    """
    import numpy as np
    import tensorflow_hub

    model = tensorflow_hub.load(folder)
    waveform = np.load(heard)
    output = model(waveform)
    if isinstance(output, tuple | list):  # YAMNet: scores, embeddings, log-mel
        output = output[0]
    answers = {f"variable:{name}": value for name, value in variables_of(model).items()}
    answers["output"] = output.numpy()
    if hasattr(model, "class_map_path"):
        path = Path(model.class_map_path().numpy().decode())
        with path.open(newline="", encoding="utf-8") as file:
            answers["classes"] = np.array([row["display_name"] for row in csv.DictReader(file)])
    np.savez(told, **answers)


def variables_of(model) -> dict:
    """The variables that the model's functions use, by name."""
    found = {}
    for function in model.__call__.concrete_functions:
        for variable in function.variables:
            found[variable.name.removesuffix(":0")] = variable.numpy()
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
