-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- Wireshark and tshark: the records of tcpseal, and what is in them.
--
--	tshark -X lua_script:tcpseal.lua -o tcpseal.keylog:KEYS -r CAPTURE
--
-- or a copy in the directory of personal Lua plugins. KEYS is what a laboratory's
-- tcpseald wrote by "key-log"; without it header, length and true sequence number
-- are there, and nothing of the payload. Written from Documentation/protocol.rst.
--
-- Within a burst the sequence numbers on the wire run ahead of the true ones, and
-- Wireshark takes that for retransmissions: -o tcp.analyze_sequence_numbers:FALSE.

local HEADER, TAG, OVERHEAD = 16, 16, 32

local band, bor, bxor, lshift, rshift
if bit then
	band, bor, bxor = bit.band, bit.bor, bit.bxor
	lshift, rshift = bit.lshift, bit.rshift
elseif bit32 then
	band, bor, bxor = bit32.band, bit32.bor, bit32.bxor
	lshift, rshift = bit32.lshift, bit32.rshift
else
	-- Lua 5.2 must not see these
	band, bor, bxor, lshift, rshift = load([[
		return function(a, b) return a & b end,
			function(a, b) return a | b end,
			function(a, b) return a ~ b end,
			function(a, n) return (a << n) & 0xffffffff end,
			function(a, n) return (a & 0xffffffff) >> n end
	]])()
end

------------------------------------------------------------------- AES (FIPS 197)

local sbox, mixed = {}, { {}, {}, {}, {} }

local function double(x)
	x = x * 2
	return x > 255 and bxor(x, 0x11b) or x
end

local function word(a, b, c, d)
	return bor(bor(lshift(a, 24), lshift(b, 16)), bor(lshift(c, 8), d))
end

local function byte(x, n)
	return band(rshift(x, 24 - 8 * n), 255)
end

do
	-- 3 makes all of the field, 0xf6 is its inverse
	local exp, log, x = {}, {}, 1
	for i = 0, 254 do
		exp[i], log[x] = x, i
		x = bxor(x, double(x))
	end
	for i = 0, 255 do
		local inverse = i == 0 and 0 or exp[(255 - log[i]) % 255]
		local s, y = inverse, inverse
		for _ = 1, 4 do
			y = band(bor(lshift(y, 1), rshift(y, 7)), 255)
			s = bxor(s, y)
		end
		sbox[i] = bxor(s, 0x63)
		local s1 = sbox[i]
		local s2 = double(s1)
		local s3 = bxor(s1, s2)
		mixed[1][i] = word(s2, s1, s1, s3)
		mixed[2][i] = word(s3, s2, s1, s1)
		mixed[3][i] = word(s1, s3, s2, s1)
		mixed[4][i] = word(s1, s1, s3, s2)
	end
end

local function words(text)
	local list = {}
	for i = 1, #text, 4 do
		list[#list + 1] = word(text:byte(i, i + 3))
	end
	return list
end

local function substituted(x)
	return word(sbox[byte(x, 0)], sbox[byte(x, 1)], sbox[byte(x, 2)], sbox[byte(x, 3)])
end

local function expand(key)
	local w, n, round = words(key), #key / 4, 1
	for i = n + 1, 4 * (n + 7) do
		local t = w[i - 1]
		if (i - 1) % n == 0 then
			t = bxor(substituted(bor(lshift(t, 8), rshift(t, 24))), lshift(round, 24))
			round = double(round)
		elseif n > 6 and (i - 1) % n == 4 then
			t = substituted(t)
		end
		w[i] = bxor(w[i - n], t)
	end
	w.rounds = n + 6
	return w
end

local function encrypt(w, a, b, c, d)
	local m1, m2, m3, m4 = mixed[1], mixed[2], mixed[3], mixed[4]
	a, b, c, d = bxor(a, w[1]), bxor(b, w[2]), bxor(c, w[3]), bxor(d, w[4])
	for round = 1, w.rounds - 1 do
		local function column(p, q, r, s, k)
			return bxor(bxor(bxor(m1[byte(p, 0)], m2[byte(q, 1)]),
					 bxor(m3[byte(r, 2)], m4[byte(s, 3)])), w[4 * round + k])
		end
		a, b, c, d = column(a, b, c, d, 1), column(b, c, d, a, 2),
			     column(c, d, a, b, 3), column(d, a, b, c, 4)
	end
	local function last(p, q, r, s, k)
		return bxor(word(sbox[byte(p, 0)], sbox[byte(q, 1)], sbox[byte(r, 2)],
				 sbox[byte(s, 3)]), w[4 * w.rounds + k])
	end
	return last(a, b, c, d, 1), last(b, c, d, a, 2), last(c, d, a, b, 3), last(d, a, b, c, 4)
end

----------------------------------------------------------------- GCM (SP 800-38D)

local REDUCED = { [0] = 0x0000, 0x1c20, 0x3840, 0x2460, 0x7080, 0x6ca0, 0x48c0, 0x54e0,
		  0xe100, 0xfd20, 0xd940, 0xc560, 0x9180, 0x8da0, 0xa9c0, 0xb5e0 }

-- Multiples of the hash key, by four bits
local function multiples(a, b, c, d)
	local m = { [0] = { 0, 0, 0, 0 }, [8] = { a, b, c, d } }
	for _, i in ipairs({ 4, 2, 1 }) do
		local odd = band(d, 1) == 1 and 0xe1000000 or 0
		d = bor(lshift(c, 31), rshift(d, 1))
		c = bor(lshift(b, 31), rshift(c, 1))
		b = bor(lshift(a, 31), rshift(b, 1))
		a = bxor(rshift(a, 1), odd)
		m[i] = { a, b, c, d }
	end
	for _, i in ipairs({ 2, 4, 8 }) do
		for j = 1, i - 1 do
			m[i + j] = { bxor(m[i][1], m[j][1]), bxor(m[i][2], m[j][2]),
				     bxor(m[i][3], m[j][3]), bxor(m[i][4], m[j][4]) }
		end
	end
	return m
end

local function times(m, y)
	local a, b, c, d = 0, 0, 0, 0
	for i = 31, 0, -1 do
		local nibble = band(rshift(y[math.floor(i / 8) + 1], 28 - 4 * (i % 8)), 15)
		if i < 31 then
			local rest = REDUCED[band(d, 15)]
			d = bor(lshift(c, 28), rshift(d, 4))
			c = bor(lshift(b, 28), rshift(c, 4))
			b = bor(lshift(a, 28), rshift(b, 4))
			a = bxor(rshift(a, 4), lshift(rest, 16))
		end
		local add = m[nibble]
		a, b, c, d = bxor(a, add[1]), bxor(b, add[2]), bxor(c, add[3]), bxor(d, add[4])
	end
	y[1], y[2], y[3], y[4] = a, b, c, d
end

local function hash(m, y, text)
	text = text .. ("\0"):rep(-#text % 16)
	for i = 1, #text, 16 do
		local x = words(text:sub(i, i + 15))
		for k = 1, 4 do
			y[k] = bxor(y[k], x[k])
		end
		times(m, y)
	end
end

local function bytes(a, b, c, d)
	local text = ""
	for _, x in ipairs({ a, b, c, d }) do
		text = text .. string.char(byte(x, 0), byte(x, 1), byte(x, 2), byte(x, 3))
	end
	return text
end

-- The plaintext, or nil where the tag is wrong
local function open(key, nonce, aad, sealed)
	local w = key.schedule
	local n = words(nonce)
	local text, y = sealed:sub(1, -TAG - 1), { 0, 0, 0, 0 }
	hash(key.multiples, y, aad)
	hash(key.multiples, y, text)
	hash(key.multiples, y, bytes(0, 8 * #aad, 0, 8 * #text))
	local a, b, c, d = encrypt(w, n[1], n[2], n[3], 1)
	if bytes(bxor(a, y[1]), bxor(b, y[2]), bxor(c, y[3]), bxor(d, y[4])) ~=
	   sealed:sub(-TAG) then
		return nil
	end
	local plain = {}
	for i = 1, #text, 16 do
		local stream = bytes(encrypt(w, n[1], n[2], n[3], (i + 15) / 16 + 1))
		for k = 0, math.min(16, #text - i + 1) - 1 do
			plain[#plain + 1] = string.char(bxor(text:byte(i + k),
							     stream:byte(k + 1)))
		end
	end
	return table.concat(plain)
end

------------------------------------------------------------------------ key log

local proto = Proto("tcpseal", "tcpseal: sealed TCP segment")
proto.prefs.keylog = Pref.string("Key log", "", "What tcpseald wrote by \"key-log FILE\"")

local keys, read_from = {}, nil

local function unhex(text)
	return (text:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

-- SA SPI AEAD SOURCE DESTINATION KEY IV; one SPI may be that of several hosts
local function read_keys(path)
	keys, read_from = {}, path
	local file = path ~= "" and io.open(path, "r")
	if not file then
		return
	end
	for line in file:lines() do
		local spi, key, iv = line:match("^SA (%x+) %S+ %S+ %S+ (%x+) (%x+)$")
		if spi then
			local schedule = expand(unhex(key))
			local list = keys[tonumber(spi, 16)] or {}
			list[#list + 1] = {
				schedule = schedule, iv = unhex(iv),
				multiples = multiples(encrypt(schedule, 0, 0, 0, 0)),
			}
			keys[tonumber(spi, 16)] = list
		end
	end
	file:close()
end

-------------------------------------------------------------------- the record

local f = {
	version = ProtoField.uint8("tcpseal.version", "Version", base.DEC, nil, 0xc0),
	cwr = ProtoField.bool("tcpseal.flags.cwr", "True CWR", 8, nil, 4),
	psh = ProtoField.bool("tcpseal.flags.psh", "True PSH", 8, nil, 2),
	fin = ProtoField.bool("tcpseal.flags.fin", "True FIN", 8, nil, 1),
	lane = ProtoField.uint8("tcpseal.lane", "Lane"),
	length = ProtoField.uint16("tcpseal.length", "Length of the plaintext"),
	spi = ProtoField.uint32("tcpseal.spi", "SPI", base.HEX),
	index = ProtoField.uint16("tcpseal.index", "Index, counted down"),
	counter = ProtoField.uint64("tcpseal.counter", "Counter"),
	ciphertext = ProtoField.bytes("tcpseal.ciphertext", "Ciphertext"),
	tag = ProtoField.bytes("tcpseal.tag", "Tag"),
	seq = ProtoField.uint32("tcpseal.seq", "True sequence number"),
	key = ProtoField.bool("tcpseal.key", "Key in the key log"),
	authentic = ProtoField.bool("tcpseal.authentic", "Authentic"),
	plaintext = ProtoField.bytes("tcpseal.plaintext", "Plaintext"),
}
for _, field in pairs(f) do
	table.insert(proto.fields, field)
end

-- Not tcp.payload, which a RST has not
local port_of, header_of = Field.new("tcp.srcport"), Field.new("tcp.hdr_len")
local length_of = Field.new("tcp.len")
local source4, dest4 = Field.new("ip.src"), Field.new("ip.dst")
local source6, dest6 = Field.new("ipv6.src"), Field.new("ipv6.dst")

-- In a SYN the value of the first MSS option of its right length is masked
local function mask_mss(options)
	local at = 1
	while at <= #options and options:byte(at) ~= 0 do
		local kind, length = options:byte(at, at + 1)
		if kind == 1 then
			at = at + 1
		elseif not length or length < 2 or at + length - 1 > #options then
			break
		elseif kind == 2 and length == 4 then
			return options:sub(1, at + 1) .. "\0\0" .. options:sub(at + 4)
		else
			at = at + length
		end
	end
	return options
end

local function aad_of(record, addresses, tcp, seq)
	local flags = tcp:byte(14)
	local options = tcp:sub(21)
	if band(flags, 2) ~= 0 then
		options = mask_mss(options)
	end
	return record:sub(1, HEADER) .. addresses .. tcp:sub(1, 4) .. bytes(seq):sub(1, 4) ..
		tcp:sub(9, 13) .. string.char(band(flags, 0x76)) .. tcp:sub(15, 16) .. "\0\0" ..
		tcp:sub(19, 20) .. options
end

local function nonce_of(iv, record)
	local number, at = "\0\0\0\0\0" .. record:sub(2, 2) .. record:sub(11, 16), 0
	return (number:gsub(".", function(x)
		at = at + 1
		return string.char(bxor(x:byte(), iv:byte(at)))
	end))
end

local function looks_sealed(range)
	local first = range(0, 1):uint()
	return band(first, 0xf8) == 0x40 and range(4, 4):uint() ~= 0 and
		range(2, 2):uint() + OVERHEAD <= range:len()
end

-- One record: its fields; and what is in it, if there is a key. Return: plaintext
local function show(tree, range, addresses, tcp, wire_seq)
	local length, spi = range(2, 2):uint(), range(4, 4):uint()
	local index = range(8, 2):uint()
	local seq = (wire_seq + OVERHEAD * index) % 4294967296
	local sub = tree:add(proto, range)
	sub:append_text(string.format(", SPI 0x%08x, %u bytes", spi, length))
	for _, name in ipairs({ "version", "cwr", "psh", "fin" }) do
		sub:add(f[name], range(0, 1))
	end
	sub:add(f.lane, range(1, 1))
	sub:add(f.length, range(2, 2))
	sub:add(f.spi, range(4, 4))
	sub:add(f.index, range(8, 2))
	sub:add(f.counter, range(10, 6))
	if length > 0 then
		sub:add(f.ciphertext, range(HEADER, length))
	end
	sub:add(f.tag, range(HEADER + length, TAG))
	sub:add(f.seq, seq):set_generated()

	local known = keys[spi]
	sub:add(f.key, known ~= nil):set_generated()
	if not known then
		return nil
	end
	local record, plain = range:bytes():raw(), nil
	for _, key in ipairs(known) do
		plain = plain or open(key, nonce_of(key.iv, record),
				      aad_of(record, addresses, tcp, seq),
				      record:sub(HEADER + 1))
	end
	sub:add(f.authentic, plain ~= nil):set_generated()
	if plain and #plain > 0 then
		local text = ByteArray.new(plain, true):tvb("Plaintext")
		sub:add(f.plaintext, text()):set_generated()
	end
	return plain
end

function proto.dissector(tvb, pinfo, tree)
	local port, header, length = port_of(), header_of(), length_of()
	local source, dest = source4() or source6(), dest4() or dest6()
	if not (port and header and length and source and dest) then
		return
	end
	local start = port.offset
	-- cut by the capture, or reassembled from elsewhere
	if length.value < OVERHEAD or start + header.value + length.value > tvb:len() then
		return
	end
	if proto.prefs.keylog ~= read_from then
		read_keys(proto.prefs.keylog)
	end
	local range, at = tvb(start + header.value, length.value), 0
	local tcp = tvb(start, header.value):bytes():raw()
	local addresses = source.range:bytes():raw() .. dest.range:bytes():raw()
	local seq, count = tvb(start + 4, 4):uint(), 0
	-- What was captured on a host may be a whole burst
	while range:len() - at >= OVERHEAD and looks_sealed(range(at, range:len() - at)) do
		local size = range(at + 2, 2):uint() + OVERHEAD
		show(tree, range(at, size), addresses, tcp, (seq + at) % 4294967296)
		at = at + size
		count = count + 1
	end
	if count > 0 and at == range:len() then
		pinfo.cols.protocol = "tcpseal"
		pinfo.cols.info:append(string.format(" [sealed: %u record%s]", count,
						     count == 1 and "" or "s"))
	end
end

register_postdissector(proto)
