# shellcheck shell=bash
# Sourced by the other scripts: where the project lies, and its Python environment in .venv.

ROOT=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
VENV=$ROOT/.venv
# Exit code of every command of the project when something has to be put right by the user.
USER_ERROR=3

die() { # problem, next step
  printf '%s: %s\n' "$1" "$2" >&2
  exit $USER_ERROR
}

is_python_311() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local name
  for name in python3 python3.15 python3.14 python3.13 python3.12 python3.11; do
    if is_python_311 "$name"; then
      type -P "$name"
      return
    fi
  done
  die "no Python 3.11 or newer on PATH (python3 is $(python3 -V 2>/dev/null || echo missing))" \
    "install one, e.g. apt-get install python3 python3-venv on Debian 12, Ubuntu 24.04 or newer"
}

# Debian and Ubuntu ship Python without what `python3 -m venv` needs.
ensure_ensurepip() { # python, arguments of the script
  local python=$1 package
  shift
  if "$python" -c 'import ensurepip, venv' 2>/dev/null; then return; fi
  package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  if [[ " $* " == *" --no-install "* ]]; then
    die "$python cannot make a virtual environment and --no-install is given" "apt-get install $package"
  elif [[ $EUID -ne 0 ]] || ! type -P apt-get >/dev/null; then
    die "$python cannot make a virtual environment" "as root: apt-get install $package"
  fi
  echo "Installing $package with apt-get: $python cannot make a virtual environment without it." >&2
  if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package"; } >&2; then
    die "apt-get could not install $package" "install it by hand, or put another Python 3.11 or newer on PATH"
  fi
}

# What the environment is made from: while this stays the same, so does the environment.
venv_key() { { printf '%s\n' "$ROOT" && cat "$ROOT/requirements.lock" "$ROOT/pyproject.toml"; } | sha256sum; }

venv_is_current() { # key
  [[ -x $VENV/bin/python && -f $VENV/made-from && $(<"$VENV/made-from") == "$1" ]]
}

ensure_venv() { # arguments of the script
  local key python
  key=$(venv_key)
  if venv_is_current "$key"; then return; fi
  (
    exec 9<"$ROOT"
    flock 9 # two first starts at once: the second waits, and finds it made
    if venv_is_current "$key"; then exit; fi
    python=$(find_python) || exit
    ensure_ensurepip "$python" "$@"
    echo "Installing the locked Python packages into .venv (once, about a minute) ..." >&2
    # An environment that works is brought up to date in place, as somebody may be using it.
    if ! is_python_311 "$VENV/bin/python"; then
      "$python" -m venv --clear "$VENV" || die "$python -m venv failed" "see above"
    fi
    # The lock is complete: without --no-deps pip looks for dependencies all the same, and older ones then refuse the
    # lock as soon as a newer version of one that is required with an extra (coverage[toml]) is published.
    if ! venv_pip --require-hashes --no-deps --requirement "$ROOT/requirements.lock" ||
      ! venv_pip --no-deps --no-build-isolation --editable "$ROOT"; then
      die "pip could not make the Python environment" \
        "see above; does pip need a proxy or a package index of yours?"
    fi
    printf '%s' "$key" >"$VENV/made-from"
  )
}

venv_pip() { "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@" >&2; }
