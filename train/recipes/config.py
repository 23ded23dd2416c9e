"""A recipe: everything that decides a run, in frozen sections that check themselves."""

import json
from dataclasses import asdict, dataclass, field

from train.recipes.checks import (
    check_types,
    one_or_several,
    require,
    require_one_of,
    several,
    task_names,
)

TRAIN_TOKENIZER = "train"
NO_PRETRAINED = "none"
# transformers has more, some of which load other packages.
_ACTIVATIONS = ("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu",
                "swish", "tanh")  # fmt: skip
_SEED_LIMIT = 2**64
_MOST = 2**20  # of BART's sizes; tokenizers end the program over far more
_MOST_LAYERS = 256  # each is built before the weights can tell that it is not there
_LEAST_LEARNT = 256 + 5  # entries of a tokenizer: bytes and special tokens
_NAME_LENGTH = 100


@dataclass(frozen=True, kw_only=True)
class InputsConfig:
    """What the encoder reads. At least one of `tags` and `audio` names a stream.

    Attributes:
        tags: stream of tag logits, "" for none.
        audio: stream of embeddings, "" for none; or several, each with a dense layer of its own,
            whose outputs are summed (train/data/clocks.py brings them to one clock).
        audio_width: columns of the audio stream, or of each of several; only `train recipes` counts
            with it, a run takes the width that the features have.
        tasks: a name for each features folder of a run over several, in their order; the prompt
            begins with that of the clip's folder, so that the model knows whose wording to speak.
            () for none.
        max_prompt_tokens: longest prompt, BOS and EOS counted; whole trailing tags are dropped.
        max_caption_tokens: longest caption, BOS and EOS counted; a cut caption keeps EOS.
    """

    tags: str = "yamnet"
    audio: str | tuple[str, ...] = "panns"
    audio_width: int | tuple[int, ...] = 2048
    tasks: tuple[str, ...] = ()
    max_prompt_tokens: int = 128
    max_caption_tokens: int = 64

    def __post_init__(self) -> None:
        for name, kind in (("audio", str), ("audio_width", int)):
            object.__setattr__(self, name, one_or_several(name, getattr(self, name), kind))
        check_types(self, "inputs")
        if isinstance(self.audio, str):
            # What is left of a list in a shell: --set inputs.audio=["a","b"] without quotes.
            require(
                not self.audio.startswith("["),
                f"inputs.audio is {self.audio!r}; in a shell, a list of several streams needs "
                'quotes: --set \'inputs.audio=["panns", "clap"]\'',
            )
        require(bool(self.tags or self.audio), "inputs names neither tags nor audio")
        require(
            not self.tags or self.tags not in self.audio_streams,
            f"inputs.audio names {self.tags!r}, which is the stream of inputs.tags; expected one "
            "of embeddings",
        )
        object.__setattr__(self, "tasks", task_names(self.tasks))
        require(
            bool(self.tags or not self.tasks),
            "inputs.tasks stand before the tags, but inputs.tags is empty",
        )
        require(min(several(self.audio_width)) >= 1, "inputs.audio_width is below 1")
        require(self.max_prompt_tokens >= 3, "inputs.max_prompt_tokens is below 3")
        require(self.max_caption_tokens >= 3, "inputs.max_caption_tokens is below 3")

    @property
    def audio_streams(self) -> tuple[str, ...]:
        """The streams of embeddings, in the order of their dense layers; () for none."""
        return several(self.audio) if self.audio else ()

    @property
    def streams(self) -> tuple[str, ...]:
        """All streams that are read, that of the tags first."""
        return (*([self.tags] if self.tags else []), *self.audio_streams)

    @property
    def audio_widths(self) -> tuple[int, ...]:
        """What the recipe says of each audio stream's width.

        Raises:
            ConfigError: if it says it of another number of streams.
        """
        widths, names = several(self.audio_width), self.audio_streams
        require(
            not names or len(widths) == len(names),
            f"inputs.audio_width is {json.dumps(widths)}, expected a width for each of "
            f"inputs.audio, {json.dumps(names)}",
        )
        return widths if names else ()


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Where BART's weights and tokenizer come from, and what is frozen.

    Attributes:
        pretrained: a hub name, a local folder, a run folder to go on from with its dense layer
            and tokenizer, or "none" for random weights of [bart]'s shape.
        revision: of a hub name; "" takes the one pinned in train/model/hub.py.
        tokenizer: "" for the pretrained model's own, a folder, a hub name, or "train" to learn one
            from the training captions and the tags' names.
        freeze_decoder: the decoder's self-attention and MLP stay as they are; cross-attention and
            layer norms learn.
    """

    pretrained: str = "facebook/bart-large"
    revision: str = ""
    tokenizer: str = ""
    freeze_decoder: bool = False

    def __post_init__(self) -> None:
        check_types(self, "model")
        require(bool(self.pretrained), 'model.pretrained is empty; write "none" for random weights')
        require(
            self.pretrained != NO_PRETRAINED or bool(self.tokenizer),
            'model.pretrained is "none", so model.tokenizer must name a folder or a hub name, '
            f'or be "{TRAIN_TOKENIZER}"',
        )
        require(
            self.tokenizer != TRAIN_TOKENIZER or self.pretrained == NO_PRETRAINED,
            f'model.tokenizer = "{TRAIN_TOKENIZER}" needs model.pretrained = "none": pretrained '
            "weights know their own tokens only, which --set model.tokenizer= takes",
        )


@dataclass(frozen=True, kw_only=True)
class BartShape:
    """BART's own configuration, under its own names. Defaults are facebook/bart-large's.

    With pretrained weights the shape must agree with theirs; dropouts are always taken from here.
    """

    vocab_size: int = 50265
    max_position_embeddings: int = 1024
    d_model: int = 1024
    encoder_layers: int = 12
    decoder_layers: int = 12
    encoder_attention_heads: int = 16
    decoder_attention_heads: int = 16
    encoder_ffn_dim: int = 4096
    decoder_ffn_dim: int = 4096
    activation_function: str = "gelu"
    scale_embedding: bool = False
    init_std: float = 0.02
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0

    def __post_init__(self) -> None:
        check_types(self, "bart")
        for name, value in asdict(self).items():
            if isinstance(value, int) and not isinstance(value, bool):
                most = _MOST_LAYERS if name.endswith("_layers") else _MOST
                require(1 <= value <= most, f"bart.{name} is {value}, expected 1 to {most:,}")
            elif name.endswith(("dropout", "layerdrop")):
                require(0 <= value < 1, f"bart.{name} is {value}, expected 0 to below 1")
        require(self.init_std > 0, f"bart.init_std is {self.init_std}, expected more than 0")
        require_one_of("bart.activation_function", self.activation_function, _ACTIVATIONS)
        for side in ("encoder", "decoder"):
            heads = getattr(self, f"{side}_attention_heads")
            require(
                self.d_model % heads == 0,
                f"bart.d_model is {self.d_model}, no multiple of {side}_attention_heads = {heads}",
            )


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """How the weights learn. Defaults are the paper's.

    Attributes:
        epochs: passes over the training captions.
        max_updates: stop and end the schedule there instead, 0 for never.
        batch_size: captions in a forward pass, over all processes together.
        grad_accumulation: forward passes per update.
        schedule: "linear" decay to zero, or "constant".
        warmup_updates: the learning rate grows linearly over so many updates first.
        clip_norm: longest gradient, 0 for no limit; of the loss summed over an update's tokens and
            divided by batch_size x grad_accumulation x max_caption_tokens.
        loss_on_padding: count padding tokens in the loss, captions padded to
            max_caption_tokens, as the paper's published code does.
    """

    epochs: int = 4
    max_updates: int = 0
    batch_size: int = 8
    grad_accumulation: int = 1
    learning_rate: float = 1e-5
    schedule: str = "linear"
    warmup_updates: int = 0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    label_smoothing: float = 0.0
    loss_on_padding: bool = False

    def __post_init__(self) -> None:
        check_types(self, "optim")
        for name in ("epochs", "batch_size", "grad_accumulation"):
            require(getattr(self, name) >= 1, f"optim.{name} is below 1")
        for name in ("max_updates", "warmup_updates", "weight_decay", "clip_norm"):
            require(getattr(self, name) >= 0, f"optim.{name} is below 0")
        for name in ("learning_rate", "epsilon"):
            require(getattr(self, name) > 0, f"optim.{name} is not above 0")
        for name in ("beta1", "beta2", "label_smoothing"):
            require(0 <= getattr(self, name) < 1, f"optim.{name} is not within 0 to below 1")
        require_one_of("optim.schedule", self.schedule, ("linear", "constant"))


AUTO, ALWAYS, NEVER = "auto", "always", "never"
VAL_LOSS, CIDER_D = "val_loss", "cider_d"
TENSORBOARD, WANDB = "tensorboard", "wandb"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a run is carried out.

    Attributes:
        seed: of tag draws, order, dropout and random weights.
        precision: "float32", or "bf16" for bf16 weights over float32 masters (train/flat_adamw.py).
        deterministic: refuse operations whose result may differ from run to run.
        compile: "always", "never", or "auto": layers are compiled one by one on a GPU where the
            updates of the run repay the time that it takes (train/faster.py). true and false stand
            for "always" and "never".
        cuda_graphs: the same for repeating an update as one launch (train/graphs.py); "auto" on
            every GPU where the run allows it. Nothing on a CPU.
        validate_every: updates from one validation to the next; the end of training validates too.
        save_every: updates from one saved state to the next, 0 for the same as validate_every.
        log_every: updates from one line in metrics.jsonl to the next.
        bucket_batches: updates of similar length are cut from so many updates of the shuffled
            order; 1 keeps the order.
        keep_state: keep the state for resuming after the last update too.
        sample_clips: so many validation clips are captioned beside training, ten of them to read
            and all of them for CIDEr-D (train/run_folder/samples.py); 0 for none.
        best: what makes the best weights: the lowest "val_loss", or the highest "cider_d" of the
            sample, which each validation then waits for.
        tracker: "wandb" sends what TensorBoard's files get through its own library, too.
    """

    seed: int = 0
    precision: str = "float32"
    deterministic: bool = False
    compile: str = AUTO
    cuda_graphs: str = AUTO
    validate_every: int = 1000
    save_every: int = 0
    log_every: int = 50
    bucket_batches: int = 1
    keep_state: bool = False
    sample_clips: int = 100
    best: str = VAL_LOSS
    tracker: str = TENSORBOARD

    def __post_init__(self) -> None:
        for name in ("compile", "cuda_graphs"):
            if type(getattr(self, name)) is bool:  # as older recipes say it
                object.__setattr__(self, name, ALWAYS if getattr(self, name) else NEVER)
        check_types(self, "train")
        require(
            0 <= self.seed < _SEED_LIMIT,
            f"train.seed is {self.seed}, expected 0 to below 2**64 = {_SEED_LIMIT}",
        )
        for name in ("save_every", "sample_clips"):
            require(getattr(self, name) >= 0, f"train.{name} is below 0")
        for name in ("validate_every", "log_every", "bucket_batches"):
            require(getattr(self, name) >= 1, f"train.{name} is below 1")
        require_one_of("train.precision", self.precision, ("float32", "bf16"))
        for name in ("compile", "cuda_graphs"):
            require_one_of(f"train.{name}", getattr(self, name), (AUTO, ALWAYS, NEVER))
        require_one_of("train.best", self.best, (VAL_LOSS, CIDER_D))
        require_one_of("train.tracker", self.tracker, (TENSORBOARD, WANDB))
        require(
            self.best == VAL_LOSS or self.sample_clips >= 2,
            'train.best is "cider_d", which needs train.sample_clips of 2 at least',
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One experiment. `name` is the recipe file's stem, and a folder's in `evaluate paper`."""

    name: str = "unnamed"
    description: str = ""
    inputs: InputsConfig = field(default_factory=InputsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    bart: BartShape = field(default_factory=BartShape)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        for key in ("name", "description"):
            value = getattr(self, key)
            require(isinstance(value, str), f"recipe: {key} is {value!r}, expected a text")
        require(
            0 < len(self.name) <= _NAME_LENGTH
            and self.name.isprintable()
            and not self.name.startswith(".")
            and not set(self.name) & set("/\\"),
            f"recipe: name is {self.name[:200]!r}, expected what can name a folder: 1 to "
            f"{_NAME_LENGTH} printable characters without / and \\, the first no dot",
        )
        require(
            self.model.tokenizer != TRAIN_TOKENIZER or self.bart.vocab_size >= _LEAST_LEARNT,
            f"bart.vocab_size is {self.bart.vocab_size}, expected at least {_LEAST_LEARNT} where "
            f'model.tokenizer = "{TRAIN_TOKENIZER}": 256 bytes and 5 special tokens',
        )
        layerdrop = self.bart.encoder_layerdrop or self.bart.decoder_layerdrop
        require(
            self.train.cuda_graphs != ALWAYS
            or (self.optim.grad_accumulation == 1 and not layerdrop),
            "train.cuda_graphs repeats one forward pass and one step, always through the same "
            "kernels: it needs optim.grad_accumulation = 1, bart.encoder_layerdrop = 0 and "
            "bart.decoder_layerdrop = 0",
        )


SECTIONS: dict[str, type] = {
    "inputs": InputsConfig,
    "model": ModelConfig,
    "bart": BartShape,
    "optim": OptimConfig,
    "train": TrainConfig,
}
