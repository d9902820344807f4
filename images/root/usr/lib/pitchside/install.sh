# Sourced. Installs a bundle through RAUC; what it was refused for, if it was, is in `refused`, and `final` says whether another try
# could come to anything else. Nothing here or elsewhere asks RAUC to pass over its limits.
# Free on the data partition beside a copy of a bundle: the room below which the journal refuses readings (journal.reserve_bytes, 64 MiB),
# and half of it more, for what is measured meanwhile.
# shellcheck disable=SC2034
ROOM_BYTES=$((96 << 20))
install_bundle() {
  final=no
  if out=$(rauc install "$1" 2>&1); then return 0; fi
  case "$out" in
    *"Pre-install handler error"*) final=yes refused=$(cat /run/pitchside/may-install 2>/dev/null) ;;
    *) refused=$(echo "$out" | grep -v % | tail -n 3 | tr '\n' ' ') ;;
  esac
  # Another maker's signature, or another kind of box: for good. Whatever else went wrong (a disk, a bus) may go right next time.
  case "$refused" in *"signature verification failed"* | *"ompatible mismatch"*) final=yes ;; esac
  return 1
}
