"""A virtual environment made from a hash-locked file by plain pip: `install.py VENV LOCK`, run by the Makefile.

Only the standard library, and nothing newer than Python 3.8, so that an older Python is refused in words.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SUPPORTED = ((3, 11), (3, 12), (3, 13))


def refusal(version: tuple[int, int]) -> str | None:
    """Why a Python of *version* cannot be used and what to type instead; None where it can."""
    if version in SUPPORTED:
        return None
    names = [f"python{major}.{minor}" for major, minor in SUPPORTED]
    found = [name for name in names if shutil.which(name)]
    remedy = f"try: make PYTHON={found[-1]}" if found else "install one of them, then: make PYTHON=python3.13"
    return f"Python 3.11, 3.12 or 3.13 is needed and {sys.executable} is {version[0]}.{version[1]}; {remedy}"


def locked(lock: Path) -> int:
    """The number of packages that *lock* names; an upper bound, since markers exclude some."""
    return sum(1 for line in lock.read_text().splitlines() if "==" in line and not line.startswith((" ", "#")))


def create(venv: Path) -> None:
    """Make *venv* for the running Python, anew if it belongs to another version or is broken."""
    python = venv / "bin" / "python"
    wanted = f"{sys.version_info[0]}.{sys.version_info[1]}"
    ask = "import sys, pip; print('{}.{}'.format(*sys.version_info))"
    if python.exists():
        answer = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=False)
        if answer.stdout.strip() == wanted:
            return
    say(f"creating {venv.name} for Python {wanted}")
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(venv)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        text = (made.stdout + made.stderr).strip()
        sys.exit(f"{text}\n\n{sys.executable} cannot make a virtual environment (Debian: apt install python3-venv)")


def install(venv: Path, lock: Path, *, megabytes: int = 275) -> None:
    """Install exactly what *lock* names into *venv*, showing how far it is; on failure pip's own words and exit 1.

    *megabytes* is what there is to fetch, for the reader.
    """
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
    total = locked(lock)
    say(f"installing up to {total} locked packages (about {megabytes} MB, once)")
    command = [*pip, "--require-hashes", "--progress-bar", "off", "-r", str(lock)]
    lines: list[str] = []
    seen = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        for line in running.stdout or ():
            lines.append(line.rstrip())
            if line.startswith("Collecting "):
                seen += 1
                progress(f"fetching {line.split()[1].split('=')[0]} ({seen} of at most {total})")
            elif line.startswith("Installing collected"):
                progress("unpacking")
    progress("")
    if running.returncode:
        sys.exit("\n".join([*lines[-25:], "", f"pip could not install {lock}; the lines above say why"]))


def install_project(venv: Path) -> None:
    """Install the project itself, editable, with what is already in *venv*: no network."""
    say("installing faust-onnx itself")
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    root = Path(__file__).resolve().parent.parent
    subprocess.run([*pip, "--no-deps", "--no-index", "--no-build-isolation", "-e", str(root)], check=True)


def say(text: str) -> None:
    """Print a line of progress at once."""
    print(f"setup: {text}", flush=True)


def progress(text: str) -> None:
    """Show *text* in place of the one before on a terminal; nothing where the output is a file."""
    if sys.stdout.isatty():
        print(f"\r\033[Ksetup: {text}" if text else "\r\033[K", end="", flush=True)


def main() -> None:
    """Check the Python, make the environment, fill it."""
    venv, lock = Path(sys.argv[1]), Path(sys.argv[2])
    wrong = refusal(sys.version_info[:2])
    if wrong:
        sys.exit(wrong)
    create(venv)
    install(venv, lock)
    install_project(venv)
    say("done")


if __name__ == "__main__":
    main()
