# Sourced. The folder by which the gateway asks for an update and hears how it ended. Read and written as the gateway's user.
asked=/data/box/data/update
say() { echo "update: $*"; echo "update: $*" >/dev/console; }
told() {
  printf '%s\n' "$1" | as_pitchside sh -c "cat >$asked/result.new && sync $asked/result.new && mv -f $asked/result.new $asked/result"
  say "$1"
}
