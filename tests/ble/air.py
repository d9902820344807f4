"""The air between the gateway's adapters and the sensors: Bumble's virtual link, and what is missing in it.

`Air` carries advertisements, connections, encryption and data between virtual controllers. A controller can be out of range: then
nothing comes through, and after the supervision timeout each side is told that the connection is lost. An `Adapter` is a controller
whose host is BlueZ in the guest, reached over a unix socket that QEMU offers the guest as a serial port (H4).

Faults of Bumble 0.0.236 that are mended here, which is why it is pinned:

- data is said to come from the sender's random address; BlueZ scans with one address and connects with another, so it is dropped;
- Linux unmasks LE Enhanced Connection Complete and waits for that alone; Bumble sends the older event;
- LE Create Connection Cancel cancels nothing: every later attempt would be refused;
- a passive scan is answered with scan responses;
- a sensor that nobody can hear is still told that it was connected to.
"""

import asyncio

from bumble import core, hci, ll
from bumble.controller import Controller
from bumble.link import LocalLink
from bumble.transport import open_transport

# Seconds until a link without answers is given up.
SUPERVISION = 1.0
NOBODY = hci.Address("00:00:00:00:00:00")


class Air(LocalLink):
    """Everything in it hears everything, except what is out of range."""

    def __init__(self):
        super().__init__()
        self.away, self.silent = set(), set()

    def mute(self, controller):
        """Its link stays up, and nothing comes over it any more."""
        self.silent.add(controller)

    def hears(self, one, other):
        return one not in self.away and other not in self.away

    def take_away(self, controller):
        """Out of range: silence now, `connection lost` on both sides when the supervision timeout is over."""
        self.away.add(controller)
        asyncio.get_running_loop().call_later(SUPERVISION, self._supervise, controller)

    def bring_back(self, controller):
        self.away.discard(controller)

    def _supervise(self, controller):
        if controller not in self.away:
            return
        lost = hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR
        for connection in list(controller.le_connections.values()):
            other = self.other(controller, connection)
            controller.on_le_disconnected(connection, lost)
            if other:
                other.on_le_disconnected(other.le_connections[connection.self_address], lost)

    def other(self, controller, connection):
        """The controller at the other end of a connection."""
        for candidate in self.controllers:
            theirs = candidate.le_connections.get(connection.self_address)
            if candidate is not controller and theirs and theirs.self_address == connection.peer_address:
                return candidate
        return None

    def find_le_controller_of(self, address, peer):
        return next((c for c in self.controllers if peer in c.le_connections and c.le_connections[peer].self_address == address), None)

    # --- LocalLink ------------------------------------------------------------------------------------------------------------

    def send_acl_data(self, sender_controller, destination_address, transport, data):
        if transport != core.PhysicalTransport.LE:
            return
        connection = sender_controller.le_connections.get(destination_address)
        receiver = connection and self.other(sender_controller, connection)
        if receiver and self.hears(sender_controller, receiver) and sender_controller not in self.silent:
            asyncio.get_running_loop().call_soon(receiver.on_link_acl_data, connection.self_address, transport, data)

    def send_advertising_pdu(self, sender_controller, packet):
        for controller in self.controllers:
            if controller is not sender_controller and self.hears(controller, sender_controller):
                asyncio.get_running_loop().call_soon(controller.on_ll_advertising_pdu, packet)

    def send_ll_control_pdu(self, sender_address, receiver_address, packet):
        receiver = self.find_le_controller_of(receiver_address, sender_address)
        sender = self.find_le_controller_of(sender_address, receiver_address)
        # A link that is being taken down is known to one side only.
        if receiver and (sender is None or self.hears(sender, receiver)):
            asyncio.get_running_loop().call_soon(self._control, receiver, sender_address, packet)

    @staticmethod
    def _control(receiver, sender_address, packet):
        if sender_address in receiver.le_connections:
            receiver.on_ll_control_pdu(sender_address, packet)


class Adapter(Controller):
    """A controller of the gateway."""

    @classmethod
    async def served(cls, air, path, address):
        """Waits on a unix socket for QEMU."""
        transport = await open_transport(f"unix-server:{path}")
        adapter = cls("adapter", host_source=transport.source, host_sink=transport.sink, link=air, public_address=address)
        adapter.transport = transport
        return adapter

    def send_hci_packet(self, packet):
        if isinstance(packet, hci.HCI_LE_Connection_Complete_Event):
            same = {name: getattr(packet, name) for name in (
                "status", "connection_handle", "role", "peer_address_type", "peer_address", "connection_interval",
                "peripheral_latency", "supervision_timeout", "central_clock_accuracy")}
            packet = hci.HCI_LE_Enhanced_Connection_Complete_Event(
                local_resolvable_private_address=NOBODY, peer_resolvable_private_address=NOBODY, **same)
        super().send_hci_packet(packet)

    def reset_links(self):
        """Whoever was connected hears nothing more, and finds out by its supervision timeout."""
        self.pending_le_connection, self.le_scan_enable = None, False
        for connection in list(self.le_connections.values()):
            other = self.link.other(self, connection)
            del self.le_connections[connection.peer_address]
            if other:
                other.on_le_disconnected(other.le_connections[connection.self_address], hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)

    def pulled(self):
        """Without its host, and with half a packet of its on the cable."""
        self.reset_links()
        self.transport.source.parser.reset()

    def on_hci_reset_command(self, command):
        self.reset_links()
        return super().on_hci_reset_command(command)

    def on_hci_le_create_connection_cancel_command(self, command):
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        asyncio.get_running_loop().call_soon(self.send_hci_packet, hci.HCI_LE_Connection_Complete_Event(
            status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR, connection_handle=0, role=hci.Role.CENTRAL,
            peer_address_type=pending.peer_address_type, peer_address=pending.peer_address, connection_interval=0,
            peripheral_latency=0, supervision_timeout=0, central_clock_accuracy=0))
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def on_advertising_pdu(self, pdu):
        """Reports what is heard; whether it is answered depends on the scan."""
        if self.le_scan_enable:
            kinds = hci.HCI_LE_Advertising_Report_Event.EventType
            for kind in (kinds.ADV_IND, kinds.SCAN_RSP) if self.le_scan_type else (kinds.ADV_IND,):
                report = hci.HCI_LE_Advertising_Report_Event.Report(
                    event_type=kind, address_type=pdu.advertiser_address.address_type, address=pdu.advertiser_address,
                    data=pdu.data if kind == kinds.ADV_IND else b"", rssi=-50)
                self.send_hci_packet(hci.HCI_LE_Advertising_Report_Event([report]))
        pending = self.pending_le_connection
        if pending and pending.peer_address == pdu.advertiser_address:
            self.create_le_connection(pdu.advertiser_address)
