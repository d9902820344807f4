# Board: 64-bit ARM with UEFI. Sourced by images/build. README.md here says what could be tried and what could not.
ARCH=arm64
COMPATIBLE=pitchside-arm64
RUST_TARGET=aarch64-unknown-linux-gnu
KERNEL=linux-image-arm64
EFI_NAME=BOOTAA64.EFI
EFI_STUB=/usr/lib/systemd/boot/efi/linuxaa64.efi.stub
CMDLINE="console=tty0 console=ttyAMA0,115200"

# The initrd's programs come from the board's own packages here; the root gets no file of the last two.
PACKAGES=(systemd-sysv udev dbus systemd-resolved systemd-repart bluez rauc rauc-service efibootmgr e2fsprogs kmod nftables chrony
  ca-certificates libdbus-1-3 qrencode cryptsetup-bin busybox-static systemd-boot-efi)
INITRD_ONLY=(busybox-static systemd-boot-efi)

MODULES=(
  arch/arm64/crypto crypto lib
  fs/autofs fs/efivarfs fs/erofs fs/ext4 fs/fat fs/fuse fs/jbd2 fs/mbcache.ko.xz fs/nls fs/overlayfs fs/squashfs
  drivers/ata drivers/block/loop.ko.xz drivers/block/nbd.ko.xz drivers/block/virtio_blk.ko.xz drivers/char/hw_random drivers/clk
  drivers/firmware drivers/gpio drivers/i2c drivers/md drivers/mmc drivers/nvme drivers/pci drivers/phy drivers/pinctrl drivers/pwm
  drivers/regulator drivers/reset drivers/rtc drivers/scsi drivers/soc drivers/virtio drivers/watchdog
  drivers/bluetooth drivers/hid drivers/usb
  drivers/net/ethernet/broadcom drivers/net/ethernet/realtek drivers/net/mdio drivers/net/net_failover.ko.xz drivers/net/phy
  drivers/net/virtio_net.ko.xz
  net/bluetooth net/core net/ipv4/netfilter net/ipv6/netfilter net/netfilter net/rfkill
)

INITRD_MODULES=(sbsa_gwdt bcm2835_wdt virtio_pci virtio_blk virtio_scsi ahci sd_mod nvme mmc_block sdhci_iproc sdhci_pci xhci_pci uas
  usb_storage pcie_brcmstb dm_verity sha256 crc32c erofs ext4 efivarfs)
