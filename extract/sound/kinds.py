"""Which files are sound, by the endings of their names."""

from os.path import splitext

# Audio by name, whether or not we can decode it: what we cannot must be reported, not missed.
# What libsndfile decodes by itself:
DECODED_SUFFIXES = frozenset(
    ".wav .wave .bwf .bw64 .rf64 .w64 .flac .ogg .oga .opus .mp3 .mp2 .mp1 .mpga .mpa .aif .aiff "
    ".aifc .au .snd .caf .sph .nist .voc .avr .paf .pvf .svx .8svx .ircam".split()
)
# What it takes ffmpeg for:
FOREIGN_SUFFIXES = frozenset(
    ".m4a .m4b .m4r .mp4 .m4v .mov .3gp .3g2 .aac .adts .webm .weba .mkv .mka .wma .wmv .asf .amr "
    ".awb .wv .ape .tta .tak .mpc .shn .ac3 .eac3 .dts .spx .ogv .dsf .dff .ra .rm .avi .flv "
    ".mpg .mpeg .gsm .qcp .oma".split()
)
AUDIO_SUFFIXES = DECODED_SUFFIXES | FOREIGN_SUFFIXES


def needs_ffmpeg(path: str) -> str:
    """A file's ending in lower case if libsndfile decodes no such files, else nothing."""
    ending = splitext(path)[1].lower()  # noqa: PTH122 - of millions
    return ending if ending in FOREIGN_SUFFIXES else ""
