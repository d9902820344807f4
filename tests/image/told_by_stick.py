"""What a stick is told, and what is kept of it: for without_machine.py."""

import subprocess

from scratch import SHELLS, Scratch, below, below_box


class StickTold(Scratch):
    """The whole of `stick`, on a box and a stick that are folders. `fake` is our program; MORE may name another one. A file NAME.new that leads to
    /dev/full is a data partition without room, for it is there that `put` writes first."""

    CODE = "aaaaa-bbbbb-ccccc-ddddd"
    FAKE = """
      fake() {
        case "$1 ${2:-}" in
          "config check")
            checked=$AT/data/box/settings-2-clinic.toml
            [ "${3:-}" != --file ] || { echo "$4" >>$AT/looked-at; checked=${4#*=}; }
            ! grep -q wrong "$checked" || { echo "line 1 is wrong"; return 1; }
            ! grep -q "^useless " "$checked" || { sed -n "s|^useless |$checked: |p" "$checked"; echo "pitchside: there are problems"; return 1; } ;;
          "config show") ! grep -q wrong $AT/data/box/settings-2-clinic.toml ;;
          "backup key") echo NEWKEY >"$4"; echo "0 keys are copied to it." ;;
          "backup create") echo whole >"$3" ;;
          "backup restore") mkdir -p "$5/keys" && echo restored >"$5/is" && echo ca >"$5/keys/ca.pem" &&
            printf 'name = "pitchside-ffffff"\\n' | tee "$5/pitchside.toml" >"$5/settings-1-appliance.toml"; echo "Restored 1 devices." ;;
        esac
      }
      mount() { :; }
      umount() { :; }
      sync() { :; }
      systemctl() { echo "systemctl $*" >>$AT/systemctl; }
      shred() { rm -f "$2"; }
      install() {
        mkdir=; words=
        for word; do case "$word" in -d) mkdir=yes ;; -o | -g | pitchside | -m | 700 | 755 | 600) ;; *) words="$words $word" ;; esac; done
        if [ -n "$mkdir" ]; then mkdir -p $words; else cp $words; fi
      }
      mv() {
        if [ "$1" = --exchange ]; then command mv "$3" "$3.x" && command mv "$4" "$3" && command mv "$3.x" "$4"; PULLED; else command mv "$@"; fi
      }
    """

    def setUp(self):
        super().setUp()
        below_box(self.at, "install.sh", "orders.sh", "settings.sh", "timeservers.sh")
        self.write("usr/lib/pitchside/forget", '#!/bin/sh\nrm -rf "$1"\n').chmod(0o755)
        self.write("usr/lib/os-release", "IMAGE_VERSION=1.0.0\n")
        self.write("usr/share/pitchside/appliance.toml", '[http]\nhosts = ["@NAME@"]\n')
        self.write("data/claim/code", self.CODE + "\n")
        self.write("data/box/keys/ca.pem", "ca\n")
        self.write("data/box/is", "measured\n")
        self.write("data/box/settings-2-clinic.toml", "old\n")
        self.write("proc/sys/kernel/hostname", "pitchside-000000\n")
        self.write("dev/console", "")

    def brings(self, files, pulled=":", more=""):
        """Plugs a stick in with these files, and those that were on it; what it says then. `pulled` happens after a restored box took its place."""
        for name, content in {"code.txt": self.CODE, **files}.items():
            self.write(f"tmp/stick/{name}", content)
        self.ran = self.plugs_in(pulled, more)
        return (self.at / "tmp/stick/result.txt").read_text()

    def plugs_in(self, pulled=":", more="", shell=("sh",)):
        """What the box does with the stick that is there: all it said, and its exit code."""
        return self.run_in(below(self.at, "stick", f"umask 077\nset -- /dev/stick\nAT={self.at}\n{self.FAKE.replace('PULLED', pulled)}\n{more}"), [], shell)

    def on_stick(self, name):
        kept = self.at / "tmp/stick" / name
        return kept.read_text() if kept.exists() else None

    def of_box(self, name):
        kept = self.at / "data/box" / name
        return kept.read_text() if kept.exists() else None

    def no_room_for(self, name):
        (self.at / "data/box" / f"{name}.new").symlink_to("/dev/full")

    def test_what_is_kept_is_said_to_be_taken_and_gets_its_ending(self):
        said = self.brings({"settings.toml": "new\n", "ledger.policy": "policy\n"})
        self.assertIn("settings taken", said)
        self.assertIn("ledger.policy taken", said)
        self.assertEqual((self.of_box("settings-2-clinic.toml"), self.of_box("ledger.policy")), ("new\n", "policy\n"))
        self.assertEqual((self.on_stick("settings.toml"), self.on_stick("settings.toml.done"), self.on_stick("ledger.policy")), (None, "new\n", None))
        self.assertEqual(sorted(path.name for path in (self.at / "data/box").iterdir()), ["is", "keys", "ledger.policy", "settings-2-clinic.toml"])

    def test_what_a_full_data_partition_does_not_keep_is_not_said_to_be_taken(self):
        for name in ("settings-2-clinic.toml.before", "settings-2-clinic.toml"):
            self.no_room_for(name)
            said = self.brings({"settings.toml": "new\n"})
            self.assertIn("settings.toml could not be kept", said)
            self.assertNotIn("taken", said)
            self.assertEqual((self.of_box("settings-2-clinic.toml"), self.on_stick("settings.toml.done")), ("old\n", None))
            # Nothing is left that the next start would take for settings, or for half of them.
            self.assertEqual(sorted(path.name for path in (self.at / "data/box").iterdir()), ["is", "keys", "settings-2-clinic.toml"])
        self.assertFalse((self.at / "systemctl").exists())
        self.no_room_for("ledger.policy")
        said = self.brings({"ledger.policy": "policy\n"})
        self.assertIn("ledger.policy could not be kept", said)
        self.assertEqual((self.on_stick("ledger.policy"), self.on_stick("ledger.policy.done"), self.of_box("ledger.policy")), ("policy\n", None, None))
        # The same stick, once there is room.
        self.assertIn("settings taken", said)
        self.assertIn("ledger.policy taken", self.brings({}))

    def test_settings_that_are_refused_leave_the_old_ones_and_keep_their_name(self):
        said = self.brings({"settings.toml": "wrong\n"})
        self.assertIn("settings refused, the old ones stay: line 1 is wrong", said)
        self.assertEqual((self.of_box("settings-2-clinic.toml"), self.on_stick("settings.toml")), ("old\n", "wrong\n"))

    def test_what_was_of_no_use_before_keeps_no_settings_away_and_what_they_make_so_does(self):
        policy, authorities = "useless ledger.policy: not there\n", "useless delivery.authorities: not there\n"
        for before, brought, taken in (
            (policy, policy + "new\n", True),
            (policy + authorities, authorities + "new\n", True),
            ("old\n", policy, False),
            (policy, policy + authorities, False),
            (policy, policy.replace("not there", "no policy"), False),
            # The gateway starts without it, and not at all with the others.
            ("wrong\n", policy, True),
            (policy, policy + "wrong\n", False),
        ):
            self.write("data/box/settings-2-clinic.toml", before)
            said = self.brings({"settings.toml": brought})
            self.assertEqual((self.of_box("settings-2-clinic.toml"), "settings taken" in said), (brought if taken else before, taken), said)
            told = brought.replace("new\n", "").replace("useless ", "")
            self.assertEqual(f"of no use as they name it, till that is mended (doctor.txt): {told}" in said, taken, said)
            self.assertEqual(self.of_box("settings-2-clinic.toml.before"), None)

    def test_a_policy_or_authority_that_is_none_is_refused_the_old_one_kept_and_the_gateway_not_started_anew(self):
        for name, setting in (("ledger.policy", "ledger.policy"), ("release.policy", "firmware.release_policy"), ("authorities.pem", "delivery.authorities")):
            self.write(f"data/box/{name}", "old\n")
            (self.at / "looked-at").unlink(missing_ok=True)
            said = self.brings({name: "wrong\n"})
            self.assertIn(f"{name} refused, what was there stays: line 1 is wrong", said)
            self.assertNotIn("taken", said)
            self.assertEqual((self.of_box(name), self.on_stick(name), self.on_stick(f"{name}.done")), ("old\n", "wrong\n", None))
            # As the one that this setting names, whatever is wrong with the others; and nothing of it is left on the box.
            self.assertEqual((self.at / "looked-at").read_text(), f"{setting}={self.at}/tmp/policy/{name}\n")
            self.assertEqual([path.name for path in (self.at / "data/box").glob(f"{name}?*")], [])
            (self.at / "tmp/stick" / name).unlink()
        self.assertFalse((self.at / "systemctl").exists())

    def test_texts_are_taken_as_peoples_editors_write_them_and_a_release_policy_to_the_byte(self):
        text, signed = b"\xef\xbb\xbflog key\r\nquorum none\r\n", b"\xef\xbb\xbf\x84C\xa1\r\n\x00\xff\r\n"
        for name, content in (("ledger.policy", text), ("authorities.pem", text), ("release.policy", signed)):
            self.write(f"tmp/stick/{name}", "").write_bytes(content)
        self.brings({})
        kept = [(self.at / "data/box" / name).read_bytes() for name in ("ledger.policy", "authorities.pem", "release.policy")]
        self.assertEqual(kept, [b"log key\nquorum none\n"] * 2 + [signed])

    def test_the_gateway_starts_anew_once_after_all_that_it_reads_at_a_start(self):
        self.brings({"ledger.policy": "policy\n"})
        restart = "systemctl --no-block restart pitchside.service\n"
        self.assertEqual((self.at / "systemctl").read_text(), restart)
        (self.at / "systemctl").unlink()
        self.brings({"ledger.policy": "policy\n", "release.policy": "policy\n", "settings.toml": "new\n"})
        self.assertEqual((self.at / "systemctl").read_text(), restart)
        (self.at / "systemctl").unlink()
        self.brings({"authorities.pem": "authority\n"})
        self.assertFalse((self.at / "systemctl").exists(), "read anew for each connection")

    def test_a_stick_that_takes_no_writes_is_not_obeyed_for_it_would_be_obeyed_each_time(self):
        # Even the superuser writes into no folder.
        (self.at / "tmp/stick/result.txt").mkdir(parents=True)
        self.write("data/claim/password", "secret\n")
        for name, content in {"code.txt": self.CODE, "orders.txt": "recovery-key\n", "settings.toml": "new\n", "factory-reset.txt": ""}.items():
            self.write(f"tmp/stick/{name}", content)
        for shell in SHELLS:
            said, code = self.plugs_in(shell=shell)
            self.assertEqual((code, said.splitlines()[0]), (1, "the stick takes no writes (is it write-protected?): nothing was done"), shell)
            self.assertIn("stick: the stick takes no writes", (self.at / "dev/console").read_text())
            self.assertEqual((self.of_box("settings-2-clinic.toml"), (self.at / "data/claim/password").read_text()), ("old\n", "secret\n"))
            self.assertFalse((self.at / "data/factory-reset.request").exists() or (self.at / "tmp/recovery").exists())

    def test_a_file_that_is_too_large_is_told(self):
        large = "x" * 65537
        said = self.brings({"settings.toml": large, "release.policy": large, "orders.txt": large})
        for name in ("settings.toml", "release.policy", "orders.txt"):
            self.assertIn(f"{name} has more than 65536 bytes", said)
            self.assertEqual(self.on_stick(name), large)

    def test_a_backup_that_was_not_made_is_asked_for_still(self):
        self.brings({"backup.txt": ""}, more='cp() { return 1; }')
        self.assertEqual((self.on_stick("backup.txt"), self.on_stick("backup.txt.done")), ("", None))

    def test_a_pipe_where_the_authority_belongs_does_not_hold_the_stick_up(self):
        (self.at / "data/box/keys/ca.pem").unlink()
        subprocess.run(["mkfifo", self.at / "data/box/keys/ca.pem"], check=True)
        self.assertIn("done", self.brings({}))

    def test_the_recovery_key_alone_brings_older_keys_and_blocks_and_stays_until_all_are_there(self):
        more = 'timeout() { shift; as_pitchside "$@"; }\nfake() { echo "asked: $1 $2"; [ "$1" != blocks ] || [ -e $AT/all ]; }'
        said = self.brings({"restore.key": "key\n"}, more=more)
        self.assertIn("asked: athlete recover\nnot all older blocks yet: asked: blocks fetch\n", said)
        self.assertEqual((self.on_stick("restore.key"), self.on_stick("restore.key.done")), ("key\n", None))
        self.write("all", "")
        self.assertIn("asked: athlete recover\nasked: blocks fetch\n", self.brings({}, more=more))
        self.assertEqual((self.on_stick("restore.key"), self.on_stick("restore.key.done")), (None, "key\n"))

    RESTORE = {"restore.backup": "backup\n", "restore.key": "key\n"}

    def test_a_restored_box_takes_the_place_and_the_stick_hears_of_it(self):
        self.brings(self.RESTORE)
        self.assertEqual((self.of_box("is"), self.on_stick("restore.backup"), self.on_stick("restore.backup.done")), ("restored\n", None, "backup\n"))
        self.assertEqual((self.at / "proc/sys/kernel/hostname").read_text(), "pitchside-ffffff\n")

    def test_the_ending_comes_before_what_is_slow(self):
        self.write("usr/lib/pitchside/forget", f"#!/bin/sh\n[ ! -e {self.at}/data/restore/box/is ] || ls {self.at}/tmp/stick >{self.at}/seen\nrm -rf \"$1\"\n")
        self.brings(self.RESTORE)
        self.assertIn("restore.backup.done", (self.at / "seen").read_text())

    def test_a_backup_is_restored_a_second_time_only_for_who_insists(self):
        # Pulled between the exchange and the word of it.
        self.brings(self.RESTORE, pulled="exit 1")
        self.assertEqual((self.of_box("is"), self.on_stick("restore.backup")), ("restored\n", "backup\n"))
        self.write("data/box/is", "measured since\n")
        said = self.brings({})
        self.assertIn("not restored: this backup was restored here before", said)
        self.assertEqual(self.of_box("is"), "measured since\n")
        # Another one is another matter, and does not make the first forgotten.
        self.assertIn("restored: Restored", self.brings({"restore.backup": "another\n"}))
        self.write("data/box/is", "measured since\n")
        self.assertIn("not restored: this backup", self.brings(self.RESTORE))
        # It insists once, even if the stick is pulled again.
        self.brings({**self.RESTORE, "restore-again.txt": ""}, pulled="exit 1")
        self.assertEqual((self.of_box("is"), self.on_stick("restore-again.txt")), ("restored\n", None))
        self.write("data/box/is", "measured since\n")
        self.assertIn("not restored: this backup", self.brings({}))
        self.assertEqual(self.of_box("is"), "measured since\n")

    def test_a_box_that_cannot_be_furnished_does_not_take_the_place_of_the_one_that_measures(self):
        said = self.brings(self.RESTORE, more='grep() { ln -sf /dev/full $AT/data/restore/box/restored.new; command grep "$@"; }')
        self.assertIn("not restored, this box stays as it is", said)
        self.assertEqual((self.of_box("is"), self.on_stick("restore.backup")), ("measured\n", "backup\n"))

    def test_a_new_recovery_key_is_on_the_stick_alone_and_takes_no_other_ones_place(self):
        said = self.brings({"orders.txt": "recovery-key\n", "recovery-pitchside-000000.txt": "an older one\n"})
        self.assertIn("recovery-pitchside-000000-2.txt holds the key that backups open with from now on", said)
        self.assertEqual((self.on_stick("recovery-pitchside-000000-2.txt"), self.on_stick("recovery-pitchside-000000.txt")), ("NEWKEY\n", "an older one\n"))
        left = subprocess.run(["grep", "-rl", "NEWKEY", self.at / "data", self.at / "tmp"], capture_output=True, text=True, check=False).stdout.split()
        self.assertEqual(left, [str(self.at / "tmp/stick/recovery-pitchside-000000-2.txt")])

    def test_a_stick_without_room_gets_no_recovery_key_and_none_is_made(self):
        said = self.brings({"orders.txt": "recovery-key\n"}, more='head() { case "$*" in "-c 512 "*) return 1 ;; esac; command head "$@"; }')
        self.assertIn("no recovery key was made: the stick takes no", said)
        self.assertFalse((self.at / "tmp/recovery/key").exists())

    def test_a_recovery_key_that_did_not_get_onto_the_stick_is_no_key_that_anybody_has(self):
        said = self.brings({"orders.txt": "recovery-key\n"}, more='cp() { return 1; }')
        self.assertIn("order recovery-key once more, for nobody has the key", said)
        self.assertEqual([path.name for path in (self.at / "tmp/stick").glob("recovery*")], [])
        # Pulled while the key is made: what is there does not look like one.
        self.brings({"orders.txt": "recovery-key\n"}, more='cp() { exit 1; }')
        self.assertEqual(self.on_stick("recovery-pitchside-000000.txt"), None)
