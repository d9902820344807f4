# Sourced. Time servers as people and networks name them, made into lines for chrony. Nothing else than these forms gets into its settings.
TIMESERVERS_MAX=8

# sources_of refuse|skip: reads a server a line, a host name or an address; lines that begin with '#' are remarks. With `refuse`, what is
# wrong with the first line that names none is all it says, and it fails; with `skip`, such lines are left out.
sources_of() {
  awk -v wrong="$1" -v most=$TIMESERVERS_MAX '
    function is_ipv4(word, part, i) {
      if (split(word, part, ".") != 4) return 0
      for (i = 1; i <= 4; i++) if (part[i] !~ /^[0-9]+$/ || length(part[i]) > 3 || part[i] > 255) return 0
      return 1
    }
    function is_ipv6(word, part, count, groups, doubled, i) {
      if (word ~ /[^0-9A-Fa-f:]/ || word ~ /:::/ || word ~ /^:[^:]/ || word ~ /[^:]:$/) return 0
      count = split(word, part, ":")
      for (i = 1; i <= count; i++) if (length(part[i]) > 4) return 0; else if (part[i] != "") groups++
      doubled = gsub(/::/, "", word)
      return doubled == 1 ? groups <= 7 : doubled == 0 && groups == 8
    }
    # A name whose end is a number is an address that went wrong.
    function is_name(word, part, count, i) {
      sub(/\.$/, "", word)
      if (length(word) > 253) return 0
      count = split(word, part, ".")
      for (i = 1; i <= count; i++) if (length(part[i]) > 63 || part[i] !~ /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$/) return 0
      return count > 0 && part[count] !~ /^[0-9]+$/
    }
    function refuse(why) { print why; failed = 1; exit 1 }
    NF == 0 || $1 ~ /^#/ { next }
    NF != 1 && wrong == "refuse" { refuse("line " NR " has more than one word") }
    NF != 1 { next }
    !is_ipv4($1) && !is_ipv6($1) && !is_name($1) { if (wrong == "refuse") refuse("line " NR " is neither a host name nor an address"); next }
    $1 in seen { next }
    named == most { if (wrong == "refuse") refuse("more than " most " servers"); next }
    { seen[$1]; server[++named] = $1 }
    END { if (failed) exit 1; for (i = 1; i <= named; i++) print "server " server[i] " iburst" }'
}
