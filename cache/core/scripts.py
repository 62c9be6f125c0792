"""The Lua that runs inside Redis or Valkey: what must be atomic, and nothing else.

Lengths and offsets repeat ``generations``, ``entry`` and ``seen``; ``tests/core/test_scripts.py``
holds them together.
"""

from __future__ import annotations

from cache.core.steps import Lua

MAKE_GENERATIONS = Lua(
    "make_generations",
    """
-- KEYS generations; ARGV identity, lifetime in ms, then a proposal for each key (80 bytes: a category's record)
local out, born = {}, false
for i = 1, #KEYS do
  local fresh = ARGV[2 + i]
  local now = redis.call('MGET', KEYS[i])[1]
  local foreign = now and (#now ~= #fresh
    or (#fresh == 80 and ARGV[1] ~= '' and string.sub(now, 33, 40) ~= ARGV[1]
      and string.sub(now, 33, 40) ~= string.rep('\\0', 8)))
  if not now or foreign then
    -- what was made under another server's record is not valid since the restart, and says so
    if foreign and now then fresh = string.sub(fresh, 1, 15) .. '\\6' .. string.sub(fresh, 17) end
    redis.call('SET', KEYS[i], fresh, 'PX', ARGV[2])
    out[i], born = fresh, born or #fresh == 80
  else
    if redis.call('PTTL', KEYS[i]) < ARGV[2] * 0.75 then redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
    out[i] = now
  end
end
-- whether this server ever evicted a key: then what is absent under a category that was just born may have been one
local evicted = '?'
if born then
  local stats = redis.pcall('INFO', 'stats')
  if type(stats) == 'table' and stats.format == 'txt' then stats = stats.string end
  if type(stats) == 'string' then evicted = string.match(stats, 'evicted_keys:(%d+)') or '?' end
end
out[#KEYS + 1] = evicted
return out
""",
)
"""Create the generations that are absent; returns all of them and, with a category's, how many keys were evicted."""

PLACE_OF = """
-- where the slot of a fingerprint stands in a block; nil: nowhere
local function place_of(block, key)
  local found = string.find(block, key, 13, true)
  while found and (found - 13) % 9 ~= 0 do found = string.find(block, key, found + 1, true) end
  return found
end
"""

NOTE = (
    PLACE_OF
    + """
-- fill a slot of a block (nil: Redis has none); true when the block was begun by that
-- after the slot may stand a copy of the block, for the case that it is lost
local function note(name, block, birth, begun, lifetime, due, slot, clock)
  local copy = string.sub(slot, 10)
  slot = string.sub(slot, 1, 9)
  if not block or string.sub(block, 5, 12) ~= birth or #block > 2316 or (#block - 12) % 9 ~= 0 then
    local head = struct.pack('>I4', begun and math.min(clock + math.ceil(lifetime / 250), 4294967295) or 0) .. birth
    if string.sub(copy, 5, 12) == birth then head = copy end
    redis.call('SET', name, head .. slot, 'PX', lifetime)
    return true
  end
  if string.sub(copy, 5, 12) == birth and string.sub(copy, 1, 4) ~= string.sub(block, 1, 4) then
    -- who saw the block before it was lost knows what it lacks
    for at = 13, #copy, 9 do
      local one = string.sub(copy, at, at + 8)
      if #block < 2316 and not place_of(block, string.sub(one, 1, 2)) then block = block .. one end
    end
    block = string.sub(copy, 1, 12) .. string.sub(block, 13)
    redis.call('SET', name, block, 'PX', lifetime)
  end
  if due and redis.call('PTTL', name) < lifetime * 0.75 then redis.call('PEXPIRE', name, lifetime) end
  local key = string.sub(slot, 1, 2)
  local found = place_of(block, key)
  if not found then
    found = #block + 1
    if found > 2316 then
      local first, least = string.byte(slot, 1), nil
      for i = first, first + 7 do
        local place = 13 + i % 256 * 9
        local ends = struct.unpack('>I4', block, place + 5)
        if not least or ends < least then found, least = place, ends end
      end
      if least > clock and least > struct.unpack('>I4', block, 1) then
        redis.call('SETRANGE', name, 0, struct.pack('>I4', least))
      end
    end
  end
  redis.call('SETRANGE', name, found - 1, slot)
  return false
end
"""
)
"""What a write leaves in the table of ``seen``, as a function of Lua."""

COMMIT = Lua(
    "commit",
    NOTE
    + """
-- KEYS m generations (the category's first), then seen block and entry of each of n drafts
-- ARGV m, lifetime of generations in ms, what is due for another one (1 generations, 2 blocks, 3 both),
--   how many keys are read at once: m, or all that one draft needs; the time in ticks;
--   m tokens as expected, or proposals (80 bytes: a record; '+' before a token);
--   n times bytes, px, own token ('': whatever there is), numbers of its generations in 4 bytes each ('': all), slot
local m, lifetime, due, reads = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local now = redis.call('MGET', unpack(KEYS, 1, math.min(reads, 1000)))
for at = 1001, reads, 1000 do
  local more = redis.call('MGET', unpack(KEYS, at, math.min(at + 999, reads)))
  for i = 1, #more do now[at + i - 1] = more[i] end
end
local agrees, all, told = {}, true, false
for i = 1, m do
  local token, is = ARGV[5 + i], now[i]
  if #token == 80 or #token == 17 then
    if #token == 17 then token = string.sub(token, 2) end
    if not is then
      redis.call('SET', KEYS[i], token, 'PX', lifetime)
      now[i], is, told = token, token, true
    end
    token = #token == 80 and string.sub(token, 1, 32) or token
  end
  if #token == 32 and is then is = #is == 80 and string.sub(is, 1, 32) end
  agrees[i] = is == token
  if not agrees[i] then
    all, told = false, true
  elseif (due == '1' or due == '3') and redis.call('PTTL', KEYS[i]) < lifetime * 0.75 then
    redis.call('PEXPIRE', KEYS[i], lifetime)
  end
end
local verdicts = {}
for d = 1, (#KEYS - m) / 2 do
  local at, key = 5 + m + 5 * (d - 1), m + 2 * d
  local own, scopes, ok = ARGV[at + 3], ARGV[at + 4], all
  if scopes ~= '' then
    ok = true
    for s = 1, #scopes, 4 do
      local a, b, c, e = string.byte(scopes, s, s + 3)
      if not agrees[((a * 256 + b) * 256 + c) * 256 + e] then ok = false end
    end
  end
  if ok and own ~= '' then
    local head
    if key <= reads then head = now[key] else head = redis.pcall('GETRANGE', KEYS[key], 0, 19) end
    -- of any version: a record of another one guards its key too
    local ours = type(head) == 'string' and #head >= 20 and string.sub(head, 1, 2) == '\\255g'
    ok = own == (ours and string.sub(head, 5, 20) or string.rep('\\0', 16))
  end
  if ok then
    local bytes, block, name = ARGV[at + 1], nil, KEYS[key - 1]
    redis.call('SET', KEYS[key], bytes, 'PX', ARGV[at + 2])
    if key - 1 <= reads then block = now[key - 1] else block = redis.call('MGET', name)[1] end
    local record, number = now[1], math.floor(string.byte(bytes, 23) / 2)
    local birth = string.sub(record, 41, 48)
    local place = 48 + math.floor(number / 8)
    local flags, bit = string.byte(record, place + 1), 2 ^ (7 - number % 8)
    local begun = math.floor(flags / bit) % 2 == 1
    if note(name, block, birth, begun, lifetime, due == '2' or due == '3', ARGV[at + 5], tonumber(ARGV[5]))
      and not begun then
      redis.call('SETRANGE', KEYS[1], place, string.char(flags + bit))
      now[1] = string.sub(record, 1, place) .. string.char(flags + bit) .. string.sub(record, place + 2)
    end
  end
  verdicts[d] = ok and '1' or '0'
end
local verdict = table.concat(verdicts)
if not told then return verdict end
local out = { verdict }
for i = 1, m do out[i + 1] = now[i] end
return out
""",
)
"""Compare the fences and store; returns one digit per draft, and the current generations when any differed."""

DELETE = Lua(
    "delete",
    """
-- KEYS entries; ARGV lifetime in ms, a tombstone for each; returns how many live entries went
local gone = 0
for i = 1, #KEYS do
  local head = redis.pcall('GETRANGE', KEYS[i], 0, 3)
  -- a key of another type counts as live; any other trouble is the caller's to know
  if type(head) == 'table' and not string.find(head.err, 'WRONGTYPE') then return head end
  local tombstone = type(head) == 'string' and string.sub(head, 1, 2) == '\\255g' and string.byte(head, 4) == 1
  if head ~= '' and not tombstone then gone = gone + 1 end
  redis.call('SET', KEYS[i], ARGV[1 + i], 'PX', ARGV[1])
end
return gone
""",
)
"""Put tombstones in the place of entries."""

DROP = Lua(
    "drop",
    """
-- KEYS an entry; ARGV its times as they stand in its bytes, lifetime in ms, a tombstone; 0 when it is another one
local times = redis.pcall('GETRANGE', KEYS[1], 54, 73)
if times ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
return 1
""",
)
"""Put a tombstone in the place of one certain entry."""

SWEEP = Lua(
    "sweep",
    """
-- KEYS that a pattern matched; a tombstone stays, for it refuses writes that began before its delete
local gone, digests = 0, {}
for i = 1, #KEYS do
  local head = redis.pcall('GETRANGE', KEYS[i], 0, 53)
  local ours = type(head) == 'string' and string.sub(head, 1, 2) == '\\255g'
  if not (ours and string.byte(head, 4) == 1) then
    gone = gone + redis.call('UNLINK', KEYS[i])
    if ours and #head == 54 then digests[#digests + 1] = string.sub(head, 23, 54) end
  end
end
return { gone, table.concat(digests) }
""",
)
"""Remove keys, tombstones excepted; returns how many went, and the digests of the entries among them."""

SWEPT = Lua(
    "swept",
    PLACE_OF
    + """
-- KEYS blocks; ARGV what stands in the place of an expiry, then for each block the fingerprints of keys;
-- returns how many slots were marked
local marked = 0
for i = 1, #KEYS do
  local block, wanted = redis.call('MGET', KEYS[i])[1], ARGV[1 + i]
  for at = 1, block and #wanted or 0, 2 do
    local key = string.sub(wanted, at, at + 1)
    local found = place_of(block, key)
    if found then
      redis.call('SETRANGE', KEYS[i], found + 4, ARGV[1])
      marked = marked + 1
    end
  end
end
return marked
""",
)
"""Say in the table of ``seen`` that entries were removed by an invalidation."""

CHANGE = Lua(
    "change",
    """
-- KEYS generations; ARGV for each: offset, then the new bytes; an absent one is as invalid as can be
local changed = 0
for i = 1, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    local told = redis.pcall('SETRANGE', KEYS[i], ARGV[2 * i - 1], ARGV[2 * i])
    -- a full server has no memory for it, but may forget
    if type(told) == 'table' then redis.call('DEL', KEYS[i]) end
    changed = changed + 1
  end
end
return changed
""",
)
"""Change the tokens of generations that exist, keeping their lifetime."""

RELEASE = Lua(
    "release",
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
)
"""Give back a lock that is still ours."""
