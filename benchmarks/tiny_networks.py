"""The three networks at a fraction of their width, for what depends on clips alone."""

from pathlib import Path

import torch

from extract.networks.panns import WavegramLogmelCnn14
from extract.networks.vggish import VGGish
from extract.networks.yamnet import YAMNet
from extract.weights.state_dicts import save_network


def write_tiny_networks(folder: Path) -> Path:
    """Write a weights folder of small networks, their weights random and always the same.

    Args:
        folder: to write into; made if it is not there.

    Returns:
        The folder.
    """
    networks = {
        "yamnet": (YAMNet, {"width": 2, "classes": 3}, ("Dog", "Rain", "Speech")),
        "vggish": (VGGish, {"width": 2, "hidden": 8, "embedding": 8}, ()),
        "panns": (WavegramLogmelCnn14, {"width": 2, "classes": 3}, ()),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name, (network, config, classes) in networks.items():
            save_network(
                folder / f"{name}.safetensors",
                network(**config).eval(),
                network=f"tiny {name}",
                config=config,
                classes=classes,
            )
    return folder
