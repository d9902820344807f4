#!/usr/bin/env python3
"""Which disk the initrd takes for the box's own: its own lines, run over made-up trees of /sys. Needs no virtual machine and no root."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

INIT = (pathlib.Path(__file__).resolve().parents[2] / "images/initrd/init").read_text()


def between(begin, end):
    return INIT[INIT.index(begin):INIT.index(end)]


WORDS = between("# The partition of the box's own disk", "# The watchdogs are the first")
SEARCH = between("waited=0\nwhile :; do", 'say "slot $slot (confirmed')
NAMES = between('echo "$disk" >/run/pitchside/disk', "printf 'SLOT=")

ALL = ("boot-a", "boot-b", "root-a", "root-b", "data")
PCI, STICK = "pci0000:00/0000:00:", "pci0000:00/0000:00:14.0/usb{0}/{0}-1/{0}-1:1.0/host{0}/target{0}:0:0/{0}:0:0:0"
VIRTIO, NVME, CARD = ("vda", PCI + "04.0/virtio1"), ("nvme0n1", PCI + "1d.0/nvme/nvme0"), ("mmcblk0", PCI + "1e.0/mmc0/mmc0:0001")
USB, OTHER_USB = ("sda", STICK.format(1)), ("sdb", STICK.format(2))


class Machine:
    """Disks in a folder, and the initrd's search among them."""

    def __init__(self, *disks):
        self.at = pathlib.Path(tempfile.mkdtemp())
        for path in ("sys/class/block", "dev", "run/pitchside"):
            (self.at / path).mkdir(parents=True)
        for (disk, bus), names in disks:
            home = self.at / "sys/devices" / bus / "block" / disk
            self.device(home, "DEVTYPE=disk\n")
            for number, name in enumerate(names, 1):
                part = disk + ("p" if disk[-1].isdigit() else "") + str(number)
                self.device(home / part, f"DEVTYPE=partition\nPARTN={number}\nPARTNAME={name}\n")
                (self.at / "dev" / part).touch()

    def device(self, folder, uevent):
        folder.mkdir(parents=True)
        (folder / "uevent").write_text(uevent)
        (self.at / "sys/class/block" / folder.name).symlink_to(folder)

    def search(self, slot="a", after_tenths=(0, ":")):
        """What is said; the disk; the tenths of a second waited; where each name leads. Ends after 13 s."""
        tenths, happens = after_tenths
        script = (f'say() {{ echo "$*"; }}\nalive() {{ :; }}\ngive_up() {{ echo "given up: $*"; exit 1; }}\n'
                  f'n=0\nsleep() {{ n=$((n + 1)); [ $n -lt 130 ] || exit 2; [ $n != {tenths} ] || {{ {happens}; }}; }}\nsmall={slot}\n'
                  f'{WORDS}{SEARCH}{NAMES}echo "$waited" >/run/pitchside/waited\n')
        # A device node is a plain file here; and the search goes on at full speed.
        script = script.replace("[ -b ", "[ -e ").replace("[ ! -b ", "[ ! -e ").replace("[ ! -c /dev/tty1 ] ||", ":")
        for root in ("/sys/", "/run/", "/dev/\\1", "/dev/disk"):
            script = script.replace(root, f"{self.at}{root}")
        said = subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
        kept = {name: (self.at / "run/pitchside" / name).read_text().strip() for name in ("disk", "waited") if (self.at / "run/pitchside" / name).exists()}
        links = {link.name: pathlib.Path(link.readlink()).name for link in self.at.glob("dev/disk/pitchside/*")}
        shutil.rmtree(self.at)
        return said, kept.get("disk"), int(kept.get("waited", -1)), links


class OwnDisk(unittest.TestCase):
    def test_the_only_disk_is_the_box_s_own_at_once_whatever_its_bus(self):
        for disk, part in ((VIRTIO, "vda4"), (NVME, "nvme0n1p4"), (CARD, "mmcblk0p4")):
            _, own, waited, links = Machine((disk, ALL)).search("b")
            self.assertEqual((own, waited, links["root-b"], len(links)), (disk[0], 0, part, 5))

    def test_a_stick_made_like_the_box_gets_none_of_its_names(self):
        _, own, waited, links = Machine((USB, ALL), (VIRTIO, ALL)).search()
        self.assertEqual((own, waited, set(links.values())), ("vda", 0, {f"vda{number}" for number in range(1, 6)}))

    def test_a_stick_stands_in_for_no_partition_that_is_missing(self):
        _, own, _, links = Machine((USB, ("data",)), (VIRTIO, ALL[:4])).search()
        self.assertEqual((own, "data" in links), ("vda", False))

    def test_a_disk_on_usb_is_taken_when_no_other_came_within_ten_seconds(self):
        _, own, waited, links = Machine((USB, ALL)).search()
        self.assertEqual((own, waited, links["data"]), ("sda", 100, "sda5"))

    def test_a_built_in_disk_that_is_slower_than_a_stick_is_waited_for(self):
        machine = Machine((USB, ALL), (VIRTIO, ALL))
        aside = machine.at / "aside"
        aside.mkdir()
        for block in (machine.at / "sys/class/block").glob("vda*"):
            block.rename(aside / block.name)
        _, own, waited, _ = machine.search(after_tenths=(50, f"mv {aside}/* /sys/class/block/"))
        self.assertEqual((own, waited), ("vda", 50))

    def test_between_two_disks_nobody_guesses_until_one_is_taken_away(self):
        for one, two in ((VIRTIO, NVME), (USB, OTHER_USB)):
            said, own, _, links = Machine((one, ALL), (two, ALL)).search()
            self.assertEqual((own, links), (None, {}))
            self.assertIn("2 disks could be the box's own", said)
            self.assertIn(one[0], said)
        _, own, waited, _ = Machine((VIRTIO, ALL), (NVME, ALL)).search(after_tenths=(120, "rm /sys/class/block/nvme*"))
        self.assertEqual((own, waited), ("vda", 120))

    def test_no_disk_at_all_is_given_up(self):
        said, own, _, _ = Machine().search()
        self.assertEqual((said.strip(), own), ("given up: its disk is not there", None))


if __name__ == "__main__":
    unittest.main()
