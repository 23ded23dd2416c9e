"""The paper's own numbers, × 100: Gontier, Serizel, Cerisara, DCASE 2021, tables 1 and 2.

`recipes` names the recipes of ours that repeat a row; a row without one is somebody else's.
"""

from dataclasses import dataclass

TEST_CLIPS = 975  # AudioCaps' test split on paper; every dump lacks some

TABLE1_METRICS = tuple("bleu_1 bleu_2 bleu_3 bleu_4 meteor rouge_l cider_d spice spider".split())
TABLE2_METRICS = ("cider_d", "spice", "spider")


@dataclass(frozen=True)
class Row:
    """One row of a table: values (None where the paper has a dash), deviations over 3 seeds."""

    name: str
    values: tuple[float | None, ...]
    recipe: str | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    title: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]


TABLE1 = PaperTable(
    title="Table 1. AudioCaps test, mean (standard deviation) over seeds",
    metrics=TABLE1_METRICS,
    rows=(
        Row("TopDown-AlignedAtt", (61.4, 44.6, 31.7, 21.9, 20.3, 45.0, 59.3, 14.4, 36.9)),
        Row("Koizumi et al.", (63.8, 45.8, 31.8, 20.4, 19.9, 43.4, 50.3, 13.9, 32.1)),
        Row("Eren et al.", (71.1, 49.3, 37.6, 23.2, 28.7, 58.7, 75.0, None, None)),
        Row(
            "BART + PANNs",
            (47.2, 27.9, 15.6, 7.8, 11.2, 32.2, 6.5, 6.1, 6.3),
            "panns",
            (1.4, 0.6, 0.9, 0.9, 0.6, 0.8, 2.5, 0.9, 1.7),
        ),
        Row(
            "BART + VGGish",
            (57.6, 39.3, 26.2, 17.0, 17.6, 39.8, 37.6, 11.9, 24.7),
            "vggish",
            (2.9, 3.2, 2.9, 2.6, 1.8, 1.9, 8.0, 1.3, 4.6),
        ),
        Row(
            "BART + YAMNet",
            (61.1, 43.3, 30.5, 20.8, 19.8, 43.6, 54.7, 14.1, 34.4),
            "yamnet",
            (0.6, 0.5, 0.5, 0.3, 0.2, 0.2, 0.6, 0.2, 0.4),
        ),
        Row(
            "BART + YAMNet + VGGish",
            (65.8, 48.7, 35.4, 25.3, 21.9, 46.5, 63.9, 15.9, 39.9),
            "yamnet-vggish",
            (0.5, 0.4, 0.4, 0.5, 0.1, 0.1, 1.0, 0.3, 0.7),
        ),
        Row(
            "BART + YAMNet + PANNs",
            (69.9, 52.3, 38.0, 26.6, 24.1, 49.3, 75.3, 17.6, 46.5),
            "yamnet-panns",
            (0.5, 0.7, 0.8, 0.9, 0.3, 0.4, 0.9, 0.3, 0.6),
        ),
        Row("Human", (65.4, 48.9, 37.3, 29.1, 28.8, 49.6, 91.3, 21.6, 56.5)),
    ),
)
HUMAN = TABLE1.rows[-1]

TABLE2 = PaperTable(
    title="Table 2. Variants of BART + YAMNet + PANNs",
    metrics=TABLE2_METRICS,
    rows=(
        Row("reference, bart-large", (75.3, 17.6, 46.5), "yamnet-panns"),
        Row("no pre-training", (71.0, 16.7, 43.8), "yamnet-panns-scratch"),
        Row("frozen decoder", (68.5, 16.6, 42.5), "yamnet-panns-frozen-decoder"),
        Row("bart-large-xsum", (71.8, 17.3, 44.5), "yamnet-panns-xsum"),
        Row("bart-large-cnn", (72.2, 17.7, 44.2), "yamnet-panns-cnn"),
        Row(
            "bart-large-cnn, frozen decoder", (70.4, 15.6, 43.0), "yamnet-panns-cnn-frozen-decoder"
        ),
        Row("bart-base", (73.1, 16.8, 45.0), "yamnet-panns-base"),
    ),
)
TABLES = (TABLE1, TABLE2)
