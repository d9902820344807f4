#!/usr/bin/env python3
"""Parts of the image that need no virtual machine and no root to be tried: what a stick is told and keeps, its time servers and what tells
chrony, settings at a start, an update that is killed, the screen's page, the initrd's long checks, the bill of materials. Each runs the
image's own lines in a folder of its own."""

import importlib.util
import shutil
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
from scratch import IMAGES, PITCHSIDE, ROOT, SHELLS, Scratch, below, below_box, function
from told_by_stick import StickTold

# Its rows are among these.
__all__ = ["StickTold"]
POOL = (ROOT / "usr/share/pitchside/timeservers/timeservers.sources").read_text()


class TimeServersByStick(Scratch):
    KEPT = "data/system/timeservers/timeservers.sources"

    def brings(self, content):
        (self.at / "data/system").mkdir(parents=True, exist_ok=True)
        (self.at / "timeservers.txt").write_bytes(content)
        lines = next(line for line in (PITCHSIDE / "stick").read_text().splitlines() if line.startswith("lines()"))
        said, _ = self.run_in(f'umask 077\nsay() {{ echo "$*"; }}\nsync() {{ :; }}\n{lines}\n. {PITCHSIDE}/timeservers.sh\n'
                              f'{function(PITCHSIDE / "stick", "timeservers")}timeservers {self.at}/timeservers.txt', ["/data/system"])
        kept = self.at / self.KEPT
        return said, kept.read_text() if kept.exists() else None

    def test_names_and_addresses_become_what_chrony_reads_whatever_editor_wrote_them(self):
        said, kept = self.brings(b"\xef\xbb\xbf# the hospital's\r\nntp1.hospital.example\r\n\r\n  10.20.0.1\r\n2001:db8::123\r\n10.20.0.1\r\nclock-2")
        self.assertEqual(kept, "server ntp1.hospital.example iburst\nserver 10.20.0.1 iburst\nserver 2001:db8::123 iburst\nserver clock-2 iburst\n")
        self.assertIn("time servers taken: ntp1.hospital.example 10.20.0.1 2001:db8::123 clock-2", said)
        # chrony reads it as a user of its own.
        self.assertEqual(((self.at / self.KEPT).stat().st_mode & 0o777, (self.at / self.KEPT).parent.stat().st_mode & 0o777), (0o644, 0o755))

    def test_what_names_no_server_is_refused_with_its_line_and_the_old_ones_stay(self):
        self.brings(b"10.20.0.1\n")
        neither, words = "line 2 is neither a host name nor an address", "line 2 has more than one word"
        for line, why in (("10.20.0.256", neither), ("10.20.1", neither), ("1::2::3", neither), ("1:2:3", neither), ("fe80::1%eth0", neither),
                          ("12345::", neither), ("-x", neither), ("a..b", neither), ("a/b", neither), ("a;b", neither), ("*", neither),
                          ("x" * 64, neither), ("ä", neither), ("ntp.example offline", words), ("server ntp.example", words)):
            said, kept = self.brings(f"# ours\n{line}\n".encode())
            self.assertEqual((said, kept), (f"time servers refused, the old ones stay: {why}\n", "server 10.20.0.1 iburst\n"), line)
        said, kept = self.brings("".join(f"ntp{number}\n" for number in range(9)).encode())
        self.assertEqual((said, kept), ("time servers refused, the old ones stay: more than 8 servers\n", "server 10.20.0.1 iburst\n"))

    def test_a_file_that_names_none_takes_the_clinics_back(self):
        self.brings(b"10.20.0.1\n")
        said, kept = self.brings(b"# none\n")
        self.assertEqual(kept, None)
        self.assertIn("names none", said)


class AtAStart(Scratch):
    def migrates(self):
        below_box(self.at)
        self.write("usr/lib/pitchside/forget", "#!/bin/sh\n").chmod(0o755)
        self.write("usr/lib/pitchside/migrations/001-nothing", "#!/bin/sh\n").chmod(0o755)
        self.write("usr/share/pitchside/appliance.toml", 'hosts = ["@NAME@"]\n')
        self.write("proc/sys/kernel/hostname", "pitchside-000000\n")
        (self.at / "data/box").mkdir(parents=True, exist_ok=True)
        self.write("data/layout", "1\n")
        return self.run_in(below(self.at, "migrate", "sync() { :; }"), [])

    def test_this_versions_settings_are_written_where_they_differ(self):
        kept = self.at / "data/box/settings-1-appliance.toml"
        self.assertEqual(self.migrates(), ("", 0))
        self.assertEqual(kept.read_text(), 'hosts = ["pitchside-000000"]\n')
        before = kept.stat().st_ino
        self.migrates()
        self.assertEqual(kept.stat().st_ino, before)
        kept.write_text("of another version\n")
        self.migrates()
        self.assertEqual(kept.read_text(), 'hosts = ["pitchside-000000"]\n')

    def test_a_full_data_partition_keeps_the_gateway_from_starting_only_if_it_has_no_settings_at_all(self):
        kept = self.write("data/box/settings-1-appliance.toml", "of another version\n")
        full = self.at / "data/box/settings-1-appliance.toml.new"
        full.symlink_to("/dev/full")
        said, code = self.migrates()
        self.assertEqual((code, kept.read_text()), (0, "of another version\n"))
        self.assertIn("settings of this version could not be written; those that are there stay", said)
        kept.unlink()
        full.symlink_to("/dev/full")
        self.assertNotEqual(self.migrates()[1], 0)


class UpdateEnded(Scratch):
    def ended(self, result, *there):
        """What `update-ended` leaves of these files after this end of `update`."""
        shutil.rmtree(self.at, ignore_errors=True)
        below_box(self.at, "asked.sh")
        folder = self.at / "data/box/data/update"
        self.write("dev/console", "")
        self.write("data/update.raucb", "")
        folder.mkdir(parents=True)
        for name in there:
            (folder / name).write_text("refused: for good\n")
        self.run_in(below(self.at, "update-ended", f"SERVICE_RESULT={result}"), [])
        return {path.name: path.read_text() for path in folder.iterdir()}, (self.at / "data/update.raucb").exists()

    def test_one_that_is_killed_is_told_and_leaves_nothing_the_gateway_would_wait_for(self):
        self.assertEqual(self.ended("timeout", "taken"), ({"result": "not now: it was ended before it was installed (timeout)\n"}, False))
        # Its own last word stands, for or against another try.
        self.assertEqual(self.ended("signal", "taken", "result"), ({"result": "refused: for good\n"}, False))

    def test_one_that_went_in_is_waited_for_until_the_restart(self):
        self.assertEqual(self.ended("success", "taken")[0], {"taken": "refused: for good\n"})
        unit = (ROOT / "usr/lib/systemd/system/pitchside-update.service").read_text()
        self.assertIn("\nExecStopPost=/usr/lib/pitchside/update-ended\n", unit)

    def test_beside_a_copied_bundle_the_journal_has_its_room(self):
        kept = next(line for line in (IMAGES.parent / "gateway/config/src/settings.rs").read_text().splitlines() if " reserve_bytes: u64 = " in line)
        mib = int(kept.split("= ")[1].split(" <<")[0])
        self.assertIn("<< 20", kept)
        for script in ("stick", "update"):
            said, _ = self.run_in(f". {PITCHSIDE}/install.sh; echo $((ROOM_BYTES >> 20))", [])
            self.assertGreater(int(said), mib)
            text = (PITCHSIDE / script).read_text()
            self.assertIn(". /usr/lib/pitchside/install.sh", text)
            self.assertNotIn("ROOM_BYTES=", text)


class ScreenPage(Scratch):
    def shows(self):
        below_box(self.at)
        self.write("run/pitchside/slot", "SLOT=A\n")
        self.write("usr/lib/os-release", "IMAGE_VERSION=1.0.0\n")
        self.write("proc/sys/kernel/hostname", "pitchside-000000\n")
        (self.at / "data").mkdir(exist_ok=True)
        self.run_in(below(self.at, "claim").replace(">$screen", ">/dev/null"), [])
        return (self.at / "run/pitchside/page").read_text()

    def test_the_fingerprint_is_the_authoritys(self):
        self.write("data/box/keys/ca.pem", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n")
        self.assertIn("SHA-256 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n", self.shows())

    def test_a_pipe_laid_in_its_place_does_not_keep_the_screen_empty(self):
        (self.at / "data/box/keys").mkdir(parents=True)
        subprocess.run(["mkfifo", self.at / "data/box/keys/ca.pem"], check=True)
        page = self.shows()
        self.assertIn("https://pitchside-000000.local:8443", page)
        self.assertIn("authority    its certificate can't be read", page)


class TimeServersTold(Scratch):
    """`timeservers` over some looks; `chronyc` is a list of when it was told, and of what it would have read."""

    def looks(self, *happens, told=0):
        for folder in ("run/systemd/netif", "run/pitchside-timeservers", "data/system/timeservers", "usr/share/pitchside/timeservers"):
            (self.at / folder).mkdir(parents=True)
        self.write("usr/share/pitchside/timeservers/timeservers.sources", POOL)
        shutil.copy(PITCHSIDE / "timeservers.sh", self.write("usr/lib/pitchside/timeservers.sh", ""))
        steps = "".join(f"{number}) {step} ;; " for number, step in enumerate(happens, 1))
        fakes = (f'look=0\nsleep() {{ look=$((look + 1)); case $look in {steps}*) exit 0 ;; esac; }}\n'
                 f'timeout() {{ echo "told: $(cut -d" " -f2 "$sources" | tr "\\n" " ")"; return {told}; }}\n')
        said, code = self.run_in((PITCHSIDE / "timeservers").read_text().replace(">/dev/null || exit", "|| exit").replace("set -u\n", f"set -u\n{fakes}", 1),
                                 ["/run/", "/data/", "/usr/lib/pitchside/", "/usr/share/"])
        return [line.removeprefix("told: ").strip() for line in said.splitlines() if line.startswith("told: ")], code

    def test_chrony_is_told_of_the_networks_servers_beside_the_pool_and_of_the_clinics_alone(self):
        pool = POOL.split()[1]
        state, clinic = "/run/systemd/netif/state", f"/{TimeServersByStick.KEPT}"
        dhcp = f"printf 'DNS=1.1.1.1\\nNTP=10.9.0.1 ntp.ward.example a;b\\n' >{state}"
        told, _ = self.looks(":", dhcp, ":", f"echo 'server 10.20.0.1 iburst' >{clinic}", ":", f"rm {clinic}", f": >{state}", ":")
        self.assertEqual(told, [pool, f"10.9.0.1 ntp.ward.example {pool}", "10.20.0.1", f"10.9.0.1 ntp.ward.example {pool}", pool])

    def test_a_chrony_that_cannot_be_told_ends_it_to_be_started_again(self):
        told, code = self.looks(":", told=1)
        self.assertEqual((len(told), code), (1, 1))

    def test_chrony_looks_in_the_folders_in_this_order_and_names_no_server_of_its_own(self):
        settings = (ROOT / "etc/chrony/chrony.conf").read_text().splitlines()
        self.assertIn("sourcedir /data/system/timeservers /run/pitchside-timeservers /usr/share/pitchside/timeservers", settings)
        self.assertFalse([line for line in settings if line.startswith(("pool", "server", "peer"))])


class LongChecks(Scratch):
    """The initrd's `works_on`, whose watchdog is a list of when it was fed. `sleep` is what happens meanwhile."""

    def works(self, program, meanwhile, shell):
        shutil.rmtree(self.at / "sys", ignore_errors=True)
        for name in ("go", "fed"):
            (self.at / name).unlink(missing_ok=True)
        subprocess.run(["mkfifo", self.at / "go"], check=True)
        self.write("sys/class/block/vda5/stat", "0 0 0 0 0 0 0 0 0 0 0\n")
        script = (f'alive() {{ echo >>{self.at}/fed; }}\nn=0\nsleep() {{ n=$((n + 1)); {meanwhile}; }}\n'
                  f'{function(IMAGES / "initrd/init", "works_on")}works_on /dev/vda5 {program}\nexit $?\n')
        _, code = self.run_in(script, ["/sys/"], shell)
        fed = self.at / "fed"
        return code, len(fed.read_text()) if fed.exists() else 0

    def test_the_exit_code_is_the_programs(self):
        for shell in SHELLS:
            for code in (0, 1, 4, 8):
                self.assertEqual(self.works(f"sh -c 'exit {code}'", ":", shell)[0], code, shell)
            self.assertGreaterEqual(self.works("sh -c 'kill -9 $$'", ":", shell)[0], 4)

    def test_a_check_that_reads_feeds_the_watchdog_all_the_while(self):
        for shell in SHELLS:
            reads = f"echo $n 0 0 0 0 >/sys/class/block/vda5/stat; [ $n != 50 ] || echo >{self.at}/go"
            code, fed = self.works(f"sh -c 'read go <{self.at}/go; exit 4'", reads, shell)
            self.assertEqual(code, 4)
            self.assertGreaterEqual(fed, 50, shell)

    def test_a_check_that_computes_feeds_the_watchdog(self):
        for shell in SHELLS:
            code, fed = self.works("sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done; exit 1'", ":", shell)
            self.assertEqual(code, 1)
            self.assertGreaterEqual(fed, 3, shell)

    def test_a_check_whose_disk_no_longer_answers_does_not(self):
        for shell in SHELLS:
            code, fed = self.works(f"sh -c 'read go <{self.at}/go; exit 4'", f"[ $n != 50 ] || echo >{self.at}/go", shell)
            self.assertEqual(code, 4)
            self.assertLess(fed, 5, shell)


class BillOfMaterials(Scratch):
    def setUp(self):
        super().setUp()
        spec = importlib.util.spec_from_file_location("sbom", IMAGES / "sbom.py")
        self.sbom = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.sbom)

    def parts(self, packages):
        """The components of a root of these packages: name, architecture, what it installed, what is left of that."""
        status = ""
        for name, arch, installed, kept in packages:
            status += f"Package: {name}\nStatus: install ok installed\nArchitecture: {arch}\nVersion: 1:2.0+b1\n\n"
            suffix = f":{arch}" if name.startswith("lib") and arch != "all" else ""
            self.write(f"base/var/lib/dpkg/info/{name}{suffix}.list", "".join(f"{path}\n" for path in ("/.", "/usr", "/etc", *installed)))
            for path in kept:
                self.write("tree" + path, "")
        self.write("base/var/lib/dpkg/status", status)
        self.write("tree/usr/bin/pitchside", "ours")
        (self.at / "tree/etc").mkdir(exist_ok=True)
        self.write("kernel", "linux-image-6.12+deb13-arm64 6.12-1\n")
        self.write("initrd", "busybox-static 1:1.37+b9 arm64\n")
        self.write("crates", "wasi 0.1.0+snap\n")
        self.write("Cargo.lock", '[[package]]\nname = "wasi"\nversion = "0.1.0+snap"\nsource = "registry"\nchecksum = "' + "a" * 64 + '"\n')
        self.write("lock.json", '{"packages": {"node_modules/svelte": {"version": "5.0.0", "integrity": "sha512-' + "A" * 86 + '==", '
                                '"dependencies": {"@jridgewell/x": "1"}}, "node_modules/@jridgewell/x": {"version": "1.0.0", "integrity": "sha512-' + "A" * 86 + '=="}}}')
        inputs = [self.at / name for name in ("kernel", "initrd", "crates", "Cargo.lock", "lock.json")]
        return {part["name"]: part for part in self.sbom.components(self.at / "base", self.at / "tree", "arm64", *inputs, "1.0.0")}

    def test_a_package_without_a_file_is_left_out_and_one_with_settings_alone_says_so(self):
        parts = self.parts([("perl-base", "arm64", ["/usr/bin/perl"], []), ("openssl", "arm64", ["/usr/bin/openssl", "/etc/ssl/openssl.cnf"], ["/etc/ssl/openssl.cnf"]),
                            ("libc6", "arm64", ["/usr/lib/libc.so.6"], ["/usr/lib/libc.so.6"])])
        self.assertNotIn("perl-base", parts)
        self.assertEqual(parts["openssl"]["properties"], [{"name": "pitchside:left", "value": "settings"}])
        self.assertNotIn("properties", parts["libc6"])

    def test_package_urls_are_written_as_their_specification_has_them(self):
        parts = self.parts([("libstdc++6", "arm64", ["/usr/lib/libstdc++.so.6"], ["/usr/lib/libstdc++.so.6"]), ("tzdata", "all", ["/usr/z"], ["/usr/z"])])
        urls = {name: part["purl"] for name, part in parts.items()}
        self.assertEqual(urls, {
            "pitchside": "pkg:generic/pitchside@1.0.0",
            "libstdc++6": "pkg:deb/debian/libstdc%2B%2B6@1:2.0%2Bb1?arch=arm64&distro=trixie",
            "tzdata": "pkg:deb/debian/tzdata@1:2.0%2Bb1?arch=all&distro=trixie",
            "linux-image-6.12+deb13-arm64": "pkg:deb/debian/linux-image-6.12%2Bdeb13-arm64@6.12-1?arch=arm64&distro=trixie",
            "busybox-static": "pkg:deb/debian/busybox-static@1:1.37%2Bb9?arch=arm64&distro=trixie",
            "wasi": "pkg:cargo/wasi@0.1.0%2Bsnap",
            "svelte": "pkg:npm/svelte@5.0.0",
            "@jridgewell/x": "pkg:npm/%40jridgewell/x@1.0.0",
        })

    def test_a_bill_with_a_package_url_that_is_none_is_not_written(self):
        good = self.sbom.component("library", "x", "1", "pkg:deb/debian/x@1?arch=amd64&distro=trixie")
        bom = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": "urn:uuid:00000000-0000-0000-0000-000000000000", "version": 1,
               "metadata": {"component": {"bom-ref": "itself"}}, "components": [good]}
        self.sbom.check(bom)
        for url in ("pkg:deb/debian/g++@1?arch=amd64", "pkg:deb/debian/x@1+b1?arch=amd64", "pkg:deb/debian/x@1?arch=any&distro=trixie", "pkg:npm/@a/x@1"):
            with self.assertRaises(AssertionError, msg=url):
                self.sbom.check(bom | {"components": [good | {"purl": url}]})


if __name__ == "__main__":
    unittest.main()
