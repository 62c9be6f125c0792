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
local out = {}
for i = 1, #KEYS do
  local fresh = ARGV[2 + i]
  local now = redis.call('GET', KEYS[i])
  local foreign = now and (#now ~= #fresh
    or (#fresh == 80 and ARGV[1] ~= '' and string.sub(now, 33, 40) ~= ARGV[1]
      and string.sub(now, 33, 40) ~= string.rep('\\0', 8)))
  if not now or foreign then
    redis.call('SET', KEYS[i], fresh, 'PX', ARGV[2])
    out[i] = fresh
  else
    if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[2]) / 2 then redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
    out[i] = now
  end
end
-- whether this server ever evicted a key: then an absent entry may have been one
local stats = redis.pcall('INFO', 'stats')
if type(stats) == 'table' and stats.format == 'txt' then stats = stats.string end
if type(stats) ~= 'string' then stats = '' end
out[#KEYS + 1] = string.match(stats, 'evicted_keys:(%d+)') or '?'
return out
""",
)
"""Create the generations that are absent; returns all of them and how many keys the server has evicted."""

COMMIT = Lua(
    "commit",
    """
-- KEYS m generations (the category's first), then entry and seen block of each of n drafts
-- ARGV m, n, lifetime of generations in ms, m times (mode, token), n times (bytes, px, own, block, bits, scopes)
local m, n, lifetime = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local current, agrees, told = {}, {}, false
for i = 1, m do
  local mode, token = ARGV[2 + 2 * i], ARGV[3 + 2 * i]
  local now = redis.call('GET', KEYS[i])
  if not now and mode == '+' then
    redis.call('SET', KEYS[i], token, 'PX', lifetime)
    now, told = token, true
  end
  local length = #token
  if length == 80 then length = 32 end
  agrees[i] = now and string.sub(now, 1, length) == string.sub(token, 1, length)
  if agrees[i] then
    if redis.call('PTTL', KEYS[i]) < lifetime / 2 then redis.call('PEXPIRE', KEYS[i], lifetime) end
  else
    told = true
  end
  current[i] = now
end
local verdicts = {}
for d = 1, n do
  local at = 3 + 2 * m + 6 * (d - 1)
  local entry, block = KEYS[m + 2 * d - 1], KEYS[m + 2 * d]
  local own, scopes, ok = ARGV[at + 3], ARGV[at + 6], true
  for s = 1, #scopes, 4 do
    local a, b, c, e = string.byte(scopes, s, s + 3)
    if not agrees[((a * 256 + b) * 256 + c) * 256 + e] then ok = false end
  end
  if ok and own ~= '' then
    local head = redis.pcall('GETRANGE', entry, 0, 19)
    local is = string.rep('\\0', 16)
    local ours = type(head) == 'string' and #head == 20 and string.sub(head, 1, 3) == '\\255g\\1'
    if ours then is = string.sub(head, 5, 20) end
    ok = is == own
  end
  if ok then
    redis.call('SET', entry, ARGV[at + 1], 'PX', ARGV[at + 2])
    local record, number = current[1], tonumber(ARGV[at + 4])
    local birth = string.sub(record, 41, 48)
    if redis.call('GETRANGE', block, 1, 8) ~= birth then
      local place = 48 + math.floor(number / 8)
      local flags, bit = string.byte(record, place + 1), 2 ^ (7 - number % 8)
      local begun = math.floor(flags / bit) % 2 == 1
      redis.call('SET', block, (begun and 'P' or 'C') .. birth .. string.rep('\\0', 64))
      if not begun then
        record = redis.call('SETRANGE', KEYS[1], place, string.char(flags + bit)) and redis.call('GET', KEYS[1])
        current[1] = record
      end
    end
    for position in string.gmatch(ARGV[at + 5], '%d+') do redis.call('SETBIT', block, 72 + position, 1) end
    redis.call('PEXPIRE', block, lifetime)
  end
  verdicts[d] = ok and '1' or '0'
end
local out = { table.concat(verdicts) }
if told then
  for i = 1, m do out[i + 1] = current[i] end
end
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
  if head ~= '' and head ~= '\\255g\\1\\1' then gone = gone + 1 end
  redis.call('SET', KEYS[i], ARGV[1 + i], 'PX', ARGV[1])
end
return gone
""",
)
"""Put tombstones in the place of entries."""

SWEEP = Lua(
    "sweep",
    """
-- KEYS that a pattern matched; a tombstone stays, for it refuses writes that began before its delete
local gone = 0
for i = 1, #KEYS do
  local head = redis.pcall('GETRANGE', KEYS[i], 0, 3)
  if head ~= '\\255g\\1\\1' then gone = gone + redis.call('UNLINK', KEYS[i]) end
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
    redis.call('SETRANGE', KEYS[i], ARGV[2 * i - 1], ARGV[2 * i])
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
