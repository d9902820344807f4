"""The images the tests install: the shipped one, a later one, and later ones that are broken in one way each."""

import hashlib
import os
import pathlib
import random
import shutil
import subprocess

from vm import OUT, REPO, tool

BOARD = "amd64"
BASE, NEXT, UNHEALTHY, ROTTEN, LATER = "1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"


def folder(version):
    return OUT / BOARD / version


def disk(version):
    return folder(version) / f"pitchside-{version}-{BOARD}.img"


def bundle(version):
    return folder(version) / f"pitchside-{version}-{BOARD}.raucb"


def binary():
    return pathlib.Path(os.environ.get("IMAGE_TEST_BINARY", REPO / "target/release/pitchside"))


def inputs():
    """What an image is made from: another program or another file of images/ makes another image."""
    digest = hashlib.sha256()
    tops = [path for path in sorted((REPO / "images").iterdir()) if path != OUT]
    files = [path for top in tops for path in [top, *sorted(top.rglob("*"))] if path.is_file()]
    for path in [binary(), *files]:
        digest.update(str(path).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def made(version):
    """Whether it is there, and of these inputs."""
    stamp = folder(version) / "inputs"
    return bundle(version).exists() and stamp.exists() and stamp.read_text() == inputs()


def build(version, overlay=None):
    """Builds an image; the overlay is the only thing that tells the tests' versions apart."""
    command = [str(REPO / "images/build"), "--version", version, "--binary", str(binary())]
    if overlay:
        command += ["--overlay", str(overlay)]
    with open(OUT / "test/build.log", "ab") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)
    (folder(version) / "inputs").write_text(inputs())


def lay_over(name, files):
    """A folder with these files, executable."""
    root = OUT / "test/overlay" / name
    shutil.rmtree(root, ignore_errors=True)
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(0o755)
    return root


def base():
    if not made(BASE):
        build(BASE)


def next_version():
    """Later, sound, and with a step of the data partition's layout of its own, slow enough to be cut short."""
    if not made(NEXT):
        build(NEXT, lay_over("next", {"usr/lib/pitchside/migrations/002-test": """#!/bin/sh
mkdir -p /data/layout-test
for part in 1 2 3 4; do
  echo $part >/data/layout-test/$part.new; mv /data/layout-test/$part.new /data/layout-test/$part; sync /data
  echo "migration: part $part" >/dev/console
  sleep 0.5
done
echo "migration: done" >/dev/console
"""}))


def later():
    """Later than all of them, and sound."""
    if not made(LATER):
        build(LATER)


def unhealthy():
    """Boots, and its gateway never runs."""
    if not made(UNHEALTHY):
        build(UNHEALTHY, lay_over("unhealthy", {"usr/bin/pitchside": "#!/bin/sh\nexit 1\n"}))


def rotten():
    """Rightly signed, but its root is not the one its boot image vouches for."""
    next_version()
    shutil.rmtree(folder(ROTTEN), ignore_errors=True)
    folder(ROTTEN).mkdir(parents=True)
    root = folder(ROTTEN) / "root.img"
    shutil.copy(folder(NEXT) / "root.img", root)
    with open(root, "r+b") as image:
        image.seek(1024)
        image.write(b"rotten")
    return make_bundle(ROTTEN, root, folder(NEXT) / "boot.vfat", bundle(ROTTEN))


def strange():
    """The sound update, signed by somebody else."""
    next_version()
    key, certificate = OUT / "test/stranger.key", OUT / "test/stranger.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:3072", "-nodes", "-days", "3650", "-subj", "/CN=A stranger",
                    "-keyout", str(key), "-out", str(certificate)], check=True, stderr=subprocess.DEVNULL)
    return make_bundle(NEXT, folder(NEXT) / "root.img", folder(NEXT) / "boot.vfat", OUT / "test/strange.raucb",
                       RELEASE_CERT=str(certificate), RELEASE_KEY=str(key))


def downgrade():
    """The sound update, rightly signed, from before a weakness was mended: its security counter is lower than the box's."""
    next_version()
    lower = int((REPO / "images/security-counter").read_text()) - 1
    return make_bundle(NEXT, folder(NEXT) / "root.img", folder(NEXT) / "boot.vfat", OUT / "test/downgrade.raucb", SECURITY_COUNTER=str(lower))


def changed(name, change):
    """The sound update with its bytes changed by `change`."""
    next_version()
    target = OUT / f"test/{name}.raucb"
    content = bytearray(bundle(NEXT).read_bytes())
    target.write_bytes(change(content) or content)
    return target


def unknown(name, change):
    """Rightly signed content that no box has, changed by `change` (the bundle's bytes, where the content begins in them). What a box has
    already it does not read from a bundle, so a change there is no danger, and would not be noticed."""
    next_version()
    noise = random.Random(1).randbytes(4 << 20)
    root = OUT / "test/noise.img"
    root.write_bytes(noise)
    target = make_bundle(NEXT, root, folder(NEXT) / "boot.vfat", OUT / f"test/{name}.raucb")
    content = bytearray(target.read_bytes())
    # Noise does not compress: it lies there as it is.
    change(content, content.index(noise[1 << 20:(1 << 20) + 64]))
    target.write_bytes(content)
    return target


def endless():
    """The sound update with no end to it: far more than a slot, or the data partition, holds."""
    target = changed("endless", lambda content: None)
    with open(target, "r+b") as file:
        file.truncate(640 << 20)
    return target


def make_bundle(version, root, boot, target, **environment):
    subprocess.run([str(REPO / "images/bundle"), BOARD, version, str(root), str(boot), str(target)], check=True,
                   env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    return target


def fingerprints(version):
    """What must be the same when the same is built again: every file, and what is inside the bundle (its signature holds a time)."""
    inside = OUT / "test/unpacked"
    shutil.rmtree(inside, ignore_errors=True)
    tool("unsquashfs", "-q", "-n", "-d", inside, bundle(version))
    files = [folder(version) / name for name in ("root.img", "uki.efi", "boot.vfat", "sbom.cdx.json", "packages.txt", disk(version).name)]
    files += sorted(path for path in pathlib.Path(inside).iterdir())
    found = {}
    for path in files:
        with open(path, "rb") as file:
            found[path.name if path.parent != inside else f"bundle/{path.name}"] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
