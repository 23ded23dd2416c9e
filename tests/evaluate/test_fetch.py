"""CoreNLP's archive: two jars come out of it, whole or not at all."""

from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import pytest

from evaluate.fetch import CORENLP_NAME, CORENLP_URL, PROOFS, unpack_corenlp
from evaluate.spice_jars import CORENLP_JARS
from features.errors import TagbartError
from features.publish import sha256_of


def archive(folder: Path, *, jars=CORENLP_JARS, proofs=PROOFS) -> Path:
    """A small archive laid out as the real one, with jars that hold one file each."""
    path = folder / "corenlp.zip"
    with ZipFile(path, "w", ZIP_STORED) as files:
        files.writestr(f"{CORENLP_NAME}/README.txt", "not wanted")
        for name, proof in zip(jars, proofs, strict=True):
            jar = folder / "jar"
            with ZipFile(jar, "w", ZIP_STORED) as inner:
                inner.writestr(proof, "content of " + name)
            files.write(jar, f"{CORENLP_NAME}/{name}")
            jar.unlink()
    return path


def test_both_jars_and_nothing_else_come_out_with_their_checksums(tmp_path):
    folder = tmp_path / "a new folder" / "spice"
    digests = unpack_corenlp(archive(tmp_path), folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(CORENLP_JARS)
    assert digests == {name: sha256_of(folder / name) for name in CORENLP_JARS}


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ({"jars": ("other.jar", CORENLP_JARS[1])}, "holds no .*/stanford-corenlp-3.6.0.jar"),
        ({"proofs": (PROOFS[0], "x")}, "a jar in it lacks .*englishPCFG"),
    ],
)
def test_an_archive_of_something_else_is_refused_by_name(tmp_path, contents, words):
    path = archive(tmp_path, **contents)
    with pytest.raises(TagbartError, match=words) as caught:
        unpack_corenlp(path, tmp_path / "spice")
    assert str(path) in str(caught.value)


def test_a_flipped_byte_leaves_no_jar_behind(tmp_path):
    path = archive(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(b"content of stanford-corenlp-3.6.0.jar")] ^= 1
    path.write_bytes(data)
    with pytest.raises(TagbartError, match=r"is damaged .*; delete it and fetch again"):
        unpack_corenlp(path, tmp_path / "spice")
    assert not list((tmp_path / "spice").iterdir())


def test_the_address_is_that_of_pycocoevalcaps_own_download():
    from pycocoevalcap.spice import get_stanford_models as official

    assert official.CORENLP == CORENLP_NAME
    assert f"http://nlp.stanford.edu/software/{official.CORENLP}.zip" == CORENLP_URL
    assert (f"{official.JAR}.jar", f"{official.JAR}-models.jar") == CORENLP_JARS
