# Sourced. What lies below /data/box is the gateway's: read and written as its user, so that a link it may have laid leads nowhere
# it could not go itself.
as_pitchside() { setpriv --reuid=pitchside --regid=pitchside --init-groups --inh-caps=-all -- "$@"; }
# take FILE: what a small one says. A pipe or a device that was laid there holds nobody up, and one that is too large is not taken in part.
take() {
  as_pitchside sh -c '[ -f "$1" ] && [ "$(stat -L -c %s "$1")" -le 1048576 ] && exec timeout 10 head -c 1048576 "$1"' - "$1"
}
# put FILE: what comes in, whole and on the disk, or not at all: then it fails, and what was there stays.
put() {
  as_pitchside sh -ec 'cat >"$1.new"; chmod 644 "$1.new"; sync "$1.new"; mv -f "$1.new" "$1"; sync "${1%/*}"' - "$1" ||
    { as_pitchside rm -f "$1.new"; return 1; }
}
