# Board: any PC with UEFI. Sourced by images/build.
ARCH=amd64
COMPATIBLE=pitchside-amd64
RUST_TARGET=x86_64-unknown-linux-gnu
KERNEL=linux-image-amd64
EFI_NAME=BOOTX64.EFI
EFI_STUB=/usr/lib/systemd/boot/efi/linuxx64.efi.stub
# Without the last, a kernel that starts on a busy virtual machine may take a late timer interrupt for a missing one, and panic.
CMDLINE="console=tty0 console=ttyS0,115200 no_timer_check"

# What runs on the box, besides our own program.
PACKAGES=(systemd-sysv udev dbus systemd-resolved systemd-repart bluez rauc rauc-service efibootmgr e2fsprogs kmod nftables chrony
  ca-certificates libdbus-1-3 qrencode)
# Of these what initrd and boot file alone are made with: nothing, they come from the tools.
INITRD_ONLY=()

# Modules the root file system keeps: folders and files below kernel/. Nothing that has no business in a clinic.
MODULES=(
  arch/x86/crypto crypto lib
  fs/autofs fs/efivarfs fs/erofs fs/ext4 fs/fat fs/fuse fs/jbd2 fs/mbcache.ko.xz fs/nls fs/overlayfs fs/squashfs
  drivers/ata drivers/block/loop.ko.xz drivers/block/nbd.ko.xz drivers/block/virtio_blk.ko.xz drivers/char/hw_random drivers/md
  drivers/mmc drivers/nvme drivers/scsi drivers/virtio drivers/watchdog
  drivers/bluetooth drivers/hid drivers/usb/class drivers/usb/core drivers/usb/host drivers/usb/serial drivers/usb/storage
  drivers/net/ethernet/intel drivers/net/ethernet/realtek drivers/net/mdio drivers/net/net_failover.ko.xz drivers/net/phy
  drivers/net/virtio_net.ko.xz
  drivers/firmware/qemu_fw_cfg.ko.xz drivers/i2c/i2c-dev.ko.xz
  net/bluetooth net/core net/ipv4/netfilter net/ipv6/netfilter net/netfilter net/rfkill
)

# Modules the initrd loads, in this order; what they need comes with them.
INITRD_MODULES=(i6300esb iTCO_wdt sp5100_tco virtio_pci virtio_blk virtio_scsi ahci sd_mod nvme mmc_block sdhci_pci sdhci_acpi
  xhci_pci uas usb_storage dm_verity sha256 crc32c erofs ext4 efivarfs)
