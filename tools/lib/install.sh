# shellcheck shell=bash
# Shared by tools/build and tools/test: install what is missing, or say exactly what an administrator must supply.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
dependencies=$repository/.deps

# shellcheck disable=SC2034  # for those who source this file
build_packages=(g++ cmake ninja-build ccache pkg-config openmpi-bin libopenmpi-dev libhdf5-dev libyaml-cpp-dev libfmt-dev
  nlohmann-json3-dev libcli11-dev libpcre2-dev libutf8proc-dev libxxhash-dev libzstd-dev zlib1g-dev libbz2-dev liblzma-dev
  libseccomp-dev libnlopt-dev libgtest-dev libgmock-dev bubblewrap python3)

say() { printf '%s\n' "$*" >&2; }

# ensure_packages NAME... : installs those of Debian's packages that are absent.
ensure_packages() {
  local missing=() name
  if ! command -v dpkg-query > /dev/null; then
    say "This is no Debian or Ubuntu. Supply these (names are Debian's) through your administrator or modules:"
    say "  $*"
    return 0
  fi
  for name in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2> /dev/null)" = installed ] || missing+=("$name")
  done
  [ ${#missing[@]} = 0 ] && return 0
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo > /dev/null && sudo -n true 2> /dev/null; then
      as_root=(sudo)
    else
      say "Missing packages, and neither root nor sudo to install them. Ask your administrator for:"
      say "  apt-get install ${missing[*]}"
      say "or load the matching modules and use the plain CMake way (docs/guides/install.md, 'On a cluster')."
      exit 1
    fi
  fi
  say "Installing Debian packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
}

# pip_into FOLDER ARGUMENT... : pip install --target, without touching any Python of the machine.
pip_into() {
  local folder=$1
  shift
  python3 -m pip --version > /dev/null 2>&1 || ensure_packages python3-pip
  say "Installing from PyPI into ${folder#"$repository"/}: $*"
  python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder" "$@"
}

has_library() { # has_library SONAME : where the loader or the CUDA tool kit keeps it
  local folder known search=${LD_LIBRARY_PATH:-}
  known=$(ldconfig -p 2> /dev/null || true)  # whole: grep -q on a pipe would end ldconfig early, which pipefail takes for a failure
  [[ $known == *"$1"* ]] && return 0
  for folder in "$dependencies"/python/nvidia/cu13/lib /usr/local/cuda/lib64 /usr/local/cuda/lib \
    /usr/local/cuda/extras/CUPTI/lib64 /usr/local/cuda-13.0/lib /usr/local/lib ${search//:/ }; do
    [ -e "$folder/$1" ] && return 0
  done
  return 1
}

# The torch wheel is taken apart as a C++ library. tools/lib/libtorch-*.txt list it and the libraries that it is linked
# to; what this machine has of them is not fetched again.
ensure_libtorch() {
  local wheels=() lib=$dependencies/python/torch/lib list=$repository/tools/lib/libtorch-cpu.txt
  [ -n "${ROCKET_TORCH:-}" ] && return 0
  if has_library libcuda.so.1; then # a driver: rocket will compute on its GPU
    if [ ! -e "$lib/libtorch_cuda.so" ] || ldd "$lib/libtorch_cuda.so" | grep -q 'not found'; then
      pip_into "$dependencies/python" -r "$repository/tools/lib/libtorch-cuda.txt"
    fi
    return 0
  fi
  [ -e "$lib/libtorch_cpu.so" ] || wheels+=("$(grep '^torch=' "$list")")
  has_library libcudart.so.13 || wheels+=("$(grep '^nvidia-cuda-runtime=' "$list")")
  has_library libcupti.so.13 || wheels+=("$(grep '^nvidia-cuda-cupti=' "$list")")
  [ ${#wheels[@]} = 0 ] || pip_into "$dependencies/python" "${wheels[@]}"
}

# Apache Arrow, likewise from its wheel: reads Parquet.
ensure_arrow() {
  [ -n "${ROCKET_ARROW:-}" ] || [ -e "$dependencies/python/pyarrow/include/parquet/arrow/reader.h" ] ||
    pip_into "$dependencies/python" pyarrow==21.0.0
}

# configure_and_build [CMAKE_ARGUMENT...]
configure_and_build() {
  local arguments=(-S "$repository" -B "$repository/build" -G Ninja "$@")
  [ -n "${ROCKET_TORCH:-}" ] && arguments+=("-DROCKET_TORCH=$ROCKET_TORCH")
  [ -n "${ROCKET_ARROW:-}" ] && arguments+=("-DROCKET_ARROW=$ROCKET_ARROW")
  cmake "${arguments[@]}" > "$repository/build.log" 2>&1 || { cat "$repository/build.log" >&2; exit 1; }
  rm -f "$repository/build.log"
  cmake --build "$repository/build"
}
