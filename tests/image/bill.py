"""What an image is really made of, read off its files: the measure for its bill of materials."""

import os
import pathlib
import re

import versions
from vm import OUT, REPO, tool

# What the build itself puts there. The kernel's modules, and what depmod makes of them, are the kernel package's; hwdb.bin is made when
# udev's is installed.
MADE = re.compile(r"/usr/lib/(pitchside/(efi-name|firmware)|clock-epoch|udev/hwdb\.bin|modules/.*)|/usr/bin/(pitchside|slots)|/init|"
                  r"/etc/modules|/etc/modprobe\.d/watchdog\.conf")
# Where a program keeps the paths of the crates it was built from, for its panics.
CRATE = re.compile(rb"registry/src/[^/]+/([A-Za-z0-9_-]+?)-(\d+\.\d+\.\d+[A-Za-z0-9.+-]*)/")


def merged(path):
    """The one path of a file that older packages list below /lib, /bin or /sbin."""
    return re.sub(r"^/(bin|sbin|lib|lib64)/", r"/usr/\1/", path).replace("/usr/lib64/", "/usr/lib/x86_64-linux-gnu/")


def owners(debian):
    """Which package each file of a Debian is from, by its own lists; links, by which libraries are asked for, among them."""
    found = {}
    for names in pathlib.Path(debian, "var/lib/dpkg/info").glob("*.list"):
        for path in names.read_text(encoding="utf-8").splitlines():
            found[merged(path)] = names.name.removesuffix(".list").partition(":")[0]
    return found


def tree_files(tree):
    """Programs and libraries of the root file system."""
    for top in ("usr/bin", "usr/sbin", "usr/lib", "usr/libexec"):
        for folder, _, names in os.walk(tree / top):
            for name in names:
                path = pathlib.Path(folder, name)
                if not path.is_symlink():
                    yield "/" + str(path.relative_to(tree))


def initrd_files(image):
    """Regular files of an initrd, without the kernel's modules."""
    listed = tool("sh", "-ec", f"zstd -dc {image} | cpio --quiet -tv".replace(str(OUT), "/out")).decode()
    for line in listed.splitlines():
        if line.startswith("-"):
            yield "/" + line.split()[-1]


def packages(version):
    """The packages that files of the root and of the initrd are from; and the files that nobody accounts for."""
    folder = versions.folder(version)
    found, strange = set(), []
    for files, debian in ((tree_files(folder / "tree"), OUT / versions.BOARD / "base"), (initrd_files(folder / "initrd.zst"), OUT / "tools")):
        known = owners(debian)
        for path in files:
            if owner := known.get(merged(path)):
                found.add(owner)
            elif not MADE.fullmatch(merged(path)) and not (REPO / "images/root" / path[1:]).exists():
                strange.append(path)
    return found, strange


def emptied(version):
    """Packages of the root's Debian that neither the root nor the initrd has a file of, directories apart."""
    folder, lists = versions.folder(version), OUT / versions.BOARD / "base/var/lib/dpkg/info"
    root = folder / "tree"
    initrd = owners(OUT / "tools")
    used = {initrd.get(merged(path)) for path in initrd_files(folder / "initrd.zst")}
    found = set()
    for names in lists.glob("*.list"):
        package = names.name.removesuffix(".list").partition(":")[0]
        paths = [root / path[1:] for path in names.read_text(encoding="utf-8").splitlines()]
        if package not in used and not any(path.is_symlink() or path.is_file() for path in paths):
            found.add(package)
    return found


def crates(version):
    """(name, version) of each crate that the program still names."""
    content = (versions.folder(version) / "tree/usr/bin/pitchside").read_bytes()
    return {(name.decode(), number.decode()) for name, number in CRATE.findall(content)}
