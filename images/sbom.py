#!/usr/bin/env python3
"""Software bill of materials of one image, CycloneDX 1.6 JSON on standard output.

    sbom.py BASE TREE ARCH KERNEL_PACKAGE INITRD_PACKAGES CRATES CARGO_LOCK PACKAGE_LOCK VERSION EPOCH

Our program with its SHA-256; every package installed in BASE, the Debian that the root is made of, of which TREE, the root, still has a
file; the kernel's, which is unpacked beside, and those that files of the initrd and the boot file are from (INITRD_PACKAGES: name, version,
architecture a line); the Rust crates that our program is built from (CRATES: name, version a line; their hashes are in CARGO_LOCK); and of
the page's packages those that end in it: svelte and what it names. A package of which only settings are left says so in a property.
Ends with exit 1 if what it made is not of the shape the specification asks for. https://cyclonedx.org/docs/1.6/json/
"""

import base64
import datetime
import hashlib
import json
import pathlib
import re
import sys
import tomllib
import urllib.parse
import uuid

# Of a package that the image has no program, library or data of.
SETTINGS_ALONE = [{"name": "pitchside:left", "value": "settings"}]


def left(base, tree, name, arch):
    """What of a package of BASE the root has: "nothing", "settings" (below /etc, and links to there), or "files"."""
    lists = base / "var/lib/dpkg/info"
    listed = next(path for path in (lists / f"{name}.list", lists / f"{name}:{arch}.list") if path.exists())
    found = "nothing"
    for path in listed.read_text(encoding="utf-8").splitlines():
        here = tree / path[1:]
        if here.is_symlink() or here.is_file():
            if not path.startswith("/etc/") and not (here.is_symlink() and str(here.readlink()).startswith("/etc/")):
                return "files"
            found = "settings"
    return found


def debian(base, tree, arch, kernel, initrd):
    """(name, version, architecture, whether only settings are left) of each package."""
    for paragraph in (base / "var/lib/dpkg/status").read_text(encoding="utf-8").split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            of = fields.get("Architecture", "all")
            if (rest := left(base, tree, fields["Package"], of)) != "nothing":
                yield fields["Package"], fields["Version"], of, rest == "settings"
    with open(kernel, encoding="utf-8") as file:
        for line in file:
            name, version = line.split()
            yield name, version, arch, False
    with open(initrd, encoding="utf-8") as file:
        yield from ((*line.split(), False) for line in file)


def rust(crates, lock):
    """(name, version, SHA-256 or none, whether it is our own) of each crate built from."""
    with open(lock, "rb") as file:
        known = {(crate["name"], crate["version"]): crate for crate in tomllib.load(file)["package"]}
    with open(crates, encoding="utf-8") as file:
        for line in file:
            name, version = line.split()
            crate = known[name, version]
            # Without a source it is our own.
            yield name, version, crate.get("checksum"), "source" not in crate


def purl(kind, name, version, **qualifiers):
    """A package URL. All is encoded but letters, digits, '.', '-', '_', '~' and ':' (purl specification, "Character encoding")."""
    path = "/".join(urllib.parse.quote(part, safe=":") for part in name.split("/"))
    more = "&".join(f"{key}={urllib.parse.quote(value, safe=':')}" for key, value in sorted(qualifiers.items()))
    return f"pkg:{kind}/{path}@{urllib.parse.quote(version, safe=':')}" + (f"?{more}" if more else "")


def component(kind, name, version, url, hashes=()):
    part = {"type": kind, "bom-ref": url, "name": name, "version": version, "purl": url}
    if hashes:
        part["hashes"] = [{"alg": alg, "content": content} for alg, content in hashes]
    return part


def page(lock, start="svelte"):
    """(name, version, SHA-512) of a package of the page and all that it depends on."""
    with open(lock, encoding="utf-8") as file:
        known = json.load(file)["packages"]
    waiting, seen = [start], set()
    while waiting:
        name = waiting.pop()
        package = known.get(f"node_modules/{name}")
        if package is None or name in seen:
            continue
        seen.add(name)
        waiting += package.get("dependencies", {})
        kind, _, digest = package["integrity"].partition("-")
        assert kind == "sha512", name
        yield name, package["version"], base64.b64decode(digest).hex()


def components(base, tree, arch, kernel, initrd, crates, lock, page_lock, image):
    base, tree = pathlib.Path(base), pathlib.Path(tree)
    with open(tree / "usr/bin/pitchside", "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    yield component("application", "pitchside", image, purl("generic", "pitchside", image), [("SHA-256", digest)])
    for name, version, of, settings_alone in debian(base, tree, arch, kernel, initrd):
        part = component("library", name, version, purl("deb/debian", name, version, arch=of, distro="trixie"))
        yield part | ({"properties": SETTINGS_ALONE} if settings_alone else {})
    for name, version, checksum, own in rust(crates, lock):
        sums = [("SHA-256", checksum)] if checksum else []
        yield component("application" if own else "library", name, version, purl("cargo", name, version), sums)
    for name, version, digest in page(page_lock):
        yield component("library", name, version, purl("npm", name, version), [("SHA-512", digest)])


# The characters a package URL may have unencoded, where they may be.
CHARACTERS = r"([A-Za-z0-9._~:-]|%[0-9A-F]{2})+"
PURL = rf"pkg:(deb/debian|cargo|npm(/%40{CHARACTERS})?|generic)/{CHARACTERS}@{CHARACTERS}(\?[a-z]+={CHARACTERS}(&[a-z]+={CHARACTERS})*)?"


def check(bom):
    """The rules of the specification that a generator can break: required fields, unique references, well-formed values."""
    assert bom["bomFormat"] == "CycloneDX" and re.fullmatch(r"1\.\d", bom["specVersion"])
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bom["serialNumber"])
    assert isinstance(bom["version"], int) and bom["version"] >= 1
    references = [bom["metadata"]["component"]["bom-ref"]]
    for part in bom["components"]:
        assert part["type"] in ("application", "library") and part["name"] and part["version"], part
        assert re.fullmatch(PURL, part["purl"]), part
        # A word of sources, which are built for many; what is installed was built for one, or is for all.
        assert not re.search(r"[?&]arch=any(&|$)", part["purl"]), part
        assert all(re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{128}", known["content"]) for known in part.get("hashes", [])), part
        references.append(part["bom-ref"])
    assert len(references) == len(set(references)), "two components with one reference"


def main():
    *inputs, version, epoch = sys.argv[1:]
    found = {part["bom-ref"]: part for part in components(*inputs, version)}
    parts = [found[reference] for reference in sorted(found)]
    at = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
    itself = component("firmware", "pitchside-appliance", version, purl("generic", "pitchside-appliance", version))
    # A name made from the content: the same image has the same bill.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, version + json.dumps(parts, sort_keys=True))
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": itself},
        "components": parts,
    }
    check(bom)
    json.dump(bom, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
