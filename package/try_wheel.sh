#!/usr/bin/env bash
# What a stranger does with the wheel: install it alone into a fresh environment and score captions
# without torch; then with what captions need beside Hugging Face's `evaluate`, import every module,
# caption a clip from another folder. CI runs it after the demo.
#
#     package/try_wheel.sh RUN WEIGHTS CLIP
set -euo pipefail
cd "$(dirname "$0")/.."
run=$(realpath "$1") weights=$(realpath "$2") clip=$(realpath "$3")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

python=${PYTHON:-.venv/bin/python}
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$place" .
"$python" -m venv "$place/venv"
# The lock's versions, so that what is tried is what was tested.
install() {
    "$place/venv/bin/pip" install --quiet --disable-pip-version-check \
        --constraint requirements.lock "$@"
}
wheel=$(echo "$place"/tagbart-*.whl)
install "$wheel"
for clip_id in a b; do
    echo '{"clip": "'$clip_id'", "candidate": "a dog barks", "references": ["a dog is barking"]}'
done >"$place/predictions.jsonl"
if "$place/venv/bin/python" -c "import torch" 2>/dev/null; then
    echo "the package alone brought torch" >&2
    exit 1
fi
(cd "$place" && venv/bin/tagbart score predictions.jsonl --no-spice)

install "$wheel[captions]" evaluate

cd "$place"
venv/bin/python - <<'PYTHON'
import importlib
import pkgutil
import sys

import evaluate

assert hasattr(evaluate, "load"), "Hugging Face's evaluate is another package now"
for name in [name for name in sys.modules if name.split(".")[0] == "evaluate"]:
    del sys.modules[name]


class Blocked:
    """Whoever imports one of the four bare names from now on fails."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in ("extract", "features", "train", "evaluate"):
            raise ImportError(f"the bare name {name} was imported")


sys.meta_path.insert(0, Blocked)
import tagbart

# These need packages of other extras, or begin to work as they are imported.
LEFT_OUT = ("tagbart.extract.weights.savedmodel", "__main__", "_worker", ".worker")
count = 0
for module in pkgutil.walk_packages(tagbart.__path__, "tagbart."):
    if not module.name.endswith(LEFT_OUT):
        importlib.import_module(module.name)
        count += 1
print(f"{count} modules imported, none by a bare name")
PYTHON
venv/bin/tagbart --version
said=$(venv/bin/tagbart caption "$run" "$clip" --weights "$weights")
echo "$said"
[ -n "$said" ] || { echo "the installed command said nothing" >&2; exit 1; }
