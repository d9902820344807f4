# Shared by the scripts of this folder: where things are, the mirror, the tools, the keys. Sourced, not run.

IMAGES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(dirname "$IMAGES")
OUT=$IMAGES/out
TOOLS=$OUT/tools
SUITE=trixie

# The one moment that every file of the image dates from, so that the same inputs give the same bytes.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$REPO" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC

say() { printf '%s\n' "$*" >&2; }
die() { say "image: $*"; exit 1; }

# The archive that apt already uses on this machine, by label ("Debian", "Debian-Security").
archive() {
  apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' | awk -F'|' -v label="$1" '$1 == label { print $2; exit }'
}

sources() {
  local main security
  main=${PITCHSIDE_MIRROR:-$(archive Debian)}
  security=${PITCHSIDE_SECURITY_MIRROR:-$(archive Debian-Security)}
  [ -n "$main" ] || die "apt knows no Debian archive here: set PITCHSIDE_MIRROR (and PITCHSIDE_SECURITY_MIRROR) to one"
  echo "deb $main $SUITE main"
  echo "deb $main $SUITE-updates main"
  [ -z "$security" ] || echo "deb $security $SUITE-security main"
}

# A Debian of the image's own release that holds every tool: what builds the image doesn't depend on the host's versions.
tools() {
  [ ! -e "$TOOLS/.complete" ] || return 0
  say "image: making the tools folder (once)"
  rm -rf "$TOOLS"
  local packages=(busybox-static cpio cryptsetup-bin dosfstools e2fsprogs efibootmgr erofs-utils fdisk kmod mtools openssl osslsigncode
    ovmf python3-virt-firmware qemu-system-x86 qemu-utils rauc squashfs-tools systemd-boot-efi systemd-ukify xz-utils zstd)
  sources | mmdebstrap --quiet --variant=apt --skip=cleanup/apt/lists --aptopt='APT::Install-Recommends "false"' \
    --include="$(IFS=,; echo "${packages[*]}")" "$SUITE" "$TOOLS" - || die "the tools folder could not be made"
  mkdir -p "$TOOLS/out" "$TOOLS/images"
  touch "$TOOLS/.complete"
}

# Runs a command among the tools, in a mount namespace of its own: nothing is left mounted, however it ends.
# /out and /images are the folders of the same name here.
in_tools() {
  unshare --mount --propagation private sh -c '
    tools=$1 out=$2 images=$3; shift 3
    mount --bind "$out" "$tools/out" && mount --bind "$images" "$tools/images" && mount -o remount,bind,ro "$tools/images" &&
      mount -t proc proc "$tools/proc" && mount --rbind /dev "$tools/dev" && exec chroot "$tools" "$@"' \
    in_tools "$TOOLS" "$OUT" "$IMAGES" "$@"
}

# Keys that sign: PITCHSIDE_KEYS names the folder of the real ones; without it, development keys made here and never kept in
# the repository. Names: ca.pem, release.pem, release.key (bundles); db.pem, db.key (what the firmware boots); pk.pem, kek.pem.
KEYS=${PITCHSIDE_KEYS:-$OUT/keys}

keys() {
  local name
  if [ -n "${PITCHSIDE_KEYS:-}" ]; then
    for name in ca.pem release.pem release.key db.pem db.key; do
      [ -r "$KEYS/$name" ] || die "PITCHSIDE_KEYS has no $name"
    done
    return
  fi
  [ ! -e "$KEYS/.complete" ] || return 0
  say "image: making development keys in $KEYS: whoever has them can sign updates for boxes built here"
  rm -rf "$KEYS"; mkdir -p -m 700 "$KEYS"
  local ten_years=3650
  authority() { openssl req -x509 -newkey rsa:3072 -nodes -days $ten_years -subj "/CN=$2" -keyout "$KEYS/$1.key" -out "$KEYS/$1.pem" 2>/dev/null; }
  authority ca "Pitchside development releases"
  for name in pk kek db; do authority $name "Pitchside development $name"; done
  openssl req -newkey rsa:3072 -nodes -subj "/CN=Pitchside development release" -keyout "$KEYS/release.key" -out "$KEYS/release.csr" 2>/dev/null
  openssl x509 -req -in "$KEYS/release.csr" -CA "$KEYS/ca.pem" -CAkey "$KEYS/ca.key" -set_serial 1 -days $ten_years -out "$KEYS/release.pem" 2>/dev/null
  rm "$KEYS/release.csr"
  touch "$KEYS/.complete"
}
