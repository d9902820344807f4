"""Scripts of the image, run in a folder of their own instead of a machine."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

IMAGES = pathlib.Path(__file__).resolve().parents[2] / "images"
ROOT = IMAGES / "root"
PITCHSIDE = ROOT / "usr/lib/pitchside"
# The initrd's shell is busybox's; `sh` is there always.
SHELLS = [["sh"]] + ([["busybox", "sh"]] if shutil.which("busybox") else [])


def function(path, name):
    """The lines of a function in a script."""
    text = path.read_text()
    begin = text.index(f"\n{name}() {{") + 1
    return text[begin:text.index("\n}\n", begin) + 3]


class Scratch(unittest.TestCase):
    def setUp(self):
        self.at = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.at)

    def run_in(self, script, roots, shell=("sh",)):
        """Runs a script whose paths below `roots` lie in this folder; what it said, its exit code."""
        for root in roots:
            script = script.replace(root, f"{self.at}{root}")
        ran = subprocess.run([*shell, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        return ran.stdout, ran.returncode

    def write(self, path, text):
        target = self.at / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target


def below(at, script, before=""):
    """A script of the image whose folders lie in this one; `before` is what comes before it."""
    moved = re.sub(r"(?<![\w}])/(tmp|data|run|usr/lib|usr/share|proc/sys|dev/console)\b", rf"{at}/\1", (PITCHSIDE / script).read_text())
    first = next(line for line in moved.splitlines(keepends=True) if not line.startswith("#"))
    return moved.replace(first, before + "\n" + first, 1)


def below_box(at, *sourced):
    """The image's `as-pitchside.sh` for whoever runs this: no other user, and `pitchside` is a function of the script that sources it."""
    text = (PITCHSIDE / "as-pitchside.sh").read_text()
    fake = 'as_pitchside() { if [ "$1" = /usr/bin/pitchside ]; then shift; fake "$@"; else "$@"; fi; }'
    lines = [fake if line.startswith("as_pitchside()") else line for line in text.splitlines()]
    assert fake in lines
    target = at / "usr/lib/pitchside/as-pitchside.sh"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines) + "\n")
    for name in sourced:
        (target.parent / name).write_text(below(at, name))
