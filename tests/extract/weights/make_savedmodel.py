"""Run as a script by the `models` fixture: SavedModels with the signatures that TF-Hub's have.

Written with TensorFlow's and Keras 2's own operations from the published description of the two
networks, so that it shares no code with what it is compared with. Beside a YAMNet go the file that
Keras' own save_weights makes of it (.h5), its class map (.csv), and what it answers (.npz).

Arguments: network, .npz with the variables, folder to write, factor on the last layer's output
(1 for an honest model).
"""

import csv
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

# Stride and channels of YAMNet's layers 2 to 14.
SEPARABLE = (
    *((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512)),
    *((1, 512), (1, 512), (1, 512), (1, 512), (1, 512), (2, 1024), (1, 1024)),
)
CONVOLUTIONS = (  # VGGish's, None for a maximum
    *("conv1", None, "conv2", None, "conv3/conv3_1", "conv3/conv3_2", None),
    *("conv4/conv4_1", "conv4/conv4_2", None),
)


def log_mel(waveform, offset):
    """[n] → [frames, 64]."""
    spectra = tf.abs(tf.signal.stft(waveform, 400, 160, 512))
    matrix = tf.signal.linear_to_mel_weight_matrix(64, 257, 16_000, 125.0, 7_500.0)
    return tf.math.log(tf.matmul(spectra, matrix) + offset)


def keras_yamnet(values):
    """Patches → logits, with the public model's names: its last layer has none but Keras' own."""

    def normed(layer):
        norm = layers.BatchNormalization(scale=False, epsilon=1e-4, name=f"{layer.name}/bn")
        return [layer, norm, layers.ReLU()]

    same = {"padding": "same", "use_bias": False}
    stack = [layers.Reshape((96, 64, 1), input_shape=(96, 64))]
    stack += normed(layers.Conv2D(32, 3, strides=2, name="layer1/conv", **same))
    for number, (stride, channels) in enumerate(SEPARABLE, start=2):
        place = f"layer{number}"
        stack += normed(
            layers.DepthwiseConv2D(3, strides=stride, name=f"{place}/depthwise_conv", **same)
        )
        stack += normed(layers.Conv2D(channels, 1, name=f"{place}/pointwise_conv", **same))
    stack += [layers.GlobalAveragePooling2D(), layers.Dense(values["logits/bias"].shape[0])]
    model = tf_keras.Sequential(stack)
    for weight in model.weights[:-2]:
        weight.assign(values[weight.name.removesuffix(":0")])
    model.layers[-1].set_weights([values["logits/kernel"], values["logits/bias"]])
    return model


class YAMNet(tf.Module):
    def __init__(self, values, factor, class_map):
        super().__init__()
        self.model = keras_yamnet(values)
        self.factor = factor
        self.class_map = tf.saved_model.Asset(str(class_map))

    @tf.function(input_signature=[])
    def class_map_path(self):
        return self.class_map.asset_path

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, waveform):
        samples = tf.shape(waveform)[0]
        beyond = tf.maximum(0, samples - 15_600)
        hops = tf.cast(tf.math.ceil(beyond / 7_680), tf.int32)
        waveform = tf.pad(waveform, [[0, 15_600 + 7_680 * hops - samples]])
        mel = log_mel(waveform, 0.001)
        logits = self.model(tf.signal.frame(mel, 96, 48, axis=0))
        return tf.sigmoid(logits * self.factor), logits, mel


class Hub(tf.Module):
    """Holds variables under their reference names."""

    def __init__(self, values, factor):
        super().__init__()
        self.values = {name: tf.Variable(value, name=name) for name, value in values.items()}
        self.factor = factor


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
        model.model.save_weights(Path(folder).with_suffix(".h5"))
        waveform = np.random.default_rng(0).uniform(-1, 1, 40_000).astype(np.float32)
        waveform[10_000:20_000] *= 0.01
        scores, logits, _ = model(waveform)
        told = Path(folder).with_name(f"{Path(folder).name}_answers.npz")
        np.savez(told, waveform=waveform, scores=scores.numpy(), logits=logits.numpy())
    tf.saved_model.save(model, folder)


if __name__ == "__main__":
    # Several models for one start of TensorFlow: groups of four arguments.
    for start in range(1, len(sys.argv), 4):
        main(*sys.argv[start : start + 4])
