# Sourced. What lies below /data/box is the gateway's: read and written as its user, so that a link it may have laid leads nowhere
# it could not go itself.
as_pitchside() { setpriv --reuid=pitchside --regid=pitchside --init-groups --inh-caps=-all -- "$@"; }
