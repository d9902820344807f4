"""A time server on the box itself, for machines without a network; and how a box is told of its time servers."""

from vm import Stuck

# Another chronyd, which takes the machine's clock for right, on a port that the box's own has no need of.
SETTINGS = """local stratum 8
allow 127.0.0.1
bindaddress 127.0.0.1
cmdport 0
bindcmdaddress /
pidfile /run/time-server.pid
"""
# The names of all servers chrony asks, a line each.
ASKED = "chronyc -N -n -c sources -a | cut -d, -f3"


def start_one(box):
    box.run(f"printf '{SETTINGS.replace(chr(10), chr(92) + 'n')}' >/run/time-server.conf; chronyd -x -u root -f /run/time-server.conf")


def named_by_network_or_stick(trial):
    """The network's servers are asked beside the pool, a stick's alone; what names none changes nothing. Ends with the server above."""
    box = trial.box
    # As DHCP's, but into systemd-networkd by another way: the test's own network names none.
    box.run("f=/run/systemd/network/80-wired.network.d; mkdir -p $f; printf '[Network]\\nNTP=192.0.2.7\\n' >$f/ntp.conf; networkctl reload")
    box.run(f"until {ASKED} | grep -qx 192.0.2.7; do sleep 1; done", 120)
    network = set(box.run(ASKED).split())
    for brought, answer in ((b"# ours\r\n127.0.0.1\r\n", "time servers taken: 127.0.0.1"),
                            (b"10.20.0.256\n", "time servers refused, the old ones stay: line 1 is neither a host name nor an address")):
        said = trial.stick({"timeservers.txt": brought})("result.txt")
        if answer not in said:
            raise Stuck(f"{brought} on the stick: {said}")
        box.run(f"until {ASKED} | grep -qx 127.0.0.1; do sleep 1; done", 120)
    stick = set(box.run(ASKED).split())
    if network != {"192.0.2.7", "2.debian.pool.ntp.org"} or stick != {"127.0.0.1"}:
        raise Stuck(f"asked: {network}; with a stick's: {stick}")
    return "the network's time servers are asked beside the pool, a stick's alone"
