#!/usr/bin/env python3
"""Software bill of materials of one image, CycloneDX 1.6 JSON on standard output.

    sbom.py DPKG_STATUS KERNEL_PACKAGE INITRD_PACKAGES CRATES CARGO_LOCK PACKAGE_LOCK PROGRAM VERSION EPOCH

Our program with its SHA-256; every Debian package installed in the image, the kernel's, which is unpacked beside, and those that files of
the initrd and the boot file are from (INITRD_PACKAGES: name, version, architecture a line); the Rust crates that our program is built from
(CRATES: name, version a line; their hashes are in CARGO_LOCK); and of the page's packages those that end in it: svelte and what it names.
Ends with exit 1 if what it made is not of the shape the specification asks for. https://cyclonedx.org/docs/1.6/json/
"""

import base64
import datetime
import hashlib
import json
import re
import sys
import tomllib
import uuid


def debian(status, kernel, initrd):
    """(name, version, architecture) of each package."""
    with open(status, encoding="utf-8") as file:
        for paragraph in file.read().split("\n\n"):
            fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
            if fields.get("Status", "").endswith(" installed"):
                yield fields["Package"], fields["Version"], fields.get("Architecture", "all")
    with open(kernel, encoding="utf-8") as file:
        for line in file:
            name, version = line.split()
            yield name, version, "any"
    with open(initrd, encoding="utf-8") as file:
        yield from (tuple(line.split()) for line in file)


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


def component(kind, name, version, purl, hashes=()):
    part = {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}
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


def components(status, kernel, initrd, crates, lock, page_lock, program, image):
    with open(program, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    yield component("application", "pitchside", image, f"pkg:generic/pitchside@{image}", [("SHA-256", digest)])
    for name, version, arch in debian(status, kernel, initrd):
        quoted = version.replace("+", "%2B").replace(":", "%3A").replace("~", "~")
        yield component("library", name, version, f"pkg:deb/debian/{name}@{quoted}?arch={arch}&distro=trixie")
    for name, version, checksum, own in rust(crates, lock):
        sums = [("SHA-256", checksum)] if checksum else []
        yield component("application" if own else "library", name, version, f"pkg:cargo/{name}@{version}", sums)
    for name, version, digest in page(page_lock):
        yield component("library", name, version, f"pkg:npm/{name.replace('@', '%40')}@{version}", [("SHA-512", digest)])


def check(bom):
    """The rules of the specification that a generator can break: required fields, unique references, well-formed values."""
    assert bom["bomFormat"] == "CycloneDX" and re.fullmatch(r"1\.\d", bom["specVersion"])
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bom["serialNumber"])
    assert isinstance(bom["version"], int) and bom["version"] >= 1
    references = [bom["metadata"]["component"]["bom-ref"]]
    for part in bom["components"]:
        assert part["type"] in ("application", "library") and part["name"] and part["version"], part
        assert re.fullmatch(r"pkg:(deb/debian|cargo|npm|generic)/[^@ ]+@[^@ ]+", part["purl"]), part
        assert all(re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{128}", known["content"]) for known in part.get("hashes", [])), part
        references.append(part["bom-ref"])
    assert len(references) == len(set(references)), "two components with one reference"


def main():
    *inputs, version, epoch = sys.argv[1:]
    found = {part["bom-ref"]: part for part in components(*inputs, version)}
    parts = [found[reference] for reference in sorted(found)]
    at = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
    itself = component("firmware", "pitchside-appliance", version, f"pkg:generic/pitchside-appliance@{version}")
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
