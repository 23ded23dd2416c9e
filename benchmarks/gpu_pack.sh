#!/usr/bin/env bash
# Packs what `python -m benchmarks gpu` needs on a GPU machine without a network into a folder
# (about 20 MB): the code as committed, AudioCaps' captions and the tokenizer where TAGBART_REAL_DATA
# names them, and the wheels that a machine with torch, transformers, h5py, typer and pytest lacks.
#
#     benchmarks/gpu_pack.sh [FOLDER [PYTHON]]      .gpu and 3.12 if not said
#
# There:  cd FOLDER && ./run.sh [PARTS]      gpu.json and the table are what comes of it
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-.gpu} python=${2:-3.12}
rm -rf "$folder"
mkdir -p "$folder/main" "$folder/wheels"
git archive HEAD | tar -x -C "$folder/main"

real=${TAGBART_REAL_DATA:-../shared}
if [ -d "$real/audiocaps/captions" ] && [ -d "$real/bpe" ]; then
    mkdir -p "$folder/real/audiocaps" "$folder/real/weights"
    cp -r "$real/audiocaps/captions" "$folder/real/audiocaps/"
    cp -r "$real/bpe" "$folder/real/"
    cp "$real/weights/yamnet_class_map.csv" "$folder/real/weights/"
fi

# The lock's own versions of what such a machine lacks, and what these need.
names='resampy|soundfile|librosa|soxr|cffi|pycparser|platformdirs|pooch|audioread|torchlibrosa|decorator|panns-inference'
grep -E "^($names)==" requirements.lock | sort -u >"$folder/wheels.txt"
platforms=()
for libc in 2_28 2_27 2_17; do platforms+=(--platform "manylinux_${libc}_x86_64"); done
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version "$python" --implementation cp "${platforms[@]}" --platform manylinux2014_x86_64 \
    --dest "$folder/wheels" --requirement "$folder/wheels.txt"

cat >"$folder/run.sh" <<'RUN'
#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
site=$(mktemp -d)
python3 -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$here"/wheels/*.whl
export PYTHONPATH=$here/main:$site${PYTHONPATH:+:$PYTHONPATH} TAGBART_REAL_DATA=$here/real
cd "$here/main"
python3 -m benchmarks.gpu --out "${OUT:-$here}/gpu.json" "$@"
RUN
chmod +x "$folder/run.sh"
du -sh "$folder"
