"""The paper's tables with ours beside them."""

import csv
import io
import json
import re
from hashlib import sha256

import pytest

from evaluate.scores import paper, which_clips
from evaluate.scores.results import Origin, write_results
from evaluate.scores.table import as_csv, as_markdown, as_text, gather
from features.common.errors import TagbartError
from tests.evaluate.scores.scoring_fixtures import made_scores
from train.recipes.files import load_recipe, write_resolved


@pytest.fixture(autouse=True)
def ids_of_the_test_split(monkeypatch):
    """Here AudioCaps' test clips are called 0 to 974."""
    hashes = frozenset(sha256(str(i).encode()).hexdigest()[:10] for i in range(975))
    monkeypatch.setattr(which_clips, "known_hashes", lambda: hashes)


def result(folder, recipe="yamnet-panns", *, seed=0, value=0.5, clips=975, decoding=None, first=0):
    """An evaluation folder whose CIDEr-D is `value`, of clips that are called by numbers."""
    names, lacking = map(str, range(first, first + clips)), {"spice": "get them with: X"}
    scores = made_scores(names, {"cider_d": [value] * clips}, not_available=lacking)
    made = Origin(recipe=recipe, seed=seed, split="test", run="r", decoding=decoding or {})
    write_results(folder, scores, predictions="p", evaluation=made if recipe else None)
    return folder


@pytest.mark.real_data
def test_the_papers_numbers_are_those_of_the_notes_on_the_paper(real_data):
    notes = (real_data / "paper.md").read_text(encoding="utf-8")
    first, second = notes.split("## Table 1")[1].split("## Table 2")
    for table, text in ((paper.TABLE1, first), (paper.TABLE2, second)):
        found = [
            [re.findall(r"[\d.]+", cell) for cell in line.split("|")[2:-1]]
            for line in text.splitlines()
            if re.match(r"\|.*\d\d\.\d", line)
        ]
        ours = [
            [
                [str(number) for number in (value, std) if number is not None]
                for value, std in zip(row.values, row.std or [None] * len(row.values), strict=True)
            ]
            for row in table.rows
        ]
        assert ours == found


def test_seeds_of_a_recipe_are_one_row_with_mean_and_standard_deviation(tmp_path):
    folders = [
        result(tmp_path / str(seed), seed=seed, value=value)
        for seed, value in enumerate((0.70, 0.72, 0.74))
    ]
    text = as_text(gather(folders))
    lines = text.splitlines()
    ours = [line for line in lines if "ours: yamnet-panns, 3 seeds, 975 clips" in line]
    assert len(ours) == 2  # in both tables
    assert all("72.0 (2.0)" in line for line in ours)
    assert "BART + YAMNet + PANNs" in lines[lines.index(ours[0]) - 1]
    assert "reference, bart-large" in lines[lines.index(ours[1]) - 1]
    assert "SPICE: not available (get them with: X)" in text


@pytest.mark.parametrize(
    ("said", "word"),
    [(("yes", "no"), "yes"), (("no", "no"), "no"), (("no", None), "unknown"), ((), "unknown")],
)
def test_whether_the_networks_have_heard_the_test_clips_is_said(tmp_path, said, word):
    run = tmp_path / "run"
    folder = result(run / "test")
    streams = {str(i): {"heard_audiocaps": each} for i, each in enumerate(said)}
    (run / "streams.json").write_text(json.dumps(streams))
    line = f"Networks have heard the test clips: {word} (docs/scoring.md)."
    assert line in as_text(gather([folder])) and line in as_markdown(gather([folder]))
    other = result(tmp_path / "other", recipe="yamnet")
    both = as_text(gather([folder, other]))
    assert both.count("have heard the test clips") == (1 if word == "unknown" else 2)


def test_fewer_clips_than_975_are_marked_with_the_count(tmp_path):
    folders = [result(tmp_path / "a", clips=957), result(tmp_path / "b", seed=1, clips=893)]
    assert "2 seeds, 893 to 957 of 975 clips" in as_text(gather(folders))
    assert "957 of 975" not in as_text(gather([result(tmp_path / "c", clips=975)]))


def test_other_recipes_other_decoding_and_bare_predictions_get_rows_of_their_own(tmp_path):
    folders = [
        result(tmp_path / "a", "demo", decoding={"beams": 4}),
        result(tmp_path / "b", "demo", decoding={"beams": 1}),
        result(tmp_path / "c", ""),
    ]
    text = as_text(gather(folders))
    for name in ("ours: demo beams=4, 1 seed", "ours: demo beams=1, 1 seed", f"{tmp_path}/c, 975 "):
        assert text.count(name) == 1


def test_the_clips_ids_decide_whether_they_are_audiocaps_not_how_many_there_are(tmp_path):
    text = as_text(gather([result(tmp_path / "a", clips=975, first=1)]))  # 974 of them, and 975
    assert "ours: yamnet-panns, 1 seed, 975 other clips" in text
    assert "BART + YAMNet" not in text and "--paper" in text
    assert "BART + YAMNet" in as_text(gather([tmp_path / "a"]), paper=True)
    # Beside clips that are, those that are not stand apart.
    text = as_text(gather([tmp_path / "a", result(tmp_path / "b", "vggish", clips=240)]))
    assert text.index("975 other clips") < text.index("Table 1") < text.index("240 of 975 clips")


@pytest.mark.real_data
def test_the_known_ids_are_those_of_audiocaps_test_split_and_no_others(real_data, monkeypatch):
    monkeypatch.undo()
    ids = {}
    for split in ("test", "val", "train"):
        with (real_data / "audiocaps" / "captions" / f"{split}.csv").open(encoding="utf-8") as file:
            ids[split] = {f"{r['youtube_id']}_{r['start_time']}" for r in csv.DictReader(file)}
    assert len(ids["test"]) == 975 and which_clips.all_of_audiocaps(ids["test"])
    for split in ("val", "train"):
        assert not any(which_clips.all_of_audiocaps([clip]) for clip in ids[split])
    assert not which_clips.all_of_audiocaps([])


def test_settings_in_which_runs_differ_stand_beside_their_rows(tmp_path):
    for name, settings in (("a", ["optim.epochs=2"]), ("b", ["optim.epochs=3", "train.seed=1"])):
        folder = result(tmp_path / name / "test", seed=int(name == "b"))
        write_resolved(load_recipe("yamnet-panns", settings), folder.parent / "recipe.toml")
    text = as_text(gather([tmp_path / "a", tmp_path / "b"]))
    assert "yamnet-panns, 1 seed, 975 clips; optim.epochs=2" in text
    assert "yamnet-panns, 1 seed, 975 clips; optim.epochs=3" in text
    assert "seed=" not in text


def test_a_terminal_of_80_columns_breaks_no_line(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = as_text(gather([result(tmp_path / "a"), result(tmp_path / "b", seed=1)]))
    tables = text.split("\n\nOurs:")[0].splitlines()
    assert max(map(len, tables)) <= 80
    for heading in ("ROUGE-L", "SPIDEr"):
        assert any(heading in line.split() for line in tables)


def test_a_run_folder_stands_for_its_test_scores(tmp_path):
    result(tmp_path / "run" / "test", "vggish", value=0.376)
    assert "ours: vggish, 1 seed" in as_text(gather([tmp_path / "run"]))


def test_the_same_seed_twice_is_refused(tmp_path):
    a, b = result(tmp_path / "a"), result(tmp_path / "b")
    with pytest.raises(TagbartError, match="seed 0 of recipe 'yamnet-panns' is in") as caught:
        gather([a, b])
    assert str(a) in str(caught.value) and str(b) in str(caught.value)


def test_markdown_has_as_many_cells_in_every_row(tmp_path):
    rows = [
        line for line in as_markdown(gather([result(tmp_path)])).splitlines() if line[:1] == "|"
    ]
    assert {row.count("|") for row in rows} == {len(paper.TABLE1_METRICS) + 2, 3 + 2}


def test_csv_gives_a_program_means_and_deviations_in_columns_of_their_own(tmp_path):
    folders = [result(tmp_path / str(n), seed=n, value=0.5 + n / 100) for n in range(3)]
    rows = list(csv.DictReader(io.StringIO(as_csv(gather(folders)))))
    ours = [row for row in rows if row["source"] == "ours"]
    assert [row["table"] for row in ours] == ["1", "2"]
    assert (ours[0]["seeds"], ours[0]["clips"]) == ("3", "975")
    assert (ours[0]["cider_d"], ours[0]["cider_d_std"]) == ("51.000", "1.000")
    assert ours[0]["spice"] == ""
    human = next(row for row in rows if row["row"] == "Human")
    assert (human["source"], human["bleu_4"], human["bleu_4_std"]) == ("paper", "29.1", "")


def test_every_reason_for_a_metric_that_is_not_there_is_given_once(tmp_path):
    folders = [result(tmp_path / name, seed=seed) for seed, name in enumerate("abc")]
    path = folders[1] / "scores.json"
    path.write_text(path.read_text().replace("get them with: X", "without 1 clip: 50.0"))
    text = as_text(gather(folders))
    assert text.count("SPICE: not available (get them with: X)") == 1
    assert text.count("SPICE: not available (without 1 clip: 50.0)") == 1
