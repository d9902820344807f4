# Sourced. Installs a bundle through RAUC; what it was refused for, if it was, is in `refused`. Nothing here or elsewhere asks RAUC to pass
# over its limits.
install_bundle() {
  if out=$(rauc install "$1" 2>&1); then return 0; fi
  case "$out" in
    *"Pre-install handler error"*) refused=$(cat /run/pitchside/may-install 2>/dev/null) ;;
    *) refused=$(echo "$out" | grep -v % | tail -n 3 | tr '\n' ' ') ;;
  esac
  return 1
}
