# Sourced by `stick`. What an admin does elsewhere at a command line, a line each, in the words of that: plugins, rules, people.
# README.md, "Orders", lists them. Each runs our own program as the gateway's user and says what came of it. Words that could become part of
# a path are names, checked by `is_name`; secrets and passwords come and go by files and standard input, never as an argument.
desk=/tmp/desk
RULE_FILES="rule.toml rule.rhai cases.txt README.md"
TEXT_BYTES=$((256 << 10))
PACKAGE_BYTES=$((2 << 20))

is_name() {
  case "$1" in '' | [!A-Za-z0-9]* | *[!A-Za-z0-9._-]*) say "refused: a name has letters, digits, '.', '_', '-', and begins with one of the first two"; return 1 ;; esac
}

# carry ORDER COMMAND...: runs it; ORDER is how it is called if it fails.
carry() {
  order=$1; shift
  if out=$(pitchside "$@" 2>&1 </dev/null); then say "$out"; else say "could not $order: $out"; return 1; fi
}

# fits FILE BYTES: whether the stick has it, and no larger.
fits() {
  if [ ! -f "$stick/$1" ]; then say "there is no $1 on the stick"; return 1; fi
  if [ "$(stat -c %s "$stick/$1")" -gt "$2" ]; then say "$1 has more than $2 bytes"; return 1; fi
}

# bring FILE TO: a text of the stick, as people's editors write it, where the gateway's user reads it and writes beside it.
bring() {
  fits "$1" $TEXT_BYTES || return 1
  lines "$stick/$1" | as_pitchside sh -ec 'cat >"$1"' - "$2" || { say "$1 could not be taken"; return 1; }
}

# keep FILE TEXT: what is shown only once goes onto the stick.
keep() { [ -n "$2" ] && mkdir -p "$stick/${1%/*}" && printf '%s\n' "$2" >"$stick/$1" && sync "$stick/$1" && [ -s "$stick/$1" ]; }

# of JSON FIELD: one text in what our program said.
of() { printf '%s\n' "$1" | sed -n "s/.*\"$2\": *\"\([^\"]*\)\".*/\1/p"; }

# secret PLUGIN KEY FILE|generate|remove
secret() {
  case $3 in
    remove) carry "take the secret $2 of $1 away" plugin secret --remove -- "$1" "$2" ;;
    generate)
      if ! out=$(pitchside --json plugin secret --generate -- "$1" "$2" 2>&1 </dev/null); then
        say "could not make the secret $2 of $1: $out"
      elif keep "secrets/$1-$2.txt" "$(of "$out" value)"; then
        say "$1: the secret $2 is in secrets/$1-$2.txt: hand it over, then wipe the stick"
      else say "$1: the stick took no secrets/$1-$2.txt: order it once more, the last one is of no use"; fi ;;
    *)
      is_name "$3" && fits "$3" $TEXT_BYTES || return 1
      if out=$(lines "$stick/$3" | pitchside plugin secret -- "$1" "$2" 2>&1); then
        say "$out; $3 still holds it: wipe the stick"
      else say "could not set the secret $2 of $1: $out"; fi ;;
  esac
}

# package install|update FILE [CAPABILITY...]: a signed package with FILE.note beside it, and what it may have done for it.
package() {
  verb=$1 file=$2; shift 2
  is_name "$file" && fits "$file" $PACKAGE_BYTES || return 1
  own $desk
  give "$stick/$file" "$desk/$file" && bring "$file.note" "$desk/$file.note" || return 1
  for capability; do shift; set -- "$@" "--grant=$capability"; done
  carry "$verb $file" plugin "$verb" "$@" -- "$desk/$file"
}

# signer trust|distrust FILE: whose plugins may be installed.
signer() {
  is_name "$2" || return 1
  own $desk
  bring "$2" $desk/key.pub && carry "$1 $2" plugin "$1" -- $desk/key.pub
}

# checkout RULE [VERSION]: the rule's files, to be edited, into rules/RULE.
checkout() {
  if [ -e "$stick/rules/$1" ]; then say "rules/$1 is on the stick already"; return 1; fi
  own $desk
  if ! out=$(pitchside rules checkout -- "$1${2:+@$2}" "$desk/$1" 2>&1 </dev/null); then say "could not check $1 out: $out"; return 1; fi
  mkdir -p "$stick/rules/$1"
  for file in $RULE_FILES .base; do
    cp "$desk/$1/$file" "$stick/rules/$1/$file" || { say "the stick took only a part of rules/$1"; return 1; }
  done
  say "rules/$1 is on the stick: edit it, then publish $1"
}

# publish RULE [VERSION]: puts rules/RULE in force; VERSION is the one it began from, if it was not checked out.
publish() {
  own $desk; own "$desk/$1"
  for file in $RULE_FILES; do bring "rules/$1/$file" "$desk/$1/$file" || return 1; done
  if [ -f "$stick/rules/$1/.base" ]; then bring "rules/$1/.base" "$desk/$1/.base" || return 1; fi
  carry "publish $1" rules publish --note "by stick" --author stick ${2:+"--base=$2"} -- "$desk/$1" || return 1
  # The draft goes on from what it has become.
  [ ! -f "$desk/$1/.base" ] || cp "$desk/$1/.base" "$stick/rules/$1/.base"
}

# password_for USER COMMAND...: runs it; the password it makes goes into users/USER.txt.
password_for() {
  user=$1; shift
  if ! out=$(pitchside --json user "$@" 2>&1 </dev/null); then
    say "no password for $user: $out"
  elif keep "users/$user.txt" "$(of "$out" password)"; then
    say "$user signs in with the password in users/$user.txt: hand it over, then wipe the stick"
  else say "the stick took no users/$user.txt: order password $user once more"; fi
}

# One order; fails if it is none of these. What a plugin is set to or granted may be an address or a sentence.
admin_order() {
  case "$*" in *[[:cntrl:]]*) return 1 ;; esac
  case "${1:-} $#" in
    "set "[4-9] | "set "[1-9][0-9]* | "grant 3" | "revoke 3" | "unset 3" | "secret 4" | "enable 2" | "disable 2" | "remove 2" | "rollback 2" | \
      "settings 2" | "list 1" | "drill 1" | "install "[2-9] | "update "[2-9] | "trust 2" | "distrust 2" | "checkout 2" | "checkout 3" | \
      "publish 2" | "publish 3" | "rollback 3" | "history 2" | "user 3" | "user 4" | "password 2" | "erase 3") ;;
    *) return 1 ;;
  esac
  # Refused or carried out: it was one of these.
  [ $# -lt 2 ] || is_name "$2" || return 0
  case "$1 $#" in
    "grant 3" | "revoke 3") carry "$1 $2 $3" plugin "$1" -- "$2" "$3"; return 0 ;;
    install* | update*) package "$@"; return 0 ;;
    list*) carry list plugin list; return 0 ;;
    drill*) carry drill alerts drill; return 0 ;;
  esac
  [ $# -lt 3 ] || is_name "$3" || return 0
  case "$1 $#" in
    "set "*) plugin=$2 key=$3; shift 3; carry "set $key of $plugin" plugin set -- "$plugin" "$key" "$*" ;;
    unset*) carry "unset $3 of $2" plugin unset -- "$2" "$3" ;;
    secret*) secret "$2" "$3" "$4" ;;
    enable* | disable* | remove* | "rollback 2" | settings*) carry "$1 $2" plugin "$1" -- "$2" ;;
    trust* | distrust*) signer "$1" "$2" ;;
    checkout*) checkout "$2" "${3:-}" ;;
    publish*) publish "$2" "${3:-}" ;;
    "rollback 3") carry "go back to $2@$3" rules rollback --author stick -- "$2" "$3" ;;
    history*) carry "tell the history of $2" rules history -- "$2" ;;
    "user 3") if [ "$2" = remove ]; then carry "remove $3" user remove -- "$3"; else say "no such order: $*"; fi ;;
    "user 4") if [ "$2" = add ]; then password_for "$3" add --role="$4" -- "$3"; else say "no such order: $*"; fi ;;
    password*) password_for "$2" password -- "$2" ;;
    erase*) carry "erase $2" athlete erase --confirm="$3" -- "$2" ;;
  esac
  return 0
}
