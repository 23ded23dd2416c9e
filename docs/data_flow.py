"""Draws docs/data-flow.svg, the picture in README.

python docs/data_flow.py [SVG]
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

# Text stays text, to be searched and read aloud; the salt makes the ids the same each time.
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "tagbart", "font.family": "sans-serif"}
WIDTH, HEIGHT, MIDDLE = 12.6, 4.5, 1.85
INK, SOFT, LINE = "#1c2430", "#5a6675", "#8a96a5"
# Room: colour, left edge, width, what it is.
ROOMS = {
    "extract": ("#dcebf7", 0.15, 4.55, "stage one: once per dataset"),
    "features": ("#e7e9ee", 4.95, 1.65, "HDF5 shards"),
    "train": ("#fbe6d4", 6.85, 3.2, "stage two"),
    "evaluate": ("#dff1e6", 10.3, 2.15, "captions, scores, pages"),
}


def draw(path: Path) -> None:
    """Write the picture as SVG."""
    with matplotlib.rc_context(STYLE):
        figure = pyplot.figure(figsize=(WIDTH, HEIGHT))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
        axes.axis("off")
        for name, (colour, left, width, what) in ROOMS.items():
            _box(axes, left, 0.1, width, HEIGHT - 0.2, colour, edge="none")
            axes.text(left + 0.2, HEIGHT - 0.45, f"{name}/", size=14, weight="bold", color=INK)
            axes.text(left + 0.2, HEIGHT - 0.72, what, size=9.5, color=SOFT)
        _extract(axes)
        _features(axes)
        _train(axes)
        _evaluate(axes)
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": "Data flow of tagbart"})
        pyplot.close(figure)


def _extract(axes: Axes) -> None:
    text = "wav flac ogg mp3\ndecoded once,\nresampled to\n16 and 32 kHz"
    _card(axes, (0.35, 1.25, 1.45, 1.2), "a clip, 10 s", text)
    for bottom, height, title, text in (
        (2.6, 0.75, "YAMNet", "521 tag logits\nevery 0.96 s"),
        (1.55, 0.75, "VGGish", "128 numbers\nevery 0.96 s"),
        (0.3, 0.95, "Wavegram-Logmel-\nCNN14 (PANNs)", "2048 numbers\nevery 10 s"),
    ):
        _card(axes, (2.55, bottom, 1.95, height), title, text)
        _arrow(axes, (1.8, MIDDLE), (2.55, bottom + height / 2))
        _arrow(axes, (4.5, bottom + height / 2), (5.1, MIDDLE))


def _features(axes: Axes) -> None:
    text = "17 kB in float16\n\ntags [10, 521]\naudio [10, 128]\naudio [1, 2048]\ncaptions"
    _card(axes, (5.1, 1.1, 1.35, 1.5), "a row", text)
    _arrow(axes, (6.45, MIDDLE), (7.05, 2.75))
    _arrow(axes, (6.45, MIDDLE), (7.05, 0.95))


def _train(axes: Axes) -> None:
    text = "one tag a second,\ndrawn anew\neach epoch:\nRain. Thunder. …"
    _card(axes, (7.05, 2.15, 1.5, 1.2), "a prompt", text)
    text = "the audio of a tag's\nsecond, added to\nits tokens"
    _card(axes, (7.05, 0.45, 1.5, 1.0), "dense layer", text)
    _card(axes, (8.85, 1.25, 1.0, 1.2), "BART", "encoder,\ndecoder:\nall of it\nlearns")
    _arrow(axes, (8.55, 2.75), (8.85, 2.1))
    _arrow(axes, (8.55, 0.95), (8.85, 1.6))
    _arrow(axes, (9.85, MIDDLE), (10.5, 2.75))


def _evaluate(axes: Axes) -> None:
    text = "a sentence, by\nbeam search from\nthe likeliest tags"
    _card(axes, (10.5, 2.25, 1.75, 1.0), "a caption", text)
    text = "BLEU METEOR\nROUGE-L CIDEr\nSPICE SPIDEr,\nwith intervals"
    _card(axes, (10.5, 0.35, 1.75, 1.2), "scores", text)
    _arrow(axes, (11.375, 2.25), (11.375, 1.55))


def _card(axes: Axes, place: tuple[float, float, float, float], title: str, text: str) -> None:
    """A white card at (left, bottom, width, height): a title at its top, text below."""
    left, bottom, width, height = place
    _box(axes, left, bottom, width, height, "white", edge=LINE)
    below = 0.12 + 0.2 * (title.count("\n") + 1)
    for drop, words, look in (
        (0.1, title, {"size": 10.5, "weight": "bold"}),
        (below, text, {"size": 9}),
    ):
        axes.text(left + 0.12, bottom + height - drop, words, color=INK, va="top", **look)


def _box(axes: Axes, x: float, y: float, width: float, height: float, fill: str, edge: str) -> None:
    style = "round,pad=0,rounding_size=0.1"
    axes.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=fill, edgecolor=edge)
    )


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, color=SOFT, linewidth=1.2,
            shrinkA=2, shrinkB=2,
        )
    )  # fmt: skip


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("data-flow.svg"))
