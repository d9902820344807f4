#!/usr/bin/env bash
# Makes what the guest boots: Debian's kernel and a small initrd with BlueZ, D-Bus and busybox, in target/ble. Once, and again
# when this file or the images' release changes. Nothing is configured inside: packages are unpacked, no more.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# Where the archive is.
# shellcheck source=../../images/common.sh
. "$here/../../images/common.sh"

made=$REPO/target/ble
stamp=$(sha256sum < "$here/guest.sh" | cut -c1-16)-$SUITE

archive_of() { (cd "$1" && find . -print0 | LC_ALL=C sort -z | cpio --null --create --format=newc --owner=0:0 --quiet); }

# What is ours comes behind what is Debian's, anew each time.
finish() {
  rm -rf "$made/ours"
  install -D -m 644 "$here/main.conf" "$made/ours/etc/bluetooth/main.conf"
  install -m 755 "$here/init" "$made/ours/init"
  { cat "$made/debian.cpio"; archive_of "$made/ours"; } > "$made/initrd"
  rm -rf "$made/ours"
  exit 0
}

[ "$(cat "$made/made" 2>/dev/null)" != "$stamp" ] || finish

say "ble: unpacking a kernel and BlueZ of $SUITE under target/ble (once)"
mkdir -p "$made"
rm -rf "$made/tree" "$made/root" "$made/made"
sources | mmdebstrap --quiet --variant=extract --aptopt='APT::Install-Recommends "false"' \
  --include=bluez,busybox-static,dbus-daemon,kmod,linux-image-amd64 "$SUITE" "$made/tree" - ||
  die "the packages could not be unpacked"
tree=$made/tree root=$made/root
release=$(basename "$tree"/usr/lib/modules/*)
depmod --basedir "$tree" "$release"
cp "$tree/boot/vmlinuz-$release" "$made/vmlinuz"

# --- The root: programs, their libraries, the modules a virtual machine with Bluetooth needs ---------------------------------
mkdir -p "$root"/{usr/bin,usr/sbin,usr/lib,etc/bluetooth,dev,proc,sys,run,tmp,var/lib/bluetooth,data,mnt,root}
for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
cp -a "$tree/usr/lib64" "$root/usr/" 2>/dev/null || mkdir "$root/usr/lib64"
cp "$tree/usr/bin/busybox" "$root/usr/bin/"
for applet in $("$tree/usr/bin/busybox" --list); do [ "$applet" = busybox ] || ln -s busybox "$root/usr/bin/$applet"; done
# Busybox's own reads no compressed modules.
ln -sf kmod "$root/usr/bin/modprobe"
for program in usr/bin/kmod usr/bin/btattach usr/bin/btmon usr/bin/btmgmt usr/bin/bluetoothctl usr/bin/dbus-daemon usr/bin/dbus-send \
  usr/libexec/bluetooth/bluetoothd; do
  install -D "$tree/$program" "$root/$program"
done
mkdir -p "$root/usr/share/dbus-1" "$root/usr/lib/x86_64-linux-gnu"
cp -a "$tree"/usr/share/dbus-1/system.conf "$root/usr/share/dbus-1/"
install -D -m 644 "$tree/usr/share/dbus-1/system.d/bluetooth.conf" "$root/usr/share/dbus-1/system.d/bluetooth.conf"
cp -a "$tree"/usr/lib/x86_64-linux-gnu/*.so* "$root/usr/lib/x86_64-linux-gnu/"
modules=usr/lib/modules/$release
for name in bluetooth hci_uart algif_skcipher algif_hash cmac ecb ccm crc32c_generic virtio_pci virtio_blk virtio_console ext4 8250_pci; do
  modprobe --dirname "$tree" --set-version "$release" --show-depends "$name" 2>/dev/null | awk '$1 == "insmod" { print $2 }'
done | sort -u | while read -r file; do
  install -D -m 644 "$file" "$root/$modules/${file#"$tree"/*lib/modules/"$release"/}"
done
cp "$tree/$modules"/modules.{builtin,builtin.modinfo,order} "$root/$modules/"
depmod --basedir "$root" "$release"
printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'messagebus:x:100:100::/nonexistent:/bin/false' \
  'pitchside:x:101:101::/data:/bin/false' > "$root/etc/passwd"
printf '%s\n' 'root:x:0:' 'messagebus:x:100:' 'pitchside:x:101:' 'bluetooth:x:102:' > "$root/etc/group"
archive_of "$root" > "$made/debian.cpio"
rm -rf "$tree" "$root"
echo "$stamp" > "$made/made"
finish
