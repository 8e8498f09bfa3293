# SPDX-License-Identifier: GPL-2.0-only
"""Every rule of the document about what a sender of sealed segments does."""
from packet import Malformed, Segment
from record import Header, Refused, address_text, open_one, seal_one


class Wrong(Exception):
    """What the module did is not what the document says."""


class Judge:
    """What the document says of the segments of a sender, one after the other."""

    def __init__(self, sas):
        self.sas = {sa.spi: sa for sa in sas}
        self.nonces, self.lanes, self.last = set(), {}, {}
        self.bursts = self.records = 0

    def open(self, packet):
        """The plain segment; Wrong if the packet is not as it must be."""
        try:
            sealed = Segment.parse(packet)
            header = Header.parse(sealed.payload)
            if header is None or header.spi not in self.sas:
                raise Refused("plain")
            sa = self.sas[header.spi]
            plain, header = open_one(sa, sealed)
        except (Malformed, Refused) as error:
            raise Wrong(f"{type(error).__name__}: {error}") from None
        again = seal_one(sa, plain, header.index, header.lane, header.counter).pack()
        # Not packet itself: where the checksum is 0 Linux may write its other
        # form, 0xffff (CSUM_MANGLED_0). parse() has seen that it is right.
        same = sealed.pack()
        if again != same:
            where = [at for at, two in enumerate(zip(same, again)) if two[0] != two[1]]
            raise Wrong(f"{sealed}: bytes {where} are not what this one would have sealed")
        nonce = header.spi, sa.nonce(header.lane, header.counter)
        if nonce in self.nonces:
            raise Wrong(f"{sealed}: a nonce comes twice")
        self.nonces.add(nonce)
        key = header.spi, plain.flow
        if self.lanes.setdefault(key, header.lane) != header.lane:
            raise Wrong(f"{sealed}: its flow has changed the lane")
        self.follows(sealed, plain, header, key)
        self.records += 1
        return plain

    def follows(self, sealed, plain, header, key):
        """The rest of a burst comes at once, without a gap, in equal chunks."""
        index, end, length = self.last.get(key, (1, 0, 0))
        if index > 1:
            if header.index != index - 1 or sealed.seq != end:
                raise Wrong(f"{sealed}: does not continue its burst")
            if header.length > length or (header.index > 1 and header.length != length):
                raise Wrong(f"{sealed}: length within a burst")
        elif header.index > 1:
            self.bursts += 1
        self.last[key] = (header.index, (sealed.seq + len(sealed.payload)) % 2**32,
                          header.length)
        if header.index > 1 and not plain.payload:
            raise Wrong(f"{sealed}: an empty record within a burst")

    def done(self):
        for (_, (src, _, ports)), (index, _, _) in self.last.items():
            if index > 1:
                raise Wrong(f"{address_text(src)} {ports}: a burst has no end")
