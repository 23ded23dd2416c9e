"""Recipes: parents, settings, what is refused and how."""

import json
import tomllib

import pytest

from features.common.errors import ConfigError
from train.model.pretrained import train_tokenizer
from train.recipes.files import FOLDER, load_recipe, read_resolved, recipe_names, write_resolved


def test_a_recipe_takes_from_its_parent_what_it_does_not_state(tmp_path):
    (tmp_path / "child.toml").write_text(
        'parent = "yamnet-panns"\ndescription = "mine"\n[optim]\nbatch_size = 16\n'
    )
    (tmp_path / "grandchild.toml").write_text('parent = "child"\n[train]\nseed = 5\n')
    recipe = load_recipe(str(tmp_path / "grandchild.toml"))
    assert (recipe.name, recipe.optim.batch_size, recipe.train.seed) == ("grandchild", 16, 5)
    assert recipe.model == load_recipe("yamnet-panns").model


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_a_recipe_states_only_what_differs_from_its_parent(path):
    own = tomllib.loads(path.read_text())
    if "parent" not in own:
        assert path.stem == "yamnet-panns"  # the root says all that the paper does
        return
    parent = load_recipe(own["parent"])
    for section, values in own.items():
        if isinstance(values, dict):
            for key, value in values.items():
                assert value != getattr(getattr(parent, section), key), f"{section}.{key}"


def test_settings_come_last():
    recipe = load_recipe(
        "yamnet-panns",
        ["optim.learning_rate=3e-4", "model.pretrained=none", "model.tokenizer=/a/b c",
         "train.deterministic=true", "inputs.audio=", "optim.clip_norm=2"],
    )  # fmt: skip
    assert recipe.optim.learning_rate == 3e-4
    assert recipe.optim.clip_norm == 2.0
    assert (recipe.model.pretrained, recipe.model.tokenizer) == ("none", "/a/b c")
    assert recipe.train.deterministic and recipe.inputs.audio == ""


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optim.batchsize=4", "recipe has no 'optim.batchsize'; did you mean 'batch_size'?"),
        ("model.learning_rate=1", "did you mean 'optim.learning_rate'?"),
        ("optimizer.batch_size=4", "recipe has no 'optimizer'; did you mean 'optim'?"),
        ("batch_size=4", "expected section.key=value"),
        ("optim.batch_size=0", "optim.batch_size is below 1"),
        ("optim.batch_size=many", "optim.batch_size is 'many', expected a value of type int"),
        ("optim.batch_size=true", "expected a value of type int"),
        ("train.precision=fp16", "train.precision is 'fp16', expected one of float32, bf16"),
        ("bart.d_model=100", "bart.d_model is 100, no multiple of encoder_attention_heads"),
        (
            "optim.epochs=3\noptim.batch_size=4",
            "optim.epochs is '3\\noptim.batch_size=4', expected",
        ),
        ("train.deterministic=True", "train.deterministic is 'True', expected true or false"),
        ("optim.lr=1", "no 'optim.lr'; [optim] has epochs, max_updates, batch_size,"),
        ("bart.decoder_layers=257", "bart.decoder_layers is 257, expected 1 to 256"),
        ("bart.vocab_size=99999999999", "bart.vocab_size is 99999999999, expected 1 to 1,048,576"),
        ("bart.init_std=-1", "bart.init_std is -1.0, expected more than 0"),
        ("model.tokenizer=train", 'needs model.pretrained = "none"'),
        ("model.pretrained=none", "model.tokenizer must name a folder"),
        ('inputs.audio=["panns", "panns"]', "each stream is named once"),
        ('inputs.audio=["panns", ""]', "one of its names is empty"),
        ("inputs.tasks=[usual,other]", "expected a list of names of letters"),
        ('inputs.tasks=["a", "a"]', "each task is named once"),
        ('inputs.tasks=["a", 3]', "expected a list of names of letters"),
        ("inputs.audio=[]", "inputs.audio is [], expected a stream's name or a list of several"),
        ('inputs.audio=["panns", 3]', "expected a stream's name or a list of several"),
        ('inputs.audio=["panns", "yamnet"]', "inputs.audio names 'yamnet', which is the stream of"),
        ("inputs.audio=yamnet", "inputs.audio names 'yamnet', which is the stream of inputs.tags"),
        ("inputs.audio=[panns,clap]", "a list of several streams needs quotes"),
        ("inputs.audio_width=[2048, 0]", "inputs.audio_width is below 1"),
        ("inputs.audio_width=[true, 2]", "expected a whole number or a list of several"),
    ],
)
def test_a_setting_that_is_not_valid_is_refused(setting, message):
    with pytest.raises(ConfigError) as caught:
        load_recipe("yamnet-panns", [setting])
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["2026-11-27", "1e10", "123", "inf"])
def test_a_folder_whose_name_is_like_a_number_is_a_name(name):
    assert load_recipe("yamnet-panns", [f"model.pretrained={name}"]).model.pretrained == name


def test_a_tokenizer_that_is_learnt_has_room_for_every_byte_and_no_more_than_was_asked_for():
    assert len(train_tokenizer(["rain falls on a tin roof"] * 9, 261)) == 261
    assert load_recipe("demo", ["bart.vocab_size=261"]).bart.vocab_size == 261
    with pytest.raises(ConfigError, match=r"bart\.vocab_size is 260, expected at least 261 where"):
        load_recipe("demo", ["bart.vocab_size=260"])


def test_a_list_of_one_stream_is_that_stream():
    one = load_recipe("yamnet-panns", ['inputs.audio=["panns"]', "inputs.audio_width=[2048]"])
    assert one == load_recipe("yamnet-panns")


def test_widths_that_are_not_one_a_stream_are_refused_where_they_are_counted_with():
    recipe = load_recipe("yamnet-panns", ['inputs.audio=["panns", "clap"]'])
    assert recipe.inputs.streams == ("yamnet", "panns", "clap")
    with pytest.raises(ConfigError, match=r"expected a width for each of inputs\.audio"):
        _ = recipe.inputs.audio_widths


def test_an_unknown_recipe_is_refused_with_a_suggestion():
    for name in ("yamnet-pans", "yamnet-panns.toml", "recipes/YAMNet-PANNs"):
        with pytest.raises(ConfigError, match="did you mean 'yamnet-panns'"):
            load_recipe(name)


def test_a_recipe_file_that_asks_for_what_is_not_there_is_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('parent = "demo"\n[optim]\nbatchsize = 4\n')
    with pytest.raises(ConfigError, match=r"mine\.toml: recipe has no 'optim\.batchsize'; did you"):
        load_recipe(str(path))


def test_a_recipe_that_is_its_own_parent_by_whatever_path_is_refused(tmp_path):
    (tmp_path / "a.toml").write_text(f'parent = "../{tmp_path.name}/b"\n')
    (tmp_path / "b.toml").write_text('parent = "a"\n')
    with pytest.raises(ConfigError, match="is its own parent"):
        load_recipe(str(tmp_path / "a.toml"))


def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path):
    (tmp_path / "bad.toml").write_text("optim = [")
    with pytest.raises(ConfigError, match=r"bad\.toml: not valid TOML"):
        load_recipe(str(tmp_path / "bad.toml"))


@pytest.mark.parametrize("name", recipe_names())
def test_a_resolved_recipe_reads_back_equal(name, tmp_path):
    recipe = load_recipe(name)
    write_resolved(recipe, tmp_path / "recipe.toml")
    assert read_resolved(tmp_path / "recipe.toml") == recipe


def test_the_papers_settings():
    recipe = load_recipe("yamnet-panns")
    optim = recipe.optim
    assert (optim.learning_rate, optim.beta1, optim.beta2) == (1e-5, 0.9, 0.999)
    assert (optim.batch_size, optim.epochs, optim.clip_norm) == (8, 4, 1.0)
    assert (optim.weight_decay, optim.warmup_updates, optim.schedule) == (0.0, 0, "linear")
    assert (optim.label_smoothing, optim.loss_on_padding) == (0.0, False)
    assert (recipe.train.validate_every, recipe.train.precision) == (1000, "float32")
    assert recipe.model.pretrained == "facebook/bart-large"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("optim.learning_rate=inf", r"optim\.learning_rate is inf, expected a number"),
        ("optim.learning_rate=1e300", r"optim\.learning_rate is 1e\+300, expected a number below"),
        ("optim.weight_decay=nan", r"optim\.weight_decay is nan"),
        (f"train.seed={2**64}", r"train\.seed is \d+, expected 0 to below 2\*\*64"),
        ("optim.epochs=1" + "0" * 30, r"optim\.epochs is beyond 2\*\*63"),
        ("optim.learning_rate=1" + "0" * 400, r"optim\.learning_rate is 10*, expected a value"),
        ("bart.activation_function=org/kernel", r"activation_function is 'org/kernel'"),
        ("train.seed=" + "[" * 50_000, r"train\.seed is '\[+"),
    ],
)
def test_values_that_no_run_can_use_are_refused(setting, words):
    with pytest.raises(ConfigError, match=words):
        load_recipe("demo", [setting])


@pytest.mark.parametrize("name", ["../../escaped", "/abs/path", "a/b", "a\\b", "..", ".", "", ".x",
                                  "a\x1b[31m", "a\nb", "x" * 200])  # fmt: skip
def test_a_recipes_name_is_one_part_of_a_path(name, tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(f'parent = "demo"\nname = {json.dumps(name)}\n')
    with pytest.raises(ConfigError, match="expected what can name a folder"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("parent = 3", r"parent is 3, expected a recipe's name or file"),
        ("parent = [1]", r"parent is \[1\]"),
        ("name = 3", "name is 3, expected a text"),
        ("description = [1]", "description is"),
        ("optim = 3", "optim is 3"),
        ('parent = "demo"\noptim = 3', "optim is 3"),
        ("a = " + "[" * 50_000, "nested too deeply"),
        ('parent = "' + "x" * 5000 + '"', "no recipe 'xxx"),
        ('parent = "a\\u0000b"', "no recipe"),
    ],
)
def test_a_strange_recipe_file_ends_in_one_line(text, words, tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_recipe(str(path))
