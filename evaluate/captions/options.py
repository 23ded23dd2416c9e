"""How recordings are cut, and how captions are decoded.

Nothing is taken from a checkpoint's own generation settings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, log
from typing import Any, Self

from extract.sound.windows import WINDOW_S
from features.common.errors import ConfigError

PRECISIONS = ("float32", "bf16", "int8")
CONSENSUS = "consensus"
LIKELIHOOD = "likelihood"
CLAP = "clap"
AMONG_PROMPTS = (CONSENSUS, LIKELIHOOD)
CHOICES = (*AMONG_PROMPTS, CLAP)

# What stands where a caption would.
SILENCE = "[silence]"
NO_WORDS = "[no words]"
SILENCE_DB = -60.0

# What the paper's code sets, and inherits from its library and from bart-large and bart-base as far
# as known.
PUBLISHED: dict[str, Any] = {
    "beams": 4,
    "length_penalty": 1.0,
    "max_length": 20,
    "min_length": 5,
    "no_repeat_ngram": 3,
    "early_stopping": True,
}
# transformers' names for what is called otherwise here.
_OUR_NAMES = {"no_repeat_ngram_size": "no_repeat_ngram"}
_LEAST_HOP_S = 0.1  # a hundred windows hear every sample: more say nothing new
_LARGEST_SEED = 2**64 - 1  # what generators take
_LARGEST_POWER = 700  # e to this is near the largest number there is
_LARGEST_COUNT = 2**31 - 1  # far beyond what fits into memory, and what arrays can count


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """How a recording is cut into windows of 10 s, and which of them are silence.

    Attributes:
        hop_s: from one window's start to the next, 0.1 at least; less than 10 s makes windows
            overlap.
        silence_db: a window is silence if not one of its samples reaches this level, in dB of full
            scale; it is marked and not captioned, since a model always says something. The default
            is ffmpeg silencedetect's own; quiet recordings of nature may want -80; -inf for none.
    """

    hop_s: float = WINDOW_S
    silence_db: float = SILENCE_DB

    def __post_init__(self) -> None:
        if not _LEAST_HOP_S <= self.hop_s <= WINDOW_S:  # NaN is not
            raise ConfigError(
                f"hop is {self.hop_s} s, expected {_LEAST_HOP_S} to {WINDOW_S:g}, the length of a "
                "window"
            )
        if not self.silence_db <= 0:
            raise ConfigError(
                f"silence is {self.silence_db} dB, expected 0 (full scale) or less, such as "
                f"{SILENCE_DB:g}"
            )

    @property
    def silent_below(self) -> float:
        """The level as a share of full scale."""
        return 10 ** (self.silence_db / 20)


@dataclass(frozen=True, kw_only=True)
class DecodingOptions:
    """How to caption. The defaults are the paper's decoding (paper.md: 4 beams, likeliest tags).

    Attributes:
        beams: hypotheses kept per clip; 1 is greedy search.
        length_penalty: a hypothesis scores log-probability / tokens ** length_penalty.
        max_length: most tokens, with the decoder's start token, BOS and EOS counted (as in
            transformers); the last one is EOS whatever the model says.
        min_length: no EOS before this many tokens stand, counted in the same way.
        no_repeat_ngram: no n-gram of this many tokens occurs twice; 0 allows all.
        early_stopping: done as soon as `beams` hypotheses are finished, better ones or not.
        n_best: most captions to return per clip, at most `beams`, or `candidates` for "clap".
        batch_size: prompts decoded together, None for what suits the device
            (evaluate/captions/search.py); the captions do not depend on it.
        precision: what weights are kept and multiplied in: "float32", "bf16", or on a CPU "int8"
            (evaluate/captions/layers/precision.py).
        tag_draws: prompts of drawn tags to decode besides the one of the likeliest tags.
        choose: how to pick among the captions of several prompts: "consensus", or "likelihood"
            under the prompt of the likeliest tags; or "clap": among candidates for the likeliest
            tags, by listening again (evaluate/captions/choosing/by_ear.py).
        task: which of the recipe's inputs.tasks to speak as; "" for the first.
        seed: of the drawn tags, or candidates.
        candidates: for "clap", those of the search and so many drawn that they are as many.
        choose_weight: for "clap", how much likelihood counts; the cosine has the rest of 1.
    """

    beams: int = 4
    length_penalty: float = 1.0
    max_length: int = 64
    min_length: int = 0
    no_repeat_ngram: int = 0
    early_stopping: bool = False
    n_best: int = 1
    batch_size: int | None = None
    precision: str = "float32"
    tag_draws: int = 0
    choose: str = CONSENSUS
    task: str = ""
    seed: int = 0
    candidates: int = 50
    choose_weight: float = 0.3

    def __post_init__(self) -> None:
        least = {"beams": 1, "max_length": 3, "n_best": 1, "batch_size": 1}
        for name in (*least, "min_length", "no_repeat_ngram", "tag_draws", "seed", "candidates"):
            value = getattr(self, name)
            if value is not None and value < least.get(name, 0):
                raise ConfigError(f"{name} is {value}, expected at least {least.get(name, 0)}")
            largest = _LARGEST_SEED if name == "seed" else _LARGEST_COUNT
            if value is not None and value > largest:
                raise ConfigError(f"{name} is {value}, expected at most {largest}")
        pool = "candidates" if self.choose == CLAP else "beams"
        orders = [("min_length", "max_length"), ("n_best", pool)]
        for name, most in orders + [("beams", pool)] * (pool != "beams"):
            if getattr(self, name) > getattr(self, most):
                raise ConfigError(
                    f"{name} is {getattr(self, name)}, more than {most} = {getattr(self, most)}"
                )
        require_precision(self.precision)
        if self.choose not in CHOICES:
            raise ConfigError(f"choose is {self.choose!r}, expected one of {', '.join(CHOICES)}")
        if self.choose == CLAP and self.tag_draws:
            raise ConfigError(
                "choose is 'clap', which has candidates of its own; leave out tag_draws "
                f"({self.tag_draws}), or choose by consensus or likelihood"
            )
        if not 0 <= self.choose_weight <= 1:
            raise ConfigError(f"choose_weight is {self.choose_weight}, expected 0 to 1")
        if not isfinite(self.length_penalty):
            raise ConfigError(f"length_penalty is {self.length_penalty}, expected a number")
        if abs(self.length_penalty) * log(self.max_length) > _LARGEST_POWER:
            raise ConfigError(
                f"length_penalty is {self.length_penalty}: {self.max_length} tokens to that power "
                "are no number any more; 0 to 2 is usual"
            )

    @property
    def passes(self) -> int:
        """How often a clip is decoded: a prompt each, and once more to draw candidates."""
        return 1 + self.tag_draws + (self.choose == CLAP)

    def rank(self, logprob: float, tokens: int) -> float:
        """What captions are ordered by: log-probability / tokens ** length_penalty.

        Args:
            logprob: of the caption, the sum over its tokens.
            tokens: how many, at least 1.
        """
        return logprob / self.divisor(tokens)

    def divisor(self, tokens: int) -> float:
        """What the log-probability of a caption of so many tokens is divided by."""
        return float(tokens**self.length_penalty)

    @classmethod
    def published(cls, own: Mapping[str, Any] | None = None, **others: Any) -> Self:
        """As the paper's published code decodes.

        Args:
            own: what the checkpoint that the run began with says, by transformers' names
                (train.run_folder.checkpoint.own_decoding); goes before PUBLISHED, but for the
                shortest length and the beams, which the code sets.
            others: settings that the code leaves open.
        """
        carried = {_OUR_NAMES.get(key, key): value for key, value in (own or {}).items()}
        return cls(**PUBLISHED | carried, **others)


def refuse_by_ear(options: DecodingOptions) -> None:
    """Refuse to choose by ear where there is none.

    Raises:
        ConfigError: with the command that has one.
    """
    if options.choose == CLAP:
        raise ConfigError(
            "choosing by 'clap' needs CLAP's text tower and its cached sound, which "
            "`python -m evaluate run RUN FEATURES --choose clap` has; choose otherwise here"
        )


def require_precision(precision: str) -> None:
    """Refuse what is no precision.

    Raises:
        ConfigError: with those that there are.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
