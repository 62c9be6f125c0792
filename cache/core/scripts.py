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

COMMIT = Lua(
    "commit",
    """
-- KEYS m generations (the category's first), then seen block and entry of each of n drafts
-- ARGV m, lifetime of generations in ms, what is due for another one (1 generations, 2 blocks, 3 both),
--   how many keys are read at once: m, or all that one draft needs;
--   m tokens as expected, or proposals (80 bytes: a record; '+' before a token);
--   n times bytes, px, own token ('': whatever there is), numbers of its generations in 4 bytes each ('': all)
local m, lifetime, due, reads = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local now = redis.call('MGET', unpack(KEYS, 1, math.min(reads, 1000)))
for at = 1001, reads, 1000 do
  local more = redis.call('MGET', unpack(KEYS, at, math.min(at + 999, reads)))
  for i = 1, #more do now[at + i - 1] = more[i] end
end
local agrees, all, told = {}, true, false
for i = 1, m do
  local token, is = ARGV[4 + i], now[i]
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
local function lacks(block, bit)
  return math.floor(string.byte(block, 10 + math.floor(bit / 8)) / 2 ^ (7 - bit % 8)) % 2 == 0
end
local verdicts = {}
for d = 1, (#KEYS - m) / 2 do
  local at, key = 4 + m + 4 * (d - 1), m + 2 * d
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
    local record, number, a, b, c, e, f = now[1], string.byte(bytes, 23, 28)
    local birth = string.sub(record, 41, 48)
    if not block or string.sub(block, 2, 9) ~= birth then
      local place = 48 + math.floor(number / 8)
      local flags, bit = string.byte(record, place + 1), 2 ^ (7 - number % 8)
      local begun = math.floor(flags / bit) % 2 == 1
      block = (begun and 'P' or 'C') .. birth .. string.rep('\\0', 64)
      redis.call('SET', name, block, 'PX', lifetime)
      if not begun then
        redis.call('SETRANGE', KEYS[1], place, string.char(flags + bit))
        now[1] = string.sub(record, 1, place) .. string.char(flags + bit) .. string.sub(record, place + 2)
      end
    elseif (due == '2' or due == '3') and redis.call('PTTL', name) < lifetime * 0.75 then
      redis.call('PEXPIRE', name, lifetime)
    end
    local word = (((a * 256 + b) * 256 + c) * 256 + e) * 256 + f
    local p, q = word % 512, math.floor(word / 512) % 512
    local r, s = math.floor(word / 262144) % 512, math.floor(word / 134217728) % 512
    if #block ~= 73 or lacks(block, p) or lacks(block, q) or lacks(block, r) or lacks(block, s) then
      redis.call('BITFIELD', name, 'SET', 'u1', 72 + p, 1, 'SET', 'u1', 72 + q, 1,
        'SET', 'u1', 72 + r, 1, 'SET', 'u1', 72 + s, 1)
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
local gone = 0
for i = 1, #KEYS do
  local head = redis.pcall('GETRANGE', KEYS[i], 0, 3)
  local tombstone = type(head) == 'string' and string.sub(head, 1, 2) == '\\255g' and string.byte(head, 4) == 1
  if not tombstone then gone = gone + redis.call('UNLINK', KEYS[i]) end
end
return gone
""",
)
"""Remove keys, tombstones excepted; returns how many went."""

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
