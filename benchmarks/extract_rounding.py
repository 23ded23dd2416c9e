"""How far PANNs in float32 rounds from float64: as we run it on a CPU, and in its direct form.

    python -m benchmarks.extract_rounding

The weights' rule is in the folder that TAGBART_REAL_DATA names.
"""

import runpy
from copy import deepcopy

import torch

from benchmarks.simulate import real_data
from extract.networks.panns import WINDOW_SAMPLES, WavegramLogmelCnn14
from extract.running.folding import folded, prepared


@torch.inference_mode()
def print_rounding() -> None:
    """Print the relative L2 of the embedding of 10 s of white noise, weights filled by rule."""
    rule = runpy.run_path(str(real_data() / "golden" / "fill_weights.py"))
    network = WavegramLogmelCnn14()
    rule["fill"](network)
    torch.manual_seed(0)
    noise = torch.rand(1, WINDOW_SAMPLES) * 2 - 1
    direct = folded(network)
    exact = deepcopy(direct).double()(noise.double())
    forms = {"Winograd": prepared(network, device="cpu", precision="float32"), "direct": direct}
    told = (f"{name} {(form(noise).double() - exact).norm() / exact.norm():.1e}"
            for name, form in forms.items())  # fmt: skip
    print(f"  PANNs in float32 from float64, relative L2 on white noise: {', '.join(told)}")


if __name__ == "__main__":
    print_rounding()
