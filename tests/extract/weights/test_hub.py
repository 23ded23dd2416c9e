"""Networks from the Hugging Face hub: which files come, where they go, what a failure says."""

from types import SimpleNamespace

import huggingface_hub
import pytest

from extract.weights.fetch import fetch
from extract.weights.official import OFFICIAL, official_from
from features.common.download import DownloadError
from features.common.errors import ConfigError

THERE = ["config.json", "preprocessor_config.json", "vocab.json", "modeling_clap.py",
         "pytorch_model.bin", "model.safetensors", "README.md"]  # fmt: skip


@pytest.fixture
def hub(monkeypatch):
    """A hub that holds THERE; what is asked of it is kept."""
    asked = []

    def model_info(self, repository, **options):
        return SimpleNamespace(sha="c0ffee", siblings=[SimpleNamespace(rfilename=n) for n in THERE])

    def snapshot_download(repository, *, revision, allow_patterns, local_dir):
        asked.append((repository, revision, sorted(allow_patterns)))
        local_dir.mkdir(parents=True)
        for name in allow_patterns:
            (local_dir / name).write_text(name)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_a_network_comes_as_a_folder_without_its_code(hub, tmp_path):
    assert fetch(["clap"], tmp_path) == [tmp_path / "clap"]
    wanted = ["config.json", "model.safetensors", "preprocessor_config.json", "vocab.json"]
    assert hub == [("laion/clap-htsat-unfused", "c0ffee", wanted)]
    assert sorted(path.name for path in (tmp_path / "clap").iterdir()) == wanted
    fetch(["clap"], tmp_path)
    assert len(hub) == 1  # what is there is not fetched again


def test_another_name_on_the_hub_can_be_asked_for(hub, tmp_path):
    fetch(["clap"], tmp_path, official=official_from("laion/larger_clap_general"))
    assert hub[0][0] == "laion/larger_clap_general"
    assert set(official_from("laion/larger_clap_general")) == {"clap", "ast"}
    assert official_from("makers") is OFFICIAL


@pytest.mark.parametrize("source", ["hub", "", "a/", "a/b/c"])
def test_a_source_that_is_no_name_is_refused(source):
    with pytest.raises(ConfigError, match="expected one of makers, tfhub, or a name"):
        official_from(source)


def test_a_repository_without_weights_and_a_missing_network_are_one_line(
    hub, monkeypatch, tmp_path
):
    monkeypatch.setattr("tests.extract.weights.test_hub.THERE", ["config.json"])
    with pytest.raises(DownloadError, match=r"holds no config.json with model.safetensors"):
        fetch(["ast"], tmp_path)

    def unreachable(self, repository, **options):
        raise OSError("no route\nand more")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    with pytest.raises(DownloadError) as told:
        fetch(["ast"], tmp_path)
    assert "no route" in str(told.value) and "and more" not in str(told.value)
    assert list(tmp_path.iterdir()) == []
