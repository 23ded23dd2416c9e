"""Put a report's folder together: gather, lay out, publish."""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

from evaluate.report import pages
from evaluate.report.folders import Study, read_study
from evaluate.report.inside import Insight
from evaluate.report.material import Material, Sources, gather
from evaluate.report.pictures import BANDS_HZ, draw_histograms
from evaluate.report.timeline import timeline
from evaluate.scores.paper import TEST_CLIPS
from evaluate.scores.results import METRICS
from features.common.console import log, progress
from features.common.errors import TagbartError
from features.common.publish import write_json

MARK_NAME = "report.json"
FORMAT = "tagbart-report"


def build_report(folders: Sequence[Path], out: Path, sources: Sources) -> None:
    """Write a report.

    Args:
        folders: evaluation folders.
        out: the report's folder; an earlier report there is replaced.
        sources: where features, runs and audio are.

    Raises:
        TagbartError: if a folder is no evaluation, or `out` holds something else than a report.
    """
    start = monotonic()
    study = read_study(folders)
    with published_folder(out) as draft:
        (draft / "clips").mkdir()
        names = {clip: f"{number:05d}" for number, clip in enumerate(study.clips)}
        pictures = {clip: draft / "clips" / f"{name}.png" for clip, name in names.items()}
        material = gather(study, sources, pictures)
        draw_histograms(pages.histogram_columns(study), draft / "scores.png")
        for name in ("timeline.css", "report.css", "report.js"):
            shutil.copyfile(pages.TEMPLATES / name, draft / name)
        _Writer(study, material, sources.audio, out, draft, names).write()
        record = {"format": FORMAT, "version": 1, "folders": [str(path) for path in folders]}
        write_json(draft / MARK_NAME, {**record, "clips": len(study.clips)})
    for what in material.left_out:
        log(f"left out: {what}")
    megabytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    seconds = monotonic() - start
    log(f"{len(study.clips):,} clips, {megabytes:.1f} MB without the audio, in {seconds:.0f} s")


class _Writer:
    """Writes the pages of one report."""

    def __init__(
        self,
        study: Study,
        material: Material,
        dump: Path | None,
        out: Path,
        draft: Path,
        names: dict[str, str],
    ) -> None:
        self.study, self.material, self.draft, self.names = study, material, draft, names
        self._dump, self._out = dump, out
        self._env = pages.environment()
        self._common = {
            "study": study,
            "metric_names": METRICS,
            "ranking": METRICS[study.metric],
            "material": material,
            "names": names,
            "bands_hz": BANDS_HZ,
        }

    def write(self) -> None:
        """Write index.html and a page per clip."""
        self._page("index.html", self.draft / "index.html", self._index())
        template = self._env.get_template("clip.html")
        clips = self.study.clips
        for number, clip in enumerate(progress(clips, what="pages", unit="clips")):
            text = template.render(
                **self._common,
                **self._clip(clip),
                before=clips[number - 1] if number else None,
                after=clips[number + 1] if number + 1 < len(clips) else None,
                number=number,
            )
            path = self.draft / "clips" / f"{self.names[clip]}.html"
            path.write_text(text, encoding="utf-8")

    def _page(self, template: str, path: Path, values: dict[str, Any]) -> None:
        text = self._env.get_template(template).render(**self._common, **values)
        path.write_text(text, encoding="utf-8")

    def _index(self) -> dict[str, Any]:
        study = self.study
        groups = pages.chosen_clips(study)
        different = pages.most_different(study)
        tags = {clip: self._likeliest(clip) for clip in study.clips}
        return {
            "rows": pages.score_rows(study),
            "differences": pages.differences(study),
            "groups": {"Where the systems differ most": different, **groups}
            if different
            else groups,
            "paper_clips": TEST_CLIPS,
            "speech": pages.speech(study),
            "by_tag": pages.by_tag(study, tags),
            "not_available": {
                METRICS[name]: reason
                for system in study.systems
                if system.result
                for name, reason in system.result.not_available.items()
            },
        }

    def _likeliest(self, clip: str) -> list[str]:
        tags, found = self.material.tags, self.material.clips.get(clip)
        if tags is None or found is None:
            return []
        return [tags.classes[i] for i in found.streams[tags.name].argmax(axis=1)]

    def _clip(self, clip: str) -> dict[str, Any]:
        tags, found = self.material.tags, self.material.clips.get(clip)
        line = None
        if tags is not None and found is not None:
            line = timeline(found.streams[tags.name], tags.classes, tags.hop_s)
        seconds = found.duration_s if found else 0.0
        return {
            "clip": clip,
            "found": found,
            "seconds": seconds,
            "timeline": line,
            "extent_s": max(seconds, len(line.seconds) * line.hop_s if line else 0.0),
            "audio": self._link(found.path) if found and self.material.picture(clip) else None,
            "systems": [
                {
                    "system": system,
                    "seen": _seen(seen[clip]) if clip in seen else None,
                    "n_best": system.n_best.get(clip, [])[1:],
                }
                for system, seen in zip(self.study.systems, self.material.insights, strict=True)
            ],
        }

    def _link(self, path: str) -> str:
        """The way from a clip's page to its audio file."""
        assert self._dump is not None
        here = self._out.resolve() / "clips"
        return quote(Path(os.path.relpath(self._dump.resolve() / path, here)).as_posix())


def _seen(insight: Insight) -> dict[str, Any]:
    """An insight as a page shows it; attention in thousandths."""
    rows, elsewhere = insight.by_row()
    return {
        "tokens": list(zip(insight.tokens, insight.probabilities, strict=True)),
        "prompt": list(zip(insight.prompt, insight.prompt_rows, strict=True)),
        "by_row": [
            ("".join(p for p, r in zip(insight.prompt, insight.prompt_rows, strict=True) if r == i),
             rows[:, i].tolist())
            for i in range(rows.shape[1])
        ],
        "elsewhere": elsewhere.tolist(),
        "attention": (insight.attention * 1000).round().astype(int).tolist(),
    }  # fmt: skip


@contextmanager
def published_folder(out: Path) -> Iterator[Path]:
    """Yield a draft folder that takes the place of `out` only if the block succeeds.

    Raises:
        TagbartError: if `out` holds something else than an earlier report.
    """
    if out.exists() and not _replaceable(out):
        raise TagbartError(f"{out}: is there already and no report; name another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.{os.getpid()}.part")
    draft.mkdir()
    try:
        yield draft
        if out.exists():
            shutil.rmtree(out)
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _replaceable(out: Path) -> bool:
    if not out.is_dir():
        return False
    try:
        mark = json.loads((out / MARK_NAME).read_text(encoding="utf-8"))
        return mark.get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return not any(out.iterdir())
