"""`python -m extract`: stage one, from a folder of clips to shards of features."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from features.common.console import log, new_app, say
from features.common.errors import ConfigError
from features.common.machine import check_address_space
from features.common.options import Weights

stored = partial(typer.Option, rich_help_panel="What is stored")
computing = partial(typer.Option, rich_help_panel="Computing")
machines = partial(typer.Option, rich_help_panel="Many machines")

app = new_app("Stage one: three frozen networks turn a folder of clips into shards of features.")


@app.command("run")
def run_command(
    dump: Annotated[
        Path,
        typer.Argument(
            metavar="DUMP", help="Folder with the audio, or with parquet or tar files of it."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Features folder to make, or to go on with.")],
    captions: Annotated[
        Path | None, typer.Option(help="Captions file, or their folder, if not in the dump.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of dump: audiocaps, clotho, captions (your own), macs, wavcaps, parquet, "
            "webdataset, or folder (audio without captions).",
            show_default="recognised",
        ),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Split to do; may be repeated.", show_default="all")
    ] = None,
    val: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="For val, by their names, of clips whose split nothing names.",
            show_default="0.05",
        ),
    ] = None,
    test: Annotated[
        float | None, typer.Option(metavar="SHARE", help="… and for test.", show_default="0.05")
    ] = None,
    streams: Annotated[
        str,
        stored(
            metavar="NAME,…", help="What to extract; streams added later join those already there."
        ),
    ] = "yamnet,vggish,panns",
    dtype: Annotated[
        str,
        stored(
            metavar="float16|float32",
            help="Type of the stored values; 17 kB or 34 kB a clip of 10 s.",
        ),
    ] = "float16",
    weights: Weights = Path("weights"),
    device: Annotated[
        str | None,
        computing(
            metavar="cpu|cuda|cuda:N",
            help="What the networks run on.",
            show_default="cuda where there is one; cpu with --engine ray",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        computing(
            metavar="float32|tf32|bf16",
            help="Arithmetic of the networks; tf32 is for GPUs and loses less than float16 does; "
            "bf16 is the fastest and moves values by up to 3 %. Tags stay in float32.",
            show_default="what the folder was begun in; tf32 on cuda, float32 on cpu",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        computing(help="Decoding processes.", show_default="1 on cpu, all cores but 2 on cuda"),
    ] = None,
    batch_clips: Annotated[
        int | None, computing(help="Clips encoded together.", show_default="8 on cpu, 64 on cuda")
    ] = None,
    threads: Annotated[
        int | None,
        computing(help="Threads of the networks.", show_default="all cores on cpu, 1 on cuda"),
    ] = None,
    shard_clips: Annotated[int, machines(help="Clips listed per shard.")] = 2000,
    part: Annotated[
        str, machines(metavar="i/n", help="Do the i-th of n shares of the shards.")
    ] = "1/1",
    engine: Annotated[
        str, machines(metavar="local|ray", help="This machine, or the Ray cluster at $RAY_ADDRESS.")
    ] = "local",
) -> None:
    """Extract features from every clip of a dump; run again to go on after a stop.

    Exit code 0: done (missing clips are counted and listed). 1: done, but clips that are there
    could not be used. 2: could not run. Lost clips of both kinds stand in failures.csv.

    Next: python -m train run FEATURES --out RUN

    Example: python -m extract run audiocaps --out features-audiocaps --weights weights
    """
    check_address_space()
    from extract.asked import Extraction, own_device
    from extract.dump.splits import SplitRule
    from extract.run import extract
    from extract.sound.decode import Settings
    from features.common.machine import cores

    device = device or own_device(engine)
    on_gpu = device != "cpu"
    settings = Settings(
        device=device,
        workers=workers if workers is not None else (max(1, cores() - 2) if on_gpu else 1),
        batch_clips=batch_clips if batch_clips is not None else (64 if on_gpu else 8),
        threads=threads if threads is not None else (1 if on_gpu else cores()),
    )
    config = Extraction(
        dump=dump,
        out=out,
        weights=weights,
        captions=captions,
        kind=kind,
        splits=tuple(split) if split else None,
        rule=SplitRule(val=val, test=test),
        streams=tuple(name.strip() for name in streams.split(",")),
        precision=precision,
        dtype=dtype,
        shard_clips=shard_clips,
        part=_part(part),
        engine=engine,
        settings=settings,
    )
    raise typer.Exit(extract(config))


@app.command("fetch")
def fetch_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Of yamnet, vggish, panns, convnext, panns_tags, clap, ast.",
            show_default="the first three",
        ),
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="makers|tfhub|NAME",
            help="tfhub has yamnet and vggish as SavedModels, read by TensorFlow. A name "
            "on the Hugging Face hub for clap or ast, such as laion/larger_clap_general.",
        ),
    ] = "makers",
    weights: Annotated[
        Path,
        typer.Option(
            help="Folder to put them into; PANNs alone has 329 MB.", envvar="TAGBART_WEIGHTS"
        ),
    ] = Path("weights"),
) -> None:
    """Get the networks' official weights, resuming what broke off, and check that they load.

    SavedModels from TF-Hub are converted here, which needs `make setup-tensorflow`: our network's
    output is compared with TensorFlow's, and refused if they differ.

    Example: python -m extract fetch panns
    """
    from extract.streams import STREAMS
    from extract.weights.fetch import fetch
    from extract.weights.official import names_wanted, official_from

    official = official_from(source)
    chosen = names_wanted(names or (), official)
    for name, path in zip(chosen, fetch(chosen, weights, official=official), strict=True):
        sources = STREAMS[name].sources
        loaded = sources[path.name](path)
        say(f"{name}: {loaded.network}, sha256 {loaded.sha256}")
        first = next(file for file in sources if (weights / file).exists())
        if first != path.name:
            log(f"{name}: extraction takes {weights / first} as long as it is there")


@app.command("check-stream")
def check_stream_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A stream, such as clap.")],
    weights: Weights = Path("weights"),
    device: Annotated[
        str | None, computing(metavar="cpu|cuda", help="What the network runs on.")
    ] = None,
) -> None:
    """Try a stream: shapes, clock, independence of the batch, silence, short and long clips, speed.

    Example: python -m extract check-stream vggish --weights extract/demo_weights
    """
    from extract.asked import own_device
    from extract.check_stream import check_stream, failed

    checks = check_stream(name, weights, device=device or own_device("local"))
    for check in checks:
        print(f"{'yes' if check.kept else 'NO ':3}  {check.name}: {check.seen}")
    if error := failed(checks):
        raise error


@app.command("demo")
def demo_command(
    dump: Annotated[
        Path, typer.Argument(metavar="DUMP", help="Folder to write the synthetic dump into.")
    ],
    clips: Annotated[int, typer.Option(help="How many clips of 10 s.")] = 2000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Write a synthetic dump in the layout of AudioCaps: sounds and captions made by rule.

    Example: python -m extract demo demo/dump --clips 200
    """
    from extract.demo.write import write_demo_dump

    write_demo_dump(dump, clips=clips, seed=seed)


@app.command("demo-encoders")
def demo_encoders_command(
    out: Annotated[Path, typer.Argument(metavar="WEIGHTS", help="Weights folder to write.")],
    seed: Annotated[
        int, typer.Option(min=0, max=2**64 - 1, help="Of the sounds and of the initial weights.")
    ] = 1,
) -> None:
    """Train the three small encoders that the demo uses, on synthetic sounds.

    Example: python -m extract demo-encoders extract/demo_weights
    """
    from extract.demo.encoders import train_demo_encoders

    train_demo_encoders(out, seed=seed)


def _part(text: str) -> tuple[int, int]:
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal()):
        raise ConfigError(f"--part is {text!r}, expected i/n, such as 2/8")
    return int(number), int(of)
