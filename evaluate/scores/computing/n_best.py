"""What SPIDEr-max looks at: every clip's candidates, a rank at a time.

SPIDEr-max is the SPIDEr of a clip's best candidate, averaged over clips (Labbé, Pellegrini,
Pinquier, "Is my automatic audio captioning system so bad? SPIDEr-max: a metric to consider several
caption candidates", DCASE 2022).
"""

from collections.abc import Sequence

NBest = Sequence[Sequence[str]]  # per clip its candidates, none where no list was kept


def further_ranks(candidates: Sequence[str], lists: NBest) -> list[list[str]]:
    """The candidates of n-best lists besides each clip's own, as files with a caption per clip.

    Args:
        candidates: per clip, its caption.
        lists: per clip, its n-best list.

    Returns:
        As many files as the clip with most candidates needs; where a clip has no more, its caption
        stands again. Empty if a clip has no list.
    """
    if not all(lists):
        return []
    pools = [
        list(dict.fromkeys((own, *texts))) for own, texts in zip(candidates, lists, strict=True)
    ]
    most = max(map(len, pools))
    return [
        [pool[rank] if rank < len(pool) else pool[0] for pool in pools] for rank in range(1, most)
    ] or [list(candidates)]
