"""Put a report's folder together: gather, lay out, publish."""

import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

from evaluate.report import compare, pages
from evaluate.report.folders import Study, read_study
from evaluate.report.material import Material, Sources, gather
from evaluate.report.output import MARK_NAME, published_folder
from evaluate.report.worded import worded
from evaluate.scores.computing.listening import read_rows
from evaluate.scores.paper import TEST_CLIPS
from evaluate.scores.results import METRICS
from evaluate.view.axis import View, spoken
from evaluate.view.timeline import timeline
from evaluate.view.words import diff, from_text, marked, said_by_all
from extract.sound.parts import is_contained
from features.common.console import log, progress
from features.common.publish import write_json

FORMAT = "tagbart-report"
COPIED = ("view.css", "report.css", "view.js", "triage.js", "clip.js", "report.js")


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
    with published_folder(out, FORMAT) as draft:
        (draft / "clips").mkdir()
        names = clip_names(study)
        pictures = {clip: draft / "clips" / f"{name}.png" for clip, name in names.items()}
        material = gather(study, sources, pictures)
        for name in COPIED:
            shutil.copyfile(pages.TEMPLATES / name, draft / name)
        _Writer(study, material, sources, out, draft).write()
        record = {"format": FORMAT, "version": 1, "folders": [str(path) for path in folders]}
        write_json(draft / MARK_NAME, {**record, "clips": len(study.clips)})
    for what in material.left_out:
        log(f"left out: {what}")
    megabytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    seconds = monotonic() - start
    audio = "with" if sources.copy_audio else "without"
    log(f"{len(study.clips):,} clips, {megabytes:.1f} MB {audio} the audio, in {seconds:.0f} s")


class _Writer:
    """Writes the pages of one report."""

    def __init__(
        self, study: Study, material: Material, sources: Sources, out: Path, draft: Path
    ) -> None:
        self.study, self.material, self.draft = study, material, draft
        self._sources, self._out = sources, out
        self.names = clip_names(study)
        self._tags = {clip: self._likeliest(clip) for clip in study.clips}
        self._env = pages.environment()
        self._common = {
            "study": study,
            "metric_names": METRICS,
            "ranking": METRICS[study.metric],
            "material": material,
            "names": self.names,
        }

    def write(self) -> None:
        """Write index.html, a page per clip, and clips.js, which both read."""
        data = json.dumps(self._data(), ensure_ascii=False, separators=(",", ":"))
        (self.draft / "clips.js").write_text(f"window.tagbart = {data};\n", encoding="utf-8")
        self._page("index.html", self.draft / "index.html", self._index())
        clips = self.study.clips
        for number, clip in enumerate(progress(clips, what="pages", unit="clips")):
            around = {
                "before": clips[number - 1] if number else None,
                "after": clips[number + 1] if number + 1 < len(clips) else None,
                "number": number,
            }
            path = self.draft / "clips" / f"{self.names[clip]}.html"
            self._page("clip.html", path, {**self._clip(clip), **around})

    def _page(self, template: str, path: Path, values: dict[str, Any]) -> None:
        text = self._env.get_template(template).render(**self._common, **values)
        path.write_text(text, encoding="utf-8")

    def _data(self) -> dict[str, Any]:
        """What triage.js sorts and searches: clips in the report's order."""
        study = self.study
        return {
            "systems": [system.label for system in study.systems],
            "metrics": study.metrics,
            "headings": METRICS,
            "first": study.metric,
            "clips": [
                {
                    "n": number,
                    "id": clip,
                    "captions": [system.caption(clip) for system in study.systems],
                    "references": study.references(clip),
                    "tags": list(dict.fromkeys(self._tags[clip])),
                    "scores": [
                        [_number(system.score(clip, name)) for name in study.metrics]
                        for system in study.systems
                    ],
                }
                for number, clip in enumerate(study.clips)
            ],
        }

    def _index(self) -> dict[str, Any]:
        study = self.study
        groups = pages.chosen_clips(study)
        different = compare.most_different(study)
        rows = compare.differences(study)

        def link(clip: str) -> str:
            return f"clips/{self.names[clip]}.html"

        return {
            "rows": pages.score_rows(study),
            "paper_rows": pages.paper_rows(study),
            "same_clips": pages.of_audiocaps(study),
            "differences": rows,
            "listening": self._listening(),
            "forest": compare.forest_of(rows, len(study.systems) > 2),
            "charts": compare.charts(study, self.material, self._tags, link),
            "groups": {"Where the systems differ most": different, **groups}
            if different
            else groups,
            "paper_clips": TEST_CLIPS,
            "speech": pages.speech(study),
            "worded": worded(study),
            "by_tag": compare.by_tag(study, self._tags),
            "sounds": {clip: f"clips/{src}" for clip in study.clips if (src := self._sound(clip))},
            "not_available": {
                METRICS[name]: reason
                for system in study.systems
                if system.result
                for name, reason in system.result.not_available.items()
            },
        }

    def _listening(self) -> list[dict[str, Any]]:
        """The first system's listen-check, if it is there."""
        first = self.study.systems[0]
        sha256 = first.result.sha256.get("predictions") if first.result else None
        return read_rows(first.path, sha256, self.study.metric)

    def _likeliest(self, clip: str) -> list[str]:
        tags, found = self.material.tags, self.material.clips.get(clip)
        if tags is None or found is None:
            return []
        return [tags.classes[i] for i in found.streams[tags.name].argmax(axis=1)]

    def _clip(self, clip: str) -> dict[str, Any]:
        study, tags, found = self.study, self.material.tags, self.material.clips.get(clip)
        references = study.references(clip)
        several = len(study.systems) > 1
        systems: list[dict[str, Any]] = []
        for system, seen in zip(study.systems, self.material.insights, strict=True):
            label = system.label if several else ""
            said = spoken(seen[clip], references, label) if clip in seen else None
            n_best = system.n_best.get(clip, [])
            known = n_best[0]["probability"] if n_best else said.probability if said else None
            systems.append(
                {
                    "system": system,
                    "said": said,
                    "words": from_text(system.caption(clip), references),
                    "n_best": n_best,
                    "probability": known,
                }
            )
        own = study.systems[0].caption(clip)
        shared = said_by_all(references)
        return {
            "clip": clip,
            "found": found,
            "systems": systems,
            "spoken": any(item["said"] for item in systems),
            "references": [marked(text, shared, own) for text in references],
            "changed": diff(own, study.systems[1].caption(clip)) if len(systems) == 2 else None,
            "view": View(
                seconds=found.duration_s if found else 0.0,
                sound=self._sound(clip),
                picture=f"{self.names[clip]}.png" if self.material.picture(clip) else "",
                timeline=timeline(found.streams[tags.name], tags.classes, tags.hop_s)
                if found and tags
                else None,
                spoken=tuple(said for item in systems if (said := item["said"])),
            ),
        }

    def _sound(self, clip: str) -> str:
        """The way from a clip's page to its sound, "" where there is none."""
        if not self.material.picture(clip):
            return ""
        path = self.material.clips[clip].path
        if self._sources.copy_audio or is_contained(path):
            return f"{self.names[clip]}.ogg"
        assert self._sources.audio is not None
        here = self._out.resolve() / "clips"
        file = self._sources.audio.resolve() / path
        return quote(Path(os.path.relpath(file, here)).as_posix())


def clip_names(study: Study) -> dict[str, str]:
    """Names of the clips' files, without suffix."""
    return {clip: f"{number:05d}" for number, clip in enumerate(study.clips)}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
