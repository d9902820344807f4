# Sourced by the stick. The settings of the clinic, and the public files that they name.

# Public files that settings name: who the ledger is (`ledger.policy = "/data/box/ledger.policy"`), who signs releases (`firmware.release_policy`),
# the clinic's own authorities (`delivery.authorities`). What is none is found out before it takes the place of one that is.
policies() {
  policy ledger.policy ledger.policy lines && again=yes
  # Signed to the byte: no text.
  policy release.policy firmware.release_policy cat && again=yes
  # Read anew for each connection.
  policy authorities.pem delivery.authorities lines
}

# policy FILE SETTING FORM: takes a file of the stick for the one that a setting names; FORM reads it. Fails if it was not there, or not taken.
policy() {
  [ -f "$stick/$1" ] && fits "$1" $FORM_BYTES || return 1
  own /tmp/policy
  if ! $3 "$stick/$1" >/tmp/form || ! give /tmp/form "/tmp/policy/$1"; then
    say "$1 could not be read, what was there stays"; return 1
  elif ! problems=$(pitchside config check --file "$2=/tmp/policy/$1" 2>&1); then
    say "$1 refused, what was there stays: $problems"; return 1
  fi
  put "/data/box/$1" </tmp/form || { not_kept "$1"; return 1; }
  say "$1 taken"
  obeyed "$stick/$1"
  return 0
}

# What is of no use of all that the settings name, a line each, without the file that names it: the gateway starts without that, and the
# doctor says so.
useless() { pitchside config check 2>&1 | sed '/^pitchside: /d; s/^[^ ]*: //'; }
# Whether the gateway starts with them.
they_run() { pitchside config show >/dev/null 2>&1; }

# Refused is what keeps the gateway from starting, or makes something of no use that is not so with the old ones.
settings() {
  target=/data/box/settings-2-clinic.toml
  # A gateway that does not start has nothing to lose.
  ran=no before=
  ! they_run || { ran=yes before=$(useless); }
  # Kept until the new ones are found good, over a power cut, too (migrate).
  : >/tmp/before
  if as_pitchside test -e $target && ! take $target >/tmp/before || ! put $target.before </tmp/before; then not_kept settings.toml; return 1; fi
  if ! put $target <"$1"; then
    as_pitchside rm -f $target.before
    not_kept settings.toml; return 1
  fi
  left=
  if problems=$(pitchside config check 2>&1) || { they_run && left=$(useless) && as_before; }; then
    as_pitchside rm -f $target.before
    say "settings taken"
    [ -z "$left" ] || say "of no use as they name it, till that is mended (doctor.txt): $left"
    again=yes
  else
    as_pitchside mv -f $target.before $target
    say "settings refused, the old ones stay: $problems"
    return 1
  fi
}
as_before() { [ -n "$left" ] && { [ $ran = no ] || ! printf '%s\n' "$left" | grep -qvxF -e "$before"; }; }
