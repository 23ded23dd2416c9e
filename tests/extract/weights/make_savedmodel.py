"""Run as a script by test_tfhub.py: SavedModels with the signatures that TF-Hub's have.

Written with TensorFlow's own operations from the published description of the two networks, so
that it shares no code with what it is compared with.

Arguments: network, .npz with the variables, folder to write, factor on the last layer's output
(1 for an honest model).
"""

import csv
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)  # YAMNet's layers 2 to 14
CONVOLUTIONS = (  # VGGish's, None for a maximum
    *("conv1", None, "conv2", None, "conv3/conv3_1", "conv3/conv3_2", None),
    *("conv4/conv4_1", "conv4/conv4_2", None),
)


def log_mel(waveform, offset):
    """[n] → [frames, 64]."""
    spectra = tf.abs(tf.signal.stft(waveform, 400, 160, 512))
    matrix = tf.signal.linear_to_mel_weight_matrix(64, 257, 16_000, 125.0, 7_500.0)
    return tf.math.log(tf.matmul(spectra, matrix) + offset)


class Hub(tf.Module):
    """Holds variables under their reference names."""

    def __init__(self, values, factor):
        super().__init__()
        self.values = {name: tf.Variable(value, name=name) for name, value in values.items()}
        self.factor = factor


class YAMNet(Hub):
    def __init__(self, values, factor, class_map):
        super().__init__(values, factor)
        self.class_map = tf.saved_model.Asset(str(class_map))

    @tf.function(input_signature=[])
    def class_map_path(self):
        return self.class_map.asset_path

    def norm(self, maps, place):
        mean, variance, shift = (
            self.values[f"{place}/bn/{name}"] for name in ("moving_mean", "moving_variance", "beta")
        )
        return tf.nn.relu(tf.nn.batch_normalization(maps, mean, variance, shift, None, 1e-4))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, waveform):
        samples = tf.shape(waveform)[0]
        beyond = tf.maximum(0, samples - 15_600)
        hops = tf.cast(tf.math.ceil(beyond / 7_680), tf.int32)
        waveform = tf.pad(waveform, [[0, 15_600 + 7_680 * hops - samples]])
        mel = log_mel(waveform, 0.001)
        maps = tf.signal.frame(mel, 96, 48, axis=0)[..., None]
        maps = tf.nn.conv2d(maps, self.values["layer1/conv/kernel"], 2, "SAME")
        maps = self.norm(maps, "layer1/conv")
        for number, stride in enumerate(STRIDES, start=2):
            place = f"layer{number}/depthwise_conv"
            kernel = self.values[f"{place}/depthwise_kernel"]
            maps = tf.nn.depthwise_conv2d(maps, kernel, [1, stride, stride, 1], "SAME")
            maps = self.norm(maps, place)
            place = f"layer{number}/pointwise_conv"
            maps = tf.nn.conv2d(maps, self.values[f"{place}/kernel"], 1, "SAME")
            maps = self.norm(maps, place)
        embeddings = tf.reduce_mean(maps, axis=[1, 2])
        logits = tf.matmul(embeddings, self.values["logits/kernel"]) + self.values["logits/bias"]
        return tf.sigmoid(logits * self.factor), embeddings, mel


class VGGish(Hub):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, waveform):
        maps = tf.signal.frame(log_mel(waveform, 0.01), 96, 96, axis=0)[..., None]
        for place in CONVOLUTIONS:
            if place is None:
                maps = tf.nn.max_pool2d(maps, 2, 2, "SAME")
            else:
                maps = tf.nn.conv2d(maps, self.values[f"vggish/{place}/weights"], 1, "SAME")
                maps = tf.nn.relu(maps + self.values[f"vggish/{place}/biases"])
        rows = tf.reshape(maps, [tf.shape(maps)[0], -1])
        for place in ("fc1/fc1_1", "fc1/fc1_2", "fc2"):
            rows = tf.matmul(rows, self.values[f"vggish/{place}/weights"])
            rows = rows + self.values[f"vggish/{place}/biases"]
            rows = tf.nn.relu(rows) if place != "fc2" else rows
        return rows * self.factor


def main(network, variables, folder, factor):
    """Write one SavedModel."""
    with np.load(variables) as arrays:
        values = {name: arrays[name] for name in arrays.files}
    if network == "vggish":
        model = VGGish(values, float(factor))
    else:
        class_map = Path(folder).with_suffix(".csv")
        with class_map.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["index", "mid", "display_name"])
            classes = values["logits/bias"].shape[0]
            rows.writerows([i, f"/m/{i}", f"class {i}, etc."] for i in range(classes))
        model = YAMNet(values, float(factor), class_map)
    tf.saved_model.save(model, folder)


if __name__ == "__main__":
    # Several models for one start of TensorFlow: groups of four arguments.
    for start in range(1, len(sys.argv), 4):
        main(*sys.argv[start : start + 4])
