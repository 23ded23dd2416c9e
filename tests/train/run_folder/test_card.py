"""The model card and the curves of a finished run."""

import json
import shutil

import pytest
import yaml

from evaluate.scores.results import Scores, write_results
from features.common.errors import RunError
from tests.train.toy import settings
from train.cli import app
from train.recipes.files import load_recipe
from train.run import Job, train
from train.run_folder.card import note_evaluation, write_model_card
from train.run_folder.curves import draw_curves


@pytest.fixture(scope="module")
def run(toy_features, tmp_path_factory):
    out = tmp_path_factory.mktemp("card") / "run"
    recipe = load_recipe("yamnet-panns", settings(optim__epochs=1, train__log_every=1))
    train(Job(features=toy_features, out=out, recipe=recipe))
    return out


def test_the_card_says_what_the_run_was(run, toy_features):
    text = (run / "README.md").read_text()
    finished = json.loads((run / "finished.json").read_text())
    for fact in (str(toy_features), "45, 45", "40,864", f"{finished['best_loss']:.4f}",
                 "| optim.batch_size | `4` | `8` |", "0" * 64,
                 f"python -m evaluate caption {run} clip.wav",
                 "not measured yet", "a licence for these weights"):  # fmt: skip
        assert fact in text, fact
    assert "optim.epochs | `1` | `4`" in text and "optim.beta1" not in text


def test_the_card_of_a_run_with_tasks_says_whose_wording_there_is(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    recipe = tmp_path / "run" / "recipe.toml"
    assert "--task" not in (run / "README.md").read_text()
    text = recipe.read_text()
    assert "\ntasks = []\n" in text
    recipe.write_text(text.replace("\ntasks = []\n", '\ntasks = ["usual", "other"]\n'))
    write_model_card(tmp_path / "run")
    text = (tmp_path / "run" / "README.md").read_text()
    assert "speaks in the wording of usual; `--task` has: other." in text


def test_the_cards_head_is_yaml_with_what_is_known(run):
    head = yaml.safe_load((run / "README.md").read_text().split("---\n")[1])
    assert head["library_name"] == "tagbart" and "audio-captioning" in head["tags"]
    assert "base_model" not in head and "license" not in head  # random weights, nobody's licence


def test_scores_in_the_run_folder_are_in_a_card_written_again(run, tmp_path):
    import numpy as np

    scores = Scores(
        clips=("a", "b"),
        corpus={"bleu_4": 0.266, "spider": 0.465},
        per_clip={"bleu_4": np.zeros(2), "spider": np.zeros(2)},
        intervals={"spider": (0.45, 0.48)},
        not_available={"spice": "no jars"},
    )
    write_results(run / "test", scores, predictions="predictions.jsonl")
    app(["card", str(run)], standalone_mode=False)
    text = (run / "README.md").read_text()
    assert "| spider | 46.5 | 45.0 to 48.0 |" in text and "| bleu_4 | 26.6 |  |" in text
    assert "| spice | – | not measured: no jars |" in text
    assert "not measured yet" not in text


def test_the_listen_check_is_in_the_card_while_it_is_of_the_captions_that_were_scored(run):
    import numpy as np

    scores = Scores(clips=("a",), corpus={"cider_d": 0.5}, per_clip={"cider_d": np.zeros(1)},
                    intervals={}, predictions_sha256="1" * 64)  # fmt: skip
    write_results(run / "test", scores, predictions="predictions.jsonl")
    own = {"corpus": {"cider_d": 0.5}, "intervals": {}}
    other = {"audio": "silence", "corpus": {"cider_d": 0.1}, "intervals": {"cider_d": [0, 0.2]}}
    check = {"sha256": {"predictions": "1" * 64}, "own": own, "conditions": {"silent": other}}
    (run / "test" / "listen-check.json").write_text(json.dumps(check))
    write_model_card(run)
    line = "Does it listen? cider_d with other audio: as it is 50.0, silence 10.0 (0.0 to 20.0)."
    assert line in (run / "README.md").read_text()
    check["sha256"]["predictions"] = "2" * 64
    (run / "test" / "listen-check.json").write_text(json.dumps(check))
    write_model_card(run)
    assert "Does it listen?" not in (run / "README.md").read_text()


def test_scores_elsewhere_are_in_the_card_once_they_are_noted(run, tmp_path):
    import numpy as np

    scores = Scores(clips=("a",), corpus={"bleu_3": 0.123}, per_clip={"bleu_3": np.zeros(1)},
                    intervals={})  # fmt: skip
    write_results(tmp_path / "elsewhere", scores, predictions="predictions.jsonl")
    note_evaluation(run, tmp_path / "elsewhere")
    note_evaluation(run, tmp_path / "elsewhere")
    write_model_card(run)
    text = (run / "README.md").read_text()
    assert text.count("| bleu_3 | 12.3 |") == 1 and "not measured yet" not in text
    (tmp_path / "elsewhere" / "scores.json").unlink()
    write_model_card(run)  # what is gone is no error
    assert "bleu_3" not in (run / "README.md").read_text()


def test_an_unfinished_run_gets_no_card(tmp_path):
    with pytest.raises(RunError, match=r"found no finished\.json.*--resume"):
        write_model_card(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("finished.json", "{}"),
        ("finished.json", '{"features": 3}'),
        ("streams.json", '{"yamnet": {}}'),
        ("streams.json", '{"yamnet": 3}'),
        ("evaluations.json", "{}"),
    ],
)
def test_a_run_whose_files_are_damaged_gets_no_card_and_is_named(run, tmp_path, name, text):
    damaged = shutil.copytree(run, tmp_path / "run")
    (damaged / name).write_text(text)
    with pytest.raises(RunError, match=rf"{damaged}: .*{name}.* is not as train writes it"):
        write_model_card(damaged)


def test_the_curves_show_every_line_of_the_metrics_and_the_lowest_validation_loss(
    tmp_path, monkeypatch
):
    from matplotlib.figure import Figure

    lines = [
        {"update": 1, "train_loss": 5.0, "learning_rate": 1e-3},
        {"update": 2, "train_loss": 4.0, "learning_rate": 5e-4},
        {"update": 2, "val_loss": 4.5, "val_captions": 3},
        {"update": 4, "val_loss": 4.25, "val_captions": 3},
        {"update": 6, "val_loss": 4.75, "val_captions": 3},
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    drawn, real = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **b: (drawn.append(self), real(self, *a, **b))
    )
    draw_curves(tmp_path)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    losses, rates = drawn[0].axes
    shown = {line.get_label(): line.get_xydata().tolist() for line in losses.lines}
    assert shown["training"] == [[1, 5.0], [2, 4.0]]
    assert shown["validation"] == [[2, 4.5], [4, 4.25], [6, 4.75]]
    assert shown["lowest, 4.250 after update 4"] == [[4, 4.25]]
    assert rates.lines[0].get_xydata().tolist() == [[1, 1e-3], [2, 5e-4]]
